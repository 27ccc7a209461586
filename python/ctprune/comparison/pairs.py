"""Pairs of results: which ones are compared, and the tests of each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctprune.comparison.result import Result
from ctprune.comparison.verdict import ALPHA, Finding, equivalence_sentence
from ctprune.errors import ConfigError
from ctprune.evaluation.correction import CORRECTIONS, decision_levels
from ctprune.evaluation.delong import DelongTest, delong_test
from ctprune.evaluation.estimate import Estimate
from ctprune.evaluation.measured import Measured
from ctprune.evaluation.metrics import METRICS
from ctprune.evaluation.units import unit_of_images


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One measure's difference between two results.

    Attributes:
        value: Mean of the first result minus that of the second.
        low: Lower end of the 95 % interval, for this comparison alone.
        high: Upper end of the 95 % interval, for this comparison alone.
        p_value: Two-sided p-value, for this comparison alone.
    """

    value: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class ClassTest:
    """DeLong's test for one class against the rest, on predictions averaged over trainings.

    Attributes:
        positive: Name of the class.
        test: DeLong's test.
        corrected: p-value of the test, corrected for all classes and pairs.
    """

    positive: str
    test: DelongTest
    corrected: float


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Whether the difference in AUC is shown to be smaller than a margin, by both one-sided tests.

    Attributes:
        margin: Largest difference in AUC, in either direction, that counts as equivalent.
        p_value: The larger p-value of both one-sided tests.
        corrected: p-value, corrected for all pairs.
        shown: Whether the corrected p-value is below 0.05.
    """

    margin: float
    p_value: float
    corrected: float
    shown: bool


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two results against each other.

    Attributes:
        run: Name of the first result.
        other: Name of the second result.
        differences: Differences of the first less the second, by measure.
        corrected: p-value of the difference in AUC, corrected for all pairs.
        level: Level of the decision; the interval from `low` to `high` has the level 1 − `level`.
        low: Lower end of the interval of the difference in AUC, which agrees with the verdict.
        high: Upper end of the interval of the difference in AUC, which agrees with the verdict.
        detectable: The smallest difference in AUC that would have been shown with a probability of 80 %.
        equivalence: Tests of equivalence; None without a margin.
        delong: DeLong's tests: one for the positive class of two, or one for each of more classes.
        verdict: Verdict on the AUC: `larger`, `smaller`, `likely`, `backbones`, `noise`, `few`, `unclear` or
            `undefined`.
        sentence: The verdict as a sentence.
    """

    run: str
    other: str
    differences: dict[str, Difference]
    corrected: float
    level: float
    low: float
    high: float
    detectable: float
    equivalence: Equivalence | None
    delong: tuple[ClassTest, ...]
    verdict: str
    sentence: str


def pairs_to_compare(
    names: Sequence[str], *, reference: str | None, contrasts: Sequence[Sequence[str]] | None
) -> list[tuple[int, int]]:
    """Indices of the results of each pair: the contrasts, else each result against the reference, else all pairs.

    >>> pairs_to_compare(["none", "all", "hash"], reference=None, contrasts=[["hash", "all"]])
    [(2, 1)]
    """
    if contrasts is not None:
        return [_contrast(names, list(contrast)) for contrast in contrasts]
    if reference is None:
        return list(itertools.combinations(range(len(names)), 2))
    if reference not in names:
        raise ConfigError(f"reference {reference}: expected one of {', '.join(names)}", field="reference")
    fixed = names.index(reference)
    return [(index, fixed) for index in range(len(names)) if index != fixed]


def _contrast(names: Sequence[str], contrast: list[str]) -> tuple[int, int]:
    said = ",".join(map(str, contrast))
    if len(contrast) != 2 or contrast[0] == contrast[1]:
        raise ConfigError(f"contrasts {said}: expected the names of two results", field="contrasts")
    for name in contrast:
        if name not in names:
            raise ConfigError(
                f"contrasts {said}: expected two of {', '.join(names)}, found {name}", field="contrasts"
            )
    return names.index(contrast[0]), names.index(contrast[1])


def find_pairs(
    results: Sequence[Result],
    found: Measured,
    indices: Sequence[tuple[int, int]],
    *,
    correction: str,
    margin: float | None,
) -> list[Pair]:
    """Test all pairs, each at the level that the correction gives it."""
    correct = CORRECTIONS[correction]
    aucs = [found.difference(a, b, "auc") for a, b in indices]
    p_values = [auc.p_value() for auc in aucs]
    corrected = correct(p_values)
    levels = decision_levels(p_values, correction, alpha=ALPHA)
    equivalent = _equivalences(aucs, margin, correction)
    averaged = [
        levels.averaged(result.probabilities) for result, levels in zip(results, found.levels, strict=True)
    ]
    tests = [_delong(results[0], averaged[a], averaged[b]) for a, b in indices]
    flat = correct([test.p_value for of_pair in tests for _, test in of_pair]).tolist()
    patients, patients_of = _rarest(results[0])
    pairs = []
    for index, (a, b) in enumerate(indices):
        low, high = _within_one(aucs[index].interval(levels[index]))
        finding = Finding(
            run=results[a].name,
            other=results[b].name,
            value=aucs[index].value,
            low=low,
            high=high,
            corrected=float(corrected[index]),
            detectable=aucs[index].detectable(levels[index]),
            pretrainings=(found.levels[a].pretrainings, found.levels[b].pretrainings),
            patients=patients,
            patients_of=patients_of,
            unit=found.unit,
        )
        equivalence = equivalent[index]
        sentences = [finding.sentence]
        if equivalence is not None:
            sentences.append(equivalence_sentence(finding, equivalence.margin, equivalence.corrected))
        pairs.append(
            Pair(
                run=finding.run,
                other=finding.other,
                differences={name: _difference(found.difference(a, b, name)) for name in METRICS},
                corrected=finding.corrected,
                level=float(levels[index]),
                low=low,
                high=high,
                detectable=finding.detectable,
                equivalence=equivalence,
                delong=tuple(
                    ClassTest(positive=name, test=test, corrected=flat.pop(0)) for name, test in tests[index]
                ),
                verdict=finding.verdict,
                sentence=" ".join(filter(None, sentences)),
            )
        )
    return pairs


def _equivalences(aucs: Sequence[Estimate], margin: float | None, correction: str) -> list[Equivalence | None]:
    if margin is None:
        return [None] * len(aucs)
    p_values = [auc.equivalence_p_value(margin) for auc in aucs]
    corrected = CORRECTIONS[correction](p_values).tolist()
    return [
        Equivalence(margin=margin, p_value=p, corrected=of_all, shown=of_all < ALPHA)
        for p, of_all in zip(p_values, corrected, strict=True)
    ]


def _difference(found: Estimate) -> Difference:
    low, high = _within_one(found.interval())
    return Difference(value=found.value, low=low, high=high, p_value=found.p_value())


def _within_one(ends: tuple[float, float]) -> tuple[float, float]:
    """Limit an interval to [-1, 1], the range of differences of two fractions."""
    low, high = ends
    return (low, high) if math.isnan(low) else (max(low, -1.0), min(high, 1.0))


def _rarest(result: Result) -> tuple[int, str]:
    """Number of patients of the rarest class, and its name."""
    unit = unit_of_images(result.patients, len(result.labels))
    counts = [len(np.unique(unit[result.labels == c])) for c in range(len(result.classes))]
    # A class that has no image has no part in the result.
    there = [index for index, count in enumerate(counts) if count]
    fewest = min(there, key=lambda index: counts[index])
    return counts[fewest], result.classes[fewest]


def _delong(
    result: Result, mean: npt.NDArray[np.float64], other_mean: npt.NDArray[np.float64]
) -> list[tuple[str, DelongTest]]:
    """One test for each class that is taken as the positive one; all results share labels and patients."""
    tests = []
    for c, name in enumerate(result.classes):
        truth = result.labels == c
        if result.positive in (None, name) and truth.any() and not truth.all():
            test = delong_test(truth, mean[:, c], other_mean[:, c], patients=result.patients)
            tests.append((name, test))
    return tests
