"""A comparison: measures with intervals, paired differences, tests and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.comparison.config import CompareConfig, CompareOptions
from ctprune.comparison.decisive import Decisive
from ctprune.comparison.notes import notes_on
from ctprune.comparison.pairs import Pair, find_pairs, pairs_to_compare
from ctprune.comparison.result import Result, check_comparable, measure_results
from ctprune.comparison.verdict import ALPHA, LEAST_PATIENTS, LEAST_PRETRAININGS
from ctprune.evaluation.delong import auc_covariance, auc_interval
from ctprune.evaluation.levels import Levels
from ctprune.evaluation.measured import Measured
from ctprune.files.json_values import without_nan
from ctprune.options.configure import configure
from ctprune.options.shared import MULTI_LABEL, REGRESSION

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Version of comparison.json.
COMPARISON_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure of one result.

    Attributes:
        mean: Mean over pre-trainings of the mean over their fine-tunings.
        std: Sample standard deviation between the means of pre-trainings; nan for one pre-training.
        std_finetunings: Sample standard deviation between fine-tunings of one pre-training; nan where no
            pre-training has two.
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
    """

    mean: float
    std: float
    std_finetunings: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison of results, as `ctprune.compare` returns it.

    Attributes:
        results: Results that were compared, in the order given.
        levels: Number of pre-trainings and fine-tunings of each result; identical predictions count once.
        measures: Measures of each result by name.
        averaged_auc: AUC of each result's predictions averaged over trainings, with DeLong's 95 % interval; None
            if labels are not one of two classes.
        pairs: Pairs of results that were compared.
        correction: Correction for multiple comparisons, `holm` or `benjamini-hochberg`.
        margin: Margin of equivalence, in the measure that decides; None if it was not given.
        resamples: Number of bootstrap resamples.
        seed: Random seed of the bootstrap.
        pair_seeds: Whether pre-trainings of the same seed were to be compared with each other.
        unit: Unit that was resampled: `patient`, or `image` or `volume` where patients are not known.
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
    pair_seeds: bool
    unit: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the predictions, fit for JSON; nan becomes None."""
        first = self.results[0]
        found = {
            "comparison_version": COMPARISON_VERSION,
            "ctprune_version": _core.__version__,
            "target": first.target,
            "decisive": first.decisive.metric,
            "classes": list(first.classes),
            "positive": first.positive,
            "evaluated_split": first.split,
            "each": first.unit,
            "images": len(first.images),
            "images_by_class": self.images_by_class(),
            "patients": self.patients(),
            "unit": self.unit,
            "resamples": self.resamples,
            "seed": self.seed,
            "pair_seeds": self.pair_seeds,
            "correction": self.correction,
            "alpha": ALPHA,
            "margin": self.margin,
            "least_pretrainings": LEAST_PRETRAININGS,
            "least_patients": LEAST_PATIENTS,
            "runs": [self._run(index) for index in range(len(self.results))],
            "pairs": [asdict(pair) for pair in self.pairs],
            "notes": list(self.notes),
        }
        return dict(without_nan(found))

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

    @property
    def decisive(self) -> Decisive:
        """The measure that decides."""
        return self.results[0].decisive

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the measures, in the order in which they are shown."""
        return tuple(self.measures[0])

    def images_by_class(self) -> dict[str, int]:
        """How many images of each class or level, or with each label, were evaluated; empty for numbers."""
        first = self.results[0]
        if first.target == REGRESSION:
            return {}
        if first.target == MULTI_LABEL:
            counts = (first.labels > 0).sum(axis=0)
        else:
            counts = np.bincount(first.labels, minlength=len(first.classes))
        return {name: int(count) for name, count in zip(first.classes, counts, strict=True)}

    def patients(self) -> int | None:
        """Number of patients in the images; None if not all are known."""
        patients = self.results[0].patients
        return None if None in patients else len(set(patients))


def compare_results(
    results: Sequence[Result],
    config: CompareConfig | None = None,
    /,
    **options: Unpack[CompareOptions],
) -> Comparison:
    """Compare results that are in memory; see `ctprune.compare`."""
    config = configure(CompareConfig, config, options)
    check_comparable(results)
    results[0].decisive.check_margin(config.margin)
    indices = pairs_to_compare(
        [result.name for result in results], reference=config.reference, contrasts=config.contrasts
    )
    explored = len(indices) if config.reference is config.contrasts is None else 0
    found = measure_results(results, resamples=config.resamples, seed=config.seed)
    pairs = find_pairs(
        results,
        found,
        indices,
        correction=config.correction,
        margin=config.margin,
        pair_seeds=config.pair_seeds,
    )
    return Comparison(
        results=tuple(results),
        levels=found.levels,
        measures=tuple(_measures(found, index) for index in range(len(results))),
        averaged_auc=tuple(
            _averaged_auc(result, levels) for result, levels in zip(results, found.levels, strict=True)
        ),
        pairs=tuple(pairs),
        correction=config.correction,
        margin=config.margin,
        resamples=config.resamples,
        seed=config.seed,
        pair_seeds=config.pair_seeds,
        unit=found.unit,
        notes=tuple(notes_on(results, found, explored=explored, pairs=pairs if config.pair_seeds else ())),
    )


def _measures(found: Measured, index: int) -> dict[str, Measure]:
    levels, measures = found.levels[index], {}
    for name in found.scales:
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
    """Standard deviation between fine-tunings of one pre-training, pooled over all pre-trainings."""
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
