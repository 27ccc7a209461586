"""One step of the grid: the call of its stage's function, what its result says, and whether it can be built on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import ctprune
from ctprune.environment.extras import extra
from ctprune.errors import EvaluationError, ManifestError
from ctprune.experiment.grid import FINISHED, Step
from ctprune.files.run_lock import NAME as LOCK_NAME
from ctprune.files.run_lock import sole_writer


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
            _discard_if_of_other_weights(folder, options["weights"])
        data = options.pop("data")
        ctprune.finetune(data, out=folder, progress=lambda now: progress(now.stage), **options)


def is_current(step: Step, out: Path) -> bool:
    """Whether a finished reduction's manifest names files where they are and with the times that they have.

    The contents are those of the step, as its digest says; but what packs slices goes by place and time.
    """
    columns = ["source", "path", "status", "file_size", "file_mtime_ns"]
    try:
        table = ctprune.Manifest.load(step.folder(out)).table.select(columns)
    except ManifestError:
        # Of another version, or damaged: the reduction writes it anew.
        return False
    slices = table.filter(pc.is_in(table["status"], pa.array(["kept", "dropped"])))
    files = slices.drop_columns("status").group_by(["source", "path", "file_size", "file_mtime_ns"]).aggregate([])
    for line in files.to_pylist():
        try:
            found = os.stat(os.path.join(line["source"], line["path"]))
        except OSError:
            return False
        if (found.st_size, found.st_mtime_ns) != (line["file_size"], line["file_mtime_ns"]):
            return False
    return True


def _discard_if_of_other_weights(folder: Path, weights: Path) -> None:
    """Clear an interrupted fine-tuning whose pre-training has been carried out once more since then."""
    with extra("train", "an experiment"):
        import yaml

        from ctprune.embedding.embedder import sha256_of
    file = folder / "config.yaml"
    if not file.is_file():
        return
    with sole_writer(folder):
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))["weights_sha256"]
        except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
            found = None
        with weights.open("rb") as opened:
            if found == sha256_of(opened):
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
