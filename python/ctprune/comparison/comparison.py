"""The comparison itself: measures with intervals, paired differences, tests, and what they say."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ctprune import _core
from ctprune.comparison.result import Result, check_comparable
from ctprune.comparison.verdict import ALPHA, sentence, verdict
from ctprune.errors import ConfigError
from ctprune.evaluation.bootstrap import Bootstrap, bootstrap
from ctprune.evaluation.correction import CORRECTIONS
from ctprune.evaluation.delong import DelongTest, auc_covariance, auc_interval, delong_test
from ctprune.evaluation.metrics import METRICS, undefined_because
from ctprune.evaluation.predictions import positive_class
from ctprune.evaluation.weighted import weighted_metrics

#: Version of comparison.json.
COMPARISON_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure of one result.

    Attributes:
        mean: Over seeds.
        std: Over seeds, of the sample; nan for one seed.
        low: Lower end of the 95 % bootstrap interval.
        high: Upper end.
    """

    mean: float
    std: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One measure's difference between two results, by the bootstrap on the same resamples.

    Attributes:
        value: The first's mean less the second's.
        low: Lower end of the 95 % interval.
        high: Upper end.
        p_value: Two-sided.
    """

    value: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class ClassTest:
    """DeLong's test for one class against the rest, on predictions averaged over seeds.

    Attributes:
        positive: The class.
        test: The test.
        corrected: Its p-value, corrected for all of them.
    """

    positive: str
    test: DelongTest
    corrected: float


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two results against each other.

    Attributes:
        run: Name of the first.
        other: Name of the second.
        differences: By measure, the first less the second.
        corrected: The p-value of the difference in AUC, corrected for all pairs.
        delong: One for the positive class of two, or one for each of more.
        verdict: `larger`, `smaller`, `noise`, `unclear` or `undefined`, of the AUC.
        sentence: The same in words.
    """

    run: str
    other: str
    differences: dict[str, Difference]
    corrected: float
    delong: tuple[ClassTest, ...]
    verdict: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `ctprune.compare` finds.

    Attributes:
        results: What was compared, in the order given.
        measures: For each result its measures by name.
        averaged_auc: For each result the AUC of the predictions averaged over seeds, with DeLong's 95 % interval
            (only with two classes).
        pairs: Each result against each other, or against the reference.
        correction: `holm` or `benjamini-hochberg`.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        unit: What was resampled: `image` or `patient`.
        notes: Sentences that the reader must know.
    """

    results: tuple[Result, ...]
    measures: tuple[dict[str, Measure], ...]
    averaged_auc: tuple[tuple[float, float, float] | None, ...]
    pairs: tuple[Pair, ...]
    correction: str
    resamples: int
    seed: int
    unit: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the predictions, fit for JSON; nan becomes None."""
        first = self.results[0]
        runs = [
            {
                "name": result.name,
                "path": result.path,
                "config": result.config,
                "weights": result.weights,
                "slices": result.slices,
                "pretraining_seconds": result.pretraining_seconds,
                "seconds": result.seconds,
                "seeds": list(result.seeds),
                "metrics": {name: asdict(measure) for name, measure in measures.items()},
                "averaged_auc": averaged,
            }
            for result, measures, averaged in zip(self.results, self.measures, self.averaged_auc, strict=True)
        ]
        found = {
            "comparison_version": COMPARISON_VERSION,
            "ctprune_version": _core.__version__,
            "classes": list(first.classes),
            "evaluated_split": first.split,
            "images": len(first.images),
            "images_by_class": self.images_by_class(),
            "patients": self.patients(),
            "unit": self.unit,
            "resamples": self.resamples,
            "seed": self.seed,
            "correction": self.correction,
            "alpha": ALPHA,
            "runs": runs,
            "pairs": [asdict(pair) for pair in self.pairs],
            "notes": list(self.notes),
        }
        return dict(_without_nan(found))

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
    correction: str = "holm",
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare results that are in memory; see `ctprune.compare`."""
    check_comparable(results)
    if correction not in CORRECTIONS:
        raise ConfigError(f"--correction {correction}: expected one of {', '.join(CORRECTIONS)}")
    if not 100 <= resamples <= 1_000_000:
        raise ConfigError(f"--resamples {resamples}: expected 100 to 1,000,000")
    first = results[0]
    found = bootstrap(
        first.labels,
        [result.probabilities for result in results],
        first.classes,
        patients=first.patients,
        positive=first.config.get("positive"),
        resamples=resamples,
        seed=seed,
    )
    return Comparison(
        results=tuple(results),
        measures=tuple(_measures(result, found, index) for index, result in enumerate(results)),
        averaged_auc=tuple(_averaged_auc(result) for result in results),
        pairs=tuple(_pairs(results, found, _indices(results, reference), correction)),
        correction=correction,
        resamples=resamples,
        seed=seed,
        unit=found.unit,
        notes=tuple(_notes(results, found)),
    )


def _indices(results: Sequence[Result], reference: str | None) -> list[tuple[int, int]]:
    names = [result.name for result in results]
    if reference is None:
        return list(itertools.combinations(range(len(results)), 2))
    if reference not in names:
        raise ConfigError(f"--reference {reference}: expected one of {', '.join(names)}")
    fixed = names.index(reference)
    return [(index, fixed) for index in range(len(results)) if index != fixed]


def _measures(result: Result, found: Bootstrap, index: int) -> dict[str, Measure]:
    which = positive_class(result.classes, result.config.get("positive"))
    once = np.ones((1, len(result.labels)))
    seeds = [weighted_metrics(result.labels, one, once, which) for one in result.probabilities]
    measures = {}
    for name in METRICS:
        interval = found.interval(index, name)
        spread = np.std([one[name][0] for one in seeds], ddof=1) if len(seeds) > 1 else np.nan
        measures[name] = Measure(mean=interval.value, std=float(spread), low=interval.low, high=interval.high)
    return measures


def _averaged_auc(result: Result) -> tuple[float, float, float] | None:
    which = positive_class(result.classes, result.config.get("positive"))
    truth = result.labels == which
    if which is None or truth.all() or not truth.any():
        return None
    areas, covariance = auc_covariance(
        truth, result.probabilities.mean(axis=0)[:, which], patients=result.patients
    )
    low, high = auc_interval(areas.item(), covariance.item())
    return areas.item(), low, high


def _pairs(
    results: Sequence[Result], found: Bootstrap, indices: list[tuple[int, int]], correction: str
) -> list[Pair]:
    correct = CORRECTIONS[correction]
    differences = [_differences(found, a, b) for a, b in indices]
    corrected = correct([difference["auc"].p_value for difference in differences])
    tests = [_delong(results[a], results[b]) for a, b in indices]
    flat = correct([test.p_value for of_pair in tests for _, test in of_pair]).tolist()
    pairs = []
    for (a, b), difference, p_value, of_pair in zip(indices, differences, corrected, tests, strict=True):
        delong = tuple(ClassTest(positive=name, test=test, corrected=flat.pop(0)) for name, test in of_pair)
        said = verdict(difference["auc"].value, float(p_value), [test.corrected for test in delong])
        pairs.append(
            Pair(
                run=results[a].name,
                other=results[b].name,
                differences=difference,
                corrected=float(p_value),
                delong=delong,
                verdict=said,
                sentence=sentence(
                    said,
                    results[a].name,
                    results[b].name,
                    difference["auc"].value,
                    (difference["auc"].low, difference["auc"].high),
                    float(p_value),
                ),
            )
        )
    return pairs


def _differences(found: Bootstrap, a: int, b: int) -> dict[str, Difference]:
    differences = {}
    for name in METRICS:
        interval = found.difference(a, b, name)
        differences[name] = Difference(
            value=interval.value, low=interval.low, high=interval.high, p_value=interval.p_value
        )
    return differences


def _delong(result: Result, other: Result) -> list[tuple[str, DelongTest]]:
    which = positive_class(result.classes, result.config.get("positive"))
    mean, other_mean = result.probabilities.mean(axis=0), other.probabilities.mean(axis=0)
    tests = []
    for c in range(len(result.classes)) if which is None else [which]:
        truth = result.labels == c
        if truth.any() and not truth.all():
            test = delong_test(truth, mean[:, c], other_mean[:, c], patients=result.patients)
            tests.append((result.classes[c], test))
    return tests


def _notes(results: Sequence[Result], found: Bootstrap) -> list[str]:
    first = results[0]
    notes = undefined_because(first.labels, first.classes)
    if found.unit == "image":
        notes.append(
            "Patients are not known: images were resampled one by one, so where a patient has several images the "
            "intervals are too narrow."
        )
    same = [
        result.name
        for result in results
        if len(result.seeds) > 1 and not np.ptp(result.probabilities, axis=0).any()
    ]
    if same:
        notes.append(
            f"The seeds of {', '.join(same)} gave the same predictions: they tell nothing of how much a result "
            "varies with the training, and the noise is larger than the intervals show."
        )
    single = [result.name for result in results if len(result.seeds) == 1]
    if single:
        notes.append(
            f"One seed only for {', '.join(single)}: how much training varies is not known, and the noise is "
            "larger than the intervals show."
        )
    if any(result.selection_split == result.split for result in results):
        notes.append(
            f"The split {first.split!r} chose the epoch, too, before it was evaluated: all values are somewhat "
            "too high, and a test set kept apart has the last word."
        )
    elif first.split != "test":
        notes.append(
            f"Measured on the split {first.split!r}, not on a test set: whoever has chosen settings by it has "
            "values that are somewhat too high."
        )
    if len({str(sorted(_training(result).items())) for result in results}) > 1:
        notes.append("The results were not fine-tuned with the same options: a difference may come from those.")
    undefined = found.interval(0, "auc").undefined
    if undefined:
        notes.append(
            f"In {undefined:,} of {found.resamples:,} resamples a class had no image: they were left out."
        )
    return notes


def _training(result: Result) -> dict[str, str]:
    """The options of fine-tuning without those that come with the weights, which are what is compared."""
    of_weights = ("weights", "backbone", "intensity", "seeds")
    return {name: str(value) for name, value in result.config.items() if name not in of_weights}


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
