"""The finished pre-trainings of an experiment's folder, each with its predictions on the test patients."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from experiments.less_is_more.archives import DOSES_MM, MIXED

from ctprune.comparison.result import Result, load_result
from ctprune.errors import EvaluationError, SourceError
from ctprune.finetuning.training_result import METRICS_NAME

#: A source and an arm.
Cell: TypeAlias = tuple[str, str]

#: Of a model without pre-training, in place of a method and a source.
NOTHING = "none"

#: How arms are called, whatever the method.
ARMS = ("all", "hash", "random", "every-n", "kcenter", "all-epochs", "hash-longer")


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


def untrained(result: Result) -> list[Trained]:
    """Probes of backbones that were not pre-trained, by the seed of their random weights.

    A pre-training of the same seed starts from the same weights.

    Raises:
        EvaluationError: The weights are not random.
    """
    if result.weights is not None:
        raise EvaluationError(f"{result.name}: expected a fine-tuning of random weights, found given ones")
    return [
        Trained(
            method=NOTHING,
            source=NOTHING,
            arm=NOTHING,
            seed=seed,
            slices=0,
            steps=0,
            epochs=0,
            seconds=0,
            result=replace(
                result,
                seeds=(seed,),
                backbones=result.backbones[place : place + 1],
                pretraining_seeds=(seed,),
                probabilities=result.probabilities[place : place + 1],
            ),
        )
        for place, seed in enumerate(result.seeds)
    ]


def stored_probabilities(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """What is stored of probabilities, of shape (…, classes): in 32 bits, without those of the first class."""
    return probabilities[..., 1:].astype(np.float32)


def whole_probabilities(stored: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The probabilities of all classes again, to within the rounding of 32 bits."""
    others = stored.astype(np.float64)
    return np.concatenate([1 - others.sum(axis=-1, keepdims=True), others], axis=-1)


def load_trained(folder: Path) -> list[Trained]:
    """All pre-trainings of an experiment whose probe is finished, in the experiment's order.

    The folder of a `ctprune finetune` of random weights gives a network without pre-training for each seed.

    Raises:
        SourceError: There is no such folder.
        EvaluationError: It holds neither an experiment nor a finished fine-tuning of random weights.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder: name one of `ctprune experiment`, or a file .npz")
    if not (folder / "experiment.json").exists():
        return untrained(_result(folder))
    plan = json.loads((folder / "experiment.json").read_text("utf-8"))
    by_folder = {step["folder"]: step for step in plan["steps"]}
    finished = [
        step
        for step in plan["steps"]
        if step["kind"] == "finetune" and (folder / step["folder"] / METRICS_NAME).is_file()
    ]
    return [one for step in finished for one in _trained(folder, step, by_folder)]


def _result(folder: Path) -> Result:
    result = load_result(folder)
    return replace(result, probabilities=whole_probabilities(stored_probabilities(result.probabilities)))


def _trained(folder: Path, step: dict[str, Any], by_folder: dict[str, dict[str, Any]]) -> list[Trained]:
    result = _result(folder / step["folder"])
    if not step["needs"]:
        return untrained(result)
    [pretraining] = step["needs"]
    reduction = by_folder[pretraining]["needs"][0]
    summary = json.loads((folder / pretraining / "summary.json").read_text("utf-8"))
    way = by_folder[pretraining]["name"].removeprefix(f"{by_folder[reduction]['name']}-").rpartition("-seed")[0]
    method = str(summary["method"])
    source = next(name for name in (*DOSES_MM, MIXED) if by_folder[reduction]["name"].startswith(f"{name}-"))
    return [
        Trained(
            method=method,
            source=source,
            arm=way.removeprefix(f"{method}-"),
            seed=int(summary["seed"]),
            slices=int(summary["slices"]),
            steps=int(summary["steps"]),
            epochs=int(summary["steps"]) * int(summary["slices_per_step"]) / int(summary["slices"]),
            seconds=float(summary["seconds"]),
            result=result,
        )
    ]
