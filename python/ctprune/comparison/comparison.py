"""The comparison itself: measures with intervals, paired differences, tests, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.comparison.notes import notes_on
from ctprune.comparison.pairs import Pair, find_pairs, pairs_to_compare
from ctprune.comparison.result import Result, check_comparable
from ctprune.comparison.verdict import ALPHA, LEAST_PATIENTS, LEAST_PRETRAININGS
from ctprune.errors import ConfigError
from ctprune.evaluation.correction import CORRECTIONS
from ctprune.evaluation.delong import auc_covariance, auc_interval
from ctprune.evaluation.levels import Levels
from ctprune.evaluation.measured import Measured, measure
from ctprune.evaluation.metrics import METRICS

#: Version of comparison.json.
COMPARISON_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure of one result.

    Attributes:
        mean: Over pre-trainings, of each the mean over its fine-tunings.
        std: Between the means of pre-trainings, of the sample; nan for one pre-training.
        std_finetunings: Between fine-tunings of one pre-training, of the sample; nan where no pre-training has
            two.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    mean: float
    std: float
    std_finetunings: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `ctprune.compare` finds.

    Attributes:
        results: What was compared, in the order given.
        levels: For each result how many pre-trainings and fine-tunings it comes from; identical predictions count
            once.
        measures: For each result its measures by name.
        averaged_auc: For each result the AUC of the predictions averaged over trainings, with DeLong's 95 %
            interval (only with two classes).
        pairs: Those asked for.
        correction: `holm` or `benjamini-hochberg`.
        margin: Of equivalence, in AUC; None where it was not asked for.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        unit: What the images were drawn by: `image` or `patient`.
        notes: Sentences that the reader must know.
    """

    results: tuple[Result, ...]
    levels: tuple[Levels, ...]
    measures: tuple[dict[str, Measure], ...]
    averaged_auc: tuple[tuple[float, float, float] | None, ...]
    pairs: tuple[Pair, ...]
    correction: str
    margin: float | None
    resamples: int
    seed: int
    unit: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the predictions, fit for JSON; nan becomes None."""
        first = self.results[0]
        found = {
            "comparison_version": COMPARISON_VERSION,
            "ctprune_version": _core.__version__,
            "classes": list(first.classes),
            "positive": first.positive,
            "evaluated_split": first.split,
            "images": len(first.images),
            "images_by_class": self.images_by_class(),
            "patients": self.patients(),
            "unit": self.unit,
            "resamples": self.resamples,
            "seed": self.seed,
            "correction": self.correction,
            "alpha": ALPHA,
            "margin": self.margin,
            "least_pretrainings": LEAST_PRETRAININGS,
            "least_patients": LEAST_PATIENTS,
            "runs": [self._run(index) for index in range(len(self.results))],
            "pairs": [asdict(pair) for pair in self.pairs],
            "notes": list(self.notes),
        }
        return dict(_without_nan(found))

    def _run(self, index: int) -> dict[str, Any]:
        result, levels = self.results[index], self.levels[index]
        return {
            "name": result.name,
            "path": result.path,
            "config": result.config,
            "weights": result.weights,
            "slices": result.slices,
            "pretraining_seconds": result.pretraining_seconds,
            "seconds": result.seconds,
            "seeds": list(result.seeds),
            "pretrainings": levels.pretrainings,
            "finetunings": list(levels.finetunings),
            "metrics": {name: asdict(found) for name, found in self.measures[index].items()},
            "averaged_auc": self.averaged_auc[index],
        }

    def images_by_class(self) -> dict[str, int]:
        """How many images of each class were evaluated."""
        first = self.results[0]
        counts = np.bincount(first.labels, minlength=len(first.classes))
        return {name: int(count) for name, count in zip(first.classes, counts, strict=True)}

    def patients(self) -> int | None:
        """How many patients the images are of; None where not all are known."""
        patients = self.results[0].patients
        return None if None in patients else len(set(patients))


def compare_results(
    results: Sequence[Result],
    *,
    reference: str | None = None,
    contrasts: Sequence[Sequence[str]] | None = None,
    correction: str = "holm",
    margin: float | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> Comparison:
    """Compare results that are in memory; see `ctprune.compare`."""
    check_comparable(results)
    if correction not in CORRECTIONS:
        raise ConfigError(f"--correction {correction}: expected one of {', '.join(CORRECTIONS)}")
    if margin is not None and not 0 < margin < 1:
        raise ConfigError(f"--margin {margin:g}: expected a difference in AUC such as 0.02")
    if not 100 <= resamples <= 1_000_000:
        raise ConfigError(f"--resamples {resamples}: expected 100 to 1,000,000")
    indices = pairs_to_compare([result.name for result in results], reference=reference, contrasts=contrasts)
    first = results[0]
    found = measure(
        first.labels,
        [result.probabilities for result in results],
        first.classes,
        pretrainings=[result.backbones for result in results],
        patients=first.patients,
        positive=first.positive,
        resamples=resamples,
        seed=seed,
    )
    return Comparison(
        results=tuple(results),
        levels=found.levels,
        measures=tuple(_measures(found, index) for index in range(len(results))),
        averaged_auc=tuple(
            _averaged_auc(result, levels) for result, levels in zip(results, found.levels, strict=True)
        ),
        pairs=tuple(find_pairs(results, found, indices, correction=correction, margin=margin)),
        correction=correction,
        margin=margin,
        resamples=resamples,
        seed=seed,
        unit=found.unit,
        notes=tuple(notes_on(results, found, explored=len(indices) if reference is contrasts is None else 0)),
    )


def _measures(found: Measured, index: int) -> dict[str, Measure]:
    levels, measures = found.levels[index], {}
    for name in METRICS:
        low, high = found.interval(index, name)
        values = found.values(index, name)
        several = levels.pretrainings > 1
        measures[name] = Measure(
            mean=found.mean(index, name).value,
            std=float(values.std(ddof=1)) if several else float("nan"),
            std_finetunings=_within(levels, found.trainings[index][name]),
            low=low,
            high=high,
        )
    return measures


def _within(levels: Levels, values: npt.NDArray[np.float64]) -> float:
    """What fine-tunings of one pre-training vary by, together over all pre-trainings."""
    groups = [values[row > 0] for row in levels.weights] if levels.pretrainings > 1 else [levels.weights @ values]
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    freedom = sum(len(group) - 1 for group in groups)
    return float(np.sqrt(squares / freedom)) if freedom else float("nan")


def _averaged_auc(result: Result, levels: Levels) -> tuple[float, float, float] | None:
    if result.positive is None:
        return None
    which = result.classes.index(result.positive)
    truth = result.labels == which
    if truth.all() or not truth.any():
        return None
    mean = levels.averaged(result.probabilities)[:, which]
    areas, covariance = auc_covariance(truth, mean, patients=result.patients)
    low, high = auc_interval(areas.item(), covariance.item())
    return areas.item(), low, high


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
