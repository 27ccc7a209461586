"""One step of the grid: call its stage, summarize its result, and check whether later steps can use it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctprune
from ctprune.comparison.decisive import decisive_of
from ctprune.environment.progress import ProgressCallback
from ctprune.environment.words import counted
from ctprune.errors import EvaluationError, ManifestError, SourceError
from ctprune.experiment.grid import FINISHED, Step
from ctprune.experiment.relations import as_many, as_many_epochs
from ctprune.files.checksums import sha256_of
from ctprune.files.run_lock import NAME as LOCK_NAME
from ctprune.files.run_lock import sole_writer
from ctprune.finetuning.run_folder import INPUTS_NAME
from ctprune.finetuning.words import sentence_case


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The columns of a finished step in the status table.

    Attributes:
        seconds: How long the step took.
        text: The result in a few words.
    """

    seconds: float | None
    text: str


def carry_out(step: Step, out: Path, *, progress: ProgressCallback) -> None:
    """Carry out a step; an interrupted one is resumed.

    Raises:
        CtpruneError: As the stage's function does.
    """
    folder = step.folder(out)
    if step.kind == "reduce":
        options = dict(step.options)
        if step.as_many_as is not None:
            of_other = read_result(step.as_many_as, out)
            options |= as_many(options["method"], kept=of_other["kept"], slices=of_other["slices"])
        ctprune.reduce(list(step.sources), out=folder, progress=progress, **options)
    elif step.kind == "pretrain":
        options = dict(step.options)
        if step.steps_of is not None:
            options["steps"] = read_result(step.steps_of, out)["steps"]
        if step.epochs_of is not None:
            options["epochs"] = as_many_epochs(read_result(step.epochs_of, out))
        ctprune.pretrain(
            step.needs[0].folder(out),
            out=folder,
            resume=True,
            progress=progress,
            **options,
        )
    else:
        options = dict(step.options)
        if step.needs:
            options["weights"] = step.needs[0].folder(out) / "backbone.safetensors"
            _discard_if_of_other_weights(folder, options["weights"])
        data = options.pop("data")
        ctprune.finetune(data, out=folder, progress=progress, **options)


def is_current(step: Step, out: Path) -> bool:
    """Whether the files that a finished reduction's manifest names still have these paths and times.

    Their content is that of the step, as its digest says, but packing identifies files by path and time.
    """
    try:
        ctprune.Manifest.load(step.folder(out)).slices().check_files()
    except (ManifestError, SourceError):
        # Another version, or damaged: the reduction writes it again.
        return False
    return True


def _discard_if_of_other_weights(folder: Path, weights: Path) -> None:
    """Remove an interrupted fine-tuning whose pre-training has been repeated since then."""
    file = folder / INPUTS_NAME
    if not file.is_file():
        return
    with sole_writer(folder):
        try:
            found = json.loads(file.read_text(encoding="utf-8"))["weights_sha256"]
        except (OSError, ValueError, TypeError, KeyError):
            found = None
        if found == sha256_of(weights):
            return
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK_NAME:
                path.unlink()


def read_result(step: Step, out: Path) -> dict[str, Any]:
    """The summary of a finished step.

    Raises:
        EvaluationError: It cannot be read.
    """
    file = step.folder(out) / FINISHED[step.kind]
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise EvaluationError(f"{file}: cannot be read: {error}: remove its folder to repeat the step") from None


def facts(step: Step, out: Path) -> Facts:
    """The result in a finished step's summary, in a few words."""
    found = read_result(step, out)
    seconds = found.get("seconds")
    if step.kind == "reduce":
        text = f"{found['kept']:,} of {counted(found['slices'], 'slice')} kept"
    elif step.kind == "pretrain":
        numbers = ("slice", "slices"), ("epoch", "epochs"), ("step", "steps")
        text = ", ".join(counted(found[name], unit) for unit, name in numbers)
    else:
        decisive = decisive_of(found["config"])
        value, title = found["pooled"][decisive.metric]["mean"], sentence_case(decisive.title)
        text = f"{title} not defined" if value is None else f"{title} {value:.3f} on {found['evaluated_split']}"
    return Facts(seconds=seconds, text=text)
