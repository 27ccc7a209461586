"""The finished pre-trainings of an experiment's folder, each with its predictions on the test patients."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from experiments.less_is_more.archives import DOSES_MM, MIXED

from ctprune.comparison.result import Result, load_result
from ctprune.finetuning.training_result import METRICS_NAME

#: Of a model without pre-training, in place of a method and a source.
NOTHING = "none"

#: How arms are called, whatever the method.
ARMS = ("all", "hash", "random", "every-n", "kcenter", "all-epochs")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One pre-training and the probe of its backbone.

    Attributes:
        method: Method of the pre-training, or `none`.
        source: Archive that it was carried out on, or `none`.
        arm: One of `ARMS`, or `none`.
        seed: Seed of the pre-training.
        slices: Number of slices that it had.
        steps: Number of its optimizer steps.
        epochs: How often it saw each slice.
        seconds: What it took.
        result: Predictions of the probe.
    """

    method: str
    source: str
    arm: str
    seed: int
    slices: int
    steps: int
    epochs: float
    seconds: float
    result: Result


def untrained(result: Result) -> Trained:
    """A probe of a backbone that was not pre-trained."""
    return Trained(
        method=NOTHING,
        source=NOTHING,
        arm=NOTHING,
        seed=0,
        slices=0,
        steps=0,
        epochs=0,
        seconds=0,
        result=result,
    )


def stored_probabilities(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """What is stored of probabilities, of shape (…, classes): in 32 bits, without those of the first class."""
    return probabilities[..., 1:].astype(np.float32)


def whole_probabilities(stored: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The probabilities of all classes again, to within the rounding of 32 bits."""
    others = stored.astype(np.float64)
    return np.concatenate([1 - others.sum(axis=-1, keepdims=True), others], axis=-1)


def load_trained(folder: Path) -> list[Trained]:
    """All pre-trainings of an experiment whose probe is finished, in the experiment's order."""
    plan = json.loads((folder / "experiment.json").read_text("utf-8"))
    by_folder = {step["folder"]: step for step in plan["steps"]}
    finished = [
        step
        for step in plan["steps"]
        if step["kind"] == "finetune" and (folder / step["folder"] / METRICS_NAME).is_file()
    ]
    return [_trained(folder, step, by_folder) for step in finished]


def _trained(folder: Path, step: dict[str, Any], by_folder: dict[str, dict[str, Any]]) -> Trained:
    result = load_result(folder / step["folder"])
    result = replace(result, probabilities=whole_probabilities(stored_probabilities(result.probabilities)))
    if not step["needs"]:
        return untrained(result)
    [pretraining] = step["needs"]
    reduction = by_folder[pretraining]["needs"][0]
    summary = json.loads((folder / pretraining / "summary.json").read_text("utf-8"))
    way = by_folder[pretraining]["name"].removeprefix(f"{by_folder[reduction]['name']}-").rpartition("-seed")[0]
    method = str(summary["method"])
    return Trained(
        method=method,
        source=next(name for name in (*DOSES_MM, MIXED) if by_folder[reduction]["name"].startswith(f"{name}-")),
        arm=way.removeprefix(f"{method}-"),
        seed=int(summary["seed"]),
        slices=int(summary["slices"]),
        steps=int(summary["steps"]),
        epochs=int(summary["steps"]) * int(summary["slices_per_step"]) / int(summary["slices"]),
        seconds=float(summary["seconds"]),
        result=result,
    )
