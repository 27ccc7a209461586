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

from ctprune.comparison.decisive import Decisive, decisive_of, target_of
from ctprune.comparison.predictions import read_predictions
from ctprune.errors import EvaluationError, SourceError
from ctprune.evaluation.measured import Measured, measure
from ctprune.evaluation.predictions import positive_class
from ctprune.evaluation.targets import measure_target
from ctprune.finetuning.result import PREDICTIONS_NAME
from ctprune.finetuning.target_words import count_words
from ctprune.finetuning.training_result import METRICS_NAME
from ctprune.options.shared import CLASSES, TARGETS

#: Versions of `metrics.json` that are read.
METRICS_VERSIONS = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One model: all its trainings and their predictions for each image of one split.

    Attributes:
        name: Name of the result in the comparison.
        path: The folder, as it was given.
        classes: Names of the classes, labels or levels, in the order of the columns of `probabilities`; none where
            labels are numbers.
        split: The split that was evaluated.
        selection_split: The split that chose the epoch; None if not recorded.
        seeds: Seed of each training.
        backbones: Digest of each training's initial weights, equal for trainings of one backbone. Each training
            from random weights has its own.
        pretraining_seeds: Seed of each training's pre-training, or that drew its random weights; None where not
            known.
        images: Names of the images, volumes or patients, sorted.
        labels: Index of each image's class or level, (images,); of several labels 1 where the image has one,
            (images, labels); of numbers these, (images, 1).
        probabilities: Probabilities of shape (trainings, images, classes); of a regression the predicted numbers,
            (trainings, images, 1).
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
    pretraining_seeds: tuple[int | None, ...]
    images: tuple[str, ...]
    labels: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float64]
    patients: tuple[str | None, ...]
    config: dict[str, Any]
    weights: dict[str, Any] | None
    seconds: float | None

    @property
    def target(self) -> str:
        """What labels are."""
        return target_of(self.config)

    @property
    def decisive(self) -> Decisive:
        """The measure that decides."""
        return decisive_of(self.config)

    @property
    def truth(self) -> npt.NDArray[np.float64]:
        """The labels as columns, (images, columns), see `ctprune.evaluation.targets.judge_of`."""
        return self.labels.reshape(len(self.images), -1).astype(np.float64)

    @property
    def positive(self) -> str | None:
        """The positive one of two classes; None for others, as each class or label is then taken as positive."""
        if self.target != CLASSES:
            return None
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
    split = str(metrics.get("evaluated_split", "test"))
    weights = metrics.get("weights")
    config = dict(metrics.get("config", {}))
    target = target_of(config)
    if target not in TARGETS:
        raise EvaluationError(
            f"{path / METRICS_NAME}: expected a `target` of {', '.join(TARGETS)}, found {target}: it may be of a "
            "newer version"
        )
    predicted = read_predictions(path / PREDICTIONS_NAME, target, split)
    return Result(
        name=path.resolve().name if name is None else name,
        path=os.fspath(folder),
        split=split,
        selection_split=metrics.get("selection_split"),
        config=config,
        weights=None if weights is None else dict(weights.get("metadata") or {}),
        seconds=metrics.get("seconds"),
        backbones=tuple(_backbone(path, weights, seed) for seed in predicted["seeds"]),
        pretraining_seeds=tuple(_pretraining_seed(weights, seed) for seed in predicted["seeds"]),
        **predicted,
    )


def _backbone(path: Path, weights: dict[str, Any] | None, seed: int) -> str:
    """A name for the initial weights of a training: their digest, or the seed that drew them."""
    if weights is None:
        return f"random weights of seed {seed}"
    return str(weights.get("sha256") or path)


def _pretraining_seed(weights: dict[str, Any] | None, seed: int) -> int | None:
    if weights is None:
        return seed
    found = (weights.get("metadata") or {}).get("seed")
    return found if isinstance(found, int) else None


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
        pretraining_seeds=tuple(seed for result in results for seed in result.pretraining_seeds),
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
        EvaluationError: Fewer than two, names given twice, or other targets, classes, images, labels or patients.
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
        if other.target != first.target:
            raise EvaluationError(
                f"{pair} have different targets, {first.target} and {other.target}: only results with the same "
                "`target` can be compared"
            )
        if other.classes != first.classes:
            raise EvaluationError(
                f"{pair} have different {count_words(first.target)}: {', '.join(first.classes)} against "
                f"{', '.join(other.classes)}"
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
        differing = int((first.truth != other.truth).any(axis=1).sum())
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
    pretrainings = [result.backbones for result in results]
    if first.target != CLASSES:
        return measure_target(
            first.target,
            first.classes,
            first.truth,
            [result.probabilities for result in results],
            pretrainings=pretrainings,
            patients=first.patients,
            each=first.unit,
            resamples=resamples,
            seed=seed,
        )
    return measure(
        first.labels,
        [result.probabilities for result in results],
        first.classes,
        pretrainings=pretrainings,
        patients=first.patients,
        positive=first.positive,
        each=first.unit,
        resamples=resamples,
        seed=seed,
    )
