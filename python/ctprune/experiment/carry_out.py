"""One step of the grid: the call of its stage's function, and what its result says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctprune
from ctprune.errors import EvaluationError
from ctprune.experiment.grid import FINISHED, Step


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the status table shows of a finished step.

    Attributes:
        seconds: What it took when it was carried out.
        text: What came out, in a few words.
    """

    seconds: float | None
    text: str


def carry_out(step: Step, out: Path, *, progress: Callable[[str], None]) -> None:
    """Carry out a step; what an interrupted one left behind is gone on from.

    Raises:
        CtpruneError: As the stage's function does.
    """
    folder = step.folder(out)
    if step.kind == "reduce":
        ctprune.reduce(list(step.inputs), out=folder, progress=lambda now: progress(now.stage), **step.options)
    elif step.kind == "pretrain":
        options = dict(step.options)
        if step.steps_of is not None:
            options["steps"] = read_result(step.steps_of, out)["steps"]
        ctprune.pretrain(
            step.needs[0].folder(out),
            out=folder,
            resume=True,
            progress=lambda now: progress(now.stage),
            **options,
        )
    else:
        options = dict(step.options)
        if step.needs:
            options["weights"] = step.needs[0].folder(out) / "backbone.safetensors"
        data = options.pop("data")
        ctprune.finetune(data, out=folder, progress=lambda now: progress(now.stage), **options)


def read_result(step: Step, out: Path) -> dict[str, Any]:
    """The summary of a finished step.

    Raises:
        EvaluationError: It cannot be read.
    """
    file = step.folder(out) / FINISHED[step.kind]
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise EvaluationError(
            f"{file}: cannot be read: {error}: remove its folder to have the step again"
        ) from None


def facts(step: Step, out: Path) -> Facts:
    """What a finished step's summary says."""
    found = read_result(step, out)
    seconds = found.get("seconds")
    if step.kind == "reduce":
        text = f"{found['kept']:,} of {found['slices']:,} slices kept"
    elif step.kind == "pretrain":
        text = f"{found['slices']:,} slices, {found['epochs']} epochs, {found['steps']:,} steps"
    else:
        auc = found["pooled"]["auc"]["mean"]
        text = "AUC not defined" if auc is None else f"AUC {auc:.3f} on {found['evaluated_split']}"
    return Facts(seconds=seconds, text=text)
