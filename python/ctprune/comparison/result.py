"""Finished results of `ctprune finetune`, as a comparison reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.errors import EvaluationError, SourceError
from ctprune.evaluation.measured import Measured, measure
from ctprune.evaluation.predictions import positive_class
from ctprune.finetuning.result import PREDICTIONS_NAME, PREDICTIONS_VERSION
from ctprune.finetuning.training_result import METRICS_NAME

#: Versions of `metrics.json` that are read.
METRICS_VERSIONS = (1, 2)

_COLUMNS = ("seed", "split", "image", "patient", "label", "probabilities")


@dataclass(frozen=True, kw_only=True)
class Result:
    """One model: all its trainings and their predictions for each image of one split.

    Attributes:
        name: Name of the result in the comparison.
        path: The folder, as it was given.
        classes: Names of the classes, in the order of the columns of `probabilities`.
        split: The split that was evaluated.
        selection_split: The split that chose the epoch; None if not recorded.
        seeds: Seed of each training.
        backbones: Digest of each training's initial weights, equal for trainings of one backbone. Each training
            from random weights has its own.
        images: Names of the images, volumes or patients, sorted.
        labels: Index of each image's class, (images,).
        probabilities: Probabilities of shape (trainings, images, classes).
        patients: Patient of each image, None where not known.
        config: Options of the fine-tuning.
        weights: Metadata of the initial weights; None for random ones.
        seconds: Time of the fine-tuning in seconds.
    """

    name: str
    path: str
    classes: tuple[str, ...]
    split: str
    selection_split: str | None
    seeds: tuple[int, ...]
    backbones: tuple[str, ...]
    images: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    patients: tuple[str | None, ...]
    config: dict[str, Any]
    weights: dict[str, Any] | None
    seconds: float | None

    @property
    def positive(self) -> str | None:
        """The positive one of two classes; None if there are more, as each is then taken as positive once."""
        which = positive_class(self.classes, self.config.get("positive"))
        return None if which is None else self.classes[which]

    @property
    def unit(self) -> str:
        """What was predicted: `image`, `volume` or `patient`."""
        return str(self.config.get("unit") or "image")

    @property
    def slices(self) -> int | None:
        """How many slices the weights were pre-trained on; 0 for random weights, None where not known."""
        found = self._of_weights("slices")
        return None if found is None else int(found)

    @property
    def pretraining_seconds(self) -> float | None:
        """How long the pre-training took; 0 for random weights, None where not known."""
        return self._of_weights("seconds")

    def _of_weights(self, key: str) -> float | None:
        if self.weights is None:
            return 0.0
        found = self.weights.get(key)
        return float(found) if isinstance(found, (int, float)) else None


def load_result(folder: str | os.PathLike[str], *, name: str | None = None) -> Result:
    """Read the folder of a finished fine-tuning.

    Raises:
        SourceError: There is no such folder.
        EvaluationError: It holds no finished result, or one that this version does not read.
    """
    path = Path(folder)
    if not path.is_dir():
        raise SourceError(f"{folder}: no such folder: name the folder of a finished 'ctprune finetune'")
    metrics = _read_metrics(path / METRICS_NAME)
    target = metrics.get("config", {}).get("target", "classes")
    if target != "classes":
        raise EvaluationError(
            f"{folder}: is a result of `target` {target}, but a comparison takes results of classes"
        )
    table, classes = _read_predictions(path / PREDICTIONS_NAME)
    split = str(metrics.get("evaluated_split", "test"))
    table = table.filter(np.array([name == split for name in table["split"]], np.bool_))
    if not len(table):
        raise EvaluationError(
            f"{path / PREDICTIONS_NAME}: expected predictions of the split {split!r}, found none"
        )
    weights = metrics.get("weights")
    by_seed = _by_seed(path / PREDICTIONS_NAME, table, classes)
    return Result(
        name=path.resolve().name if name is None else name,
        path=os.fspath(folder),
        classes=classes,
        split=split,
        selection_split=metrics.get("selection_split"),
        config=dict(metrics.get("config", {})),
        weights=None if weights is None else dict(weights.get("metadata") or {}),
        seconds=metrics.get("seconds"),
        backbones=tuple(_backbone(path, weights, seed) for seed in by_seed["seeds"]),
        **by_seed,
    )


def _backbone(path: Path, weights: dict[str, Any] | None, seed: int) -> str:
    """A name for the initial weights of a training: their digest, or the seed that drew them."""
    if weights is None:
        return f"random weights of seed {seed}"
    return str(weights.get("sha256") or path)


def _read_metrics(file: Path) -> dict[str, Any]:
    try:
        found = dict(json.loads(file.read_text()))
    except FileNotFoundError:
        raise EvaluationError(
            f"{file.parent}: expected a finished result of 'ctprune finetune', found no {file.name}"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise EvaluationError(f"{file}: expected the measures of 'ctprune finetune': {error}") from None
    if found.get("metrics_version") not in METRICS_VERSIONS:
        raise EvaluationError(
            f"{file}: expected version {METRICS_VERSIONS[-1]}, found {found.get('metrics_version')}"
        )
    return found


def _read_predictions(file: Path) -> tuple[_core.Rows, tuple[str, ...]]:
    try:
        table, found = _core.Rows.read(file)
        metadata = json.loads(found or "{}")
        version, classes = metadata["predictions_version"], tuple(metadata["classes"])
    except FileNotFoundError:
        raise EvaluationError(f"{file}: expected predictions, found no such file") from None
    except (OSError, KeyError, TypeError, ValueError):
        raise EvaluationError(
            f"{file}: expected predictions written by 'ctprune finetune', found others"
        ) from None
    if version != PREDICTIONS_VERSION:
        raise EvaluationError(f"{file}: expected predictions of version {PREDICTIONS_VERSION}, found {version}")
    missing = [column for column in _COLUMNS if column not in table.columns]
    if missing:
        raise EvaluationError(f"{file}: expected a column {missing[0]!r}, found none")
    return table, classes


def _by_seed(file: Path, table: _core.Rows, classes: tuple[str, ...]) -> dict[str, Any]:
    """Sort the rows by seed and image, and check that every seed has the same images."""
    seed_of, name_of = table["seed"], table["image"]
    order = sorted(range(len(table)), key=lambda row: (seed_of[row], name_of[row]))
    table = table.take(np.array(order, np.int64))
    seeds = sorted(set(seed_of.tolist()))
    count = len(table) // len(seeds)
    images, labels = table["image"], table["label"]
    first = images[:count]
    if images != first * len(seeds) or len(set(first)) != count or labels != labels[:count] * len(seeds):
        raise EvaluationError(f"{file}: expected the same images once for each seed, found others")
    unknown = set(labels) - set(classes)
    if unknown:
        raise EvaluationError(f"{file}: label {sorted(unknown)[0]!r} is none of the classes {', '.join(classes)}")
    probabilities = table["probabilities"]
    if probabilities.shape != (len(table), len(classes)):
        raise EvaluationError(f"{file}: expected {len(classes)} probabilities for each image, found others")
    index = {name: number for number, name in enumerate(classes)}
    return {
        "seeds": tuple(seeds),
        "images": tuple(first),
        "labels": np.array([index[label] for label in labels[:count]]),
        "probabilities": probabilities.reshape(len(seeds), count, len(classes)),
        "patients": tuple(patient or None for patient in table["patient"][:count]),
    }


#: Options of a pre-training that do not change what is trained.
_CARRYING_OUT = ("seed", "threads", "devices", "log_every", "checkpoint_minutes")


def merge_by_name(results: Sequence[Result]) -> list[Result]:
    """Merge results with the same name, which are pre-trainings of one kind with different seeds.

    Raises:
        EvaluationError: Results with the same name differ in more than their seeds.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.name, []).append(result)
    for name, members in groups.items():
        for other in members[1:]:
            for what, of in (("pre-trained", _pretraining_of), ("fine-tuned", fine_tuning_of)):
                if of(other) != of(members[0]):
                    raise EvaluationError(
                        f"two results are called {name!r}, but were not {what} with the same options: give "
                        "each a name of its own with `names`"
                    )
    return [merge_pretrainings(members) for members in groups.values()]


def merge_pretrainings(results: Sequence[Result]) -> Result:
    """One result with the trainings of all: repetitions of a pre-training with different seeds."""
    if len(results) == 1:
        return results[0]
    check_comparable([replace(result, name=f"{result.name} {index}") for index, result in enumerate(results)])
    weights = [result.weights for result in results if result.weights is not None]
    seconds = [float(one["seconds"]) for one in weights if one.get("seconds") is not None]
    return replace(
        results[0],
        seeds=tuple(seed for result in results for seed in result.seeds),
        backbones=tuple(backbone for result in results for backbone in result.backbones),
        probabilities=np.concatenate([result.probabilities for result in results]),
        weights=weights[0] | {"seconds": float(np.mean(seconds or [np.nan]))} if weights else None,
    )


def fine_tuning_of(result: Result) -> dict[str, str]:
    """The options of fine-tuning without those that come with the weights, as these are compared."""
    # Subgroups change what is reported, not what is trained.
    others = ("weights", "backbone", "intensity", "seeds", "subgroup_columns")
    return {name: str(value) for name, value in result.config.items() if name not in others}


def _pretraining_of(result: Result) -> dict[str, str] | None:
    if result.weights is None:
        return None
    settings = dict(result.weights.get("settings") or {})
    return {name: str(value) for name, value in settings.items() if name not in _CARRYING_OUT}


def check_comparable(results: Sequence[Result]) -> None:
    """Refuse results that were not measured on the same images with the same labels.

    Raises:
        EvaluationError: Fewer than two, names given twice, or other classes, images, labels or patients.
    """
    if len(results) < 2:
        raise EvaluationError(f"expected two or more results to compare, found {len(results)}")
    names = [result.name for result in results]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise EvaluationError(f"two results are called {twice[0]!r}: give each its own name with `names`")
    first = results[0]
    for other in results[1:]:
        pair = f"{first.path} and {other.path}"
        if other.classes != first.classes:
            raise EvaluationError(
                f"{pair} have different classes: {', '.join(first.classes)} against {', '.join(other.classes)}"
            )
        if other.unit != first.unit:
            raise EvaluationError(
                f"{pair} predict different things, {first.unit}s and {other.unit}s: fine-tune one of them again "
                "with the other's `unit`"
            )
        if other.images != first.images:
            here, there = set(first.images), set(other.images)
            raise EvaluationError(
                f"{pair} were not measured on the same {first.unit}s: {len(here - there):,} only in the first, "
                f"{len(there - here):,} only in the second, {len(here & there):,} in both"
            )
        differing = int((first.labels != other.labels).sum())
        if differing:
            raise EvaluationError(
                f"{pair} have the same {first.unit}s, but {differing:,} of them have different labels"
            )
        if other.patients != first.patients:
            raise EvaluationError(
                f"{pair} assign the {first.unit}s to different patients; use the same `patient_pattern`"
            )
        if other.positive != first.positive:
            raise EvaluationError(
                f"{pair} take different classes as the positive one, {first.positive} and {other.positive}: "
                "fine-tune one of them again with the other's `positive`"
            )


def measure_results(results: Sequence[Result], *, resamples: int, seed: int = 0) -> Measured:
    """Measures of results on the same images, with all that intervals need; see `ctprune.evaluation.measured`."""
    first = results[0]
    return measure(
        first.labels,
        [result.probabilities for result in results],
        first.classes,
        pretrainings=[result.backbones for result in results],
        patients=first.patients,
        positive=first.positive,
        each=first.unit,
        resamples=resamples,
        seed=seed,
    )
