"""Pairs of results: which ones are compared, and the tests of each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctprune.comparison.result import Result
from ctprune.comparison.seed_pairs import difference_by_seed, has_pairs
from ctprune.comparison.verdict import ALPHA, Finding, equivalence_sentence
from ctprune.errors import ConfigError
from ctprune.evaluation.correction import CORRECTIONS, decision_levels
from ctprune.evaluation.delong import DelongTest, delong_test
from ctprune.evaluation.estimate import Estimate
from ctprune.evaluation.measured import Measured
from ctprune.evaluation.scales import widest_difference
from ctprune.evaluation.targets import groups_of
from ctprune.evaluation.units import unit_of_images
from ctprune.options.shared import CLASSES, MULTI_LABEL


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
    """DeLong's test for one class or label against the rest, on predictions averaged over trainings.

    Attributes:
        positive: Name of the class or label.
        test: DeLong's test.
        corrected: p-value of the test, corrected for all classes or labels and pairs.
    """

    positive: str
    test: DelongTest
    corrected: float


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Whether a difference is shown to be smaller than a margin, by both one-sided tests.

    Attributes:
        margin: Largest difference in the measure that decides, in either direction, that counts as equivalent.
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
        corrected: p-value of the difference in the measure that decides, corrected for all pairs.
        level: Level of the decision; the interval from `low` to `high` has the level 1 − `level`.
        low: Lower end of the interval of the difference in this measure, which agrees with the verdict.
        high: Upper end of the interval of the difference in this measure, which agrees with the verdict.
        detectable: The smallest difference in this measure that would have been shown with a probability of 80 %.
        equivalence: Tests of equivalence; None without a margin.
        delong: DeLong's tests: one for the positive class of two, or one for each of more classes, or of several
            labels; none for levels and numbers.
        verdict: Verdict on the measure that decides: `larger` or `smaller`, of the first result (a smaller error
            is the better one), `likely`, `backbones`, `noise`, `few`, `unclear` or `undefined`.
        sentence: The verdict as a sentence.
        paired: Whether pre-trainings of the same seed were compared with each other.
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
    paired: bool


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
    pair_seeds: bool,
) -> list[Pair]:
    """Test all pairs, each at the level that the correction gives it."""
    correct = CORRECTIONS[correction]
    decisive = results[0].decisive
    paired = [pair_seeds and has_pairs(found, a, b) for a, b in indices]
    if pair_seeds and not any(paired):
        raise ConfigError(
            "pair_seeds: expected two results with several pre-trainings each, found none: give those of one kind "
            "the same name, or leave `pair_seeds` out",
            field="pair_seeds",
        )

    def difference(index: int, metric: str) -> Estimate:
        a, b = indices[index]
        return (
            difference_by_seed(results, found, a, b, metric) if paired[index] else found.difference(a, b, metric)
        )

    deciding = [difference(index, decisive.metric) for index in range(len(indices))]
    p_values = [one.p_value() for one in deciding]
    corrected = correct(p_values)
    levels = decision_levels(p_values, correction, alpha=ALPHA)
    equivalent = _equivalences(deciding, margin, correction)
    averaged = [
        levels.averaged(result.probabilities) for result, levels in zip(results, found.levels, strict=True)
    ]
    tests = [_delong(results[0], averaged[a], averaged[b]) for a, b in indices]
    flat = correct([test.p_value for of_pair in tests for _, test in of_pair]).tolist()
    patients, patients_of = _fewest(results[0])
    pairs = []
    for index, (a, b) in enumerate(indices):
        low, high = _within(deciding[index].interval(levels[index]), decisive.widest)
        finding = Finding(
            run=results[a].name,
            other=results[b].name,
            decisive=decisive,
            value=deciding[index].value,
            low=low,
            high=high,
            corrected=float(corrected[index]),
            detectable=deciding[index].detectable(levels[index]),
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
                differences={
                    name: _difference(difference(index, name), widest_difference(scale))
                    for name, scale in found.scales.items()
                },
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
                paired=paired[index],
            )
        )
    return pairs


def _equivalences(deciding: Sequence[Estimate], margin: float | None, correction: str) -> list[Equivalence | None]:
    if margin is None:
        return [None] * len(deciding)
    p_values = [one.equivalence_p_value(margin) for one in deciding]
    corrected = CORRECTIONS[correction](p_values).tolist()
    return [
        Equivalence(margin=margin, p_value=p, corrected=of_all, shown=of_all < ALPHA)
        for p, of_all in zip(p_values, corrected, strict=True)
    ]


def _difference(found: Estimate, widest: float) -> Difference:
    low, high = _within(found.interval(), widest)
    return Difference(value=found.value, low=low, high=high, p_value=found.p_value())


def _within(ends: tuple[float, float], widest: float) -> tuple[float, float]:
    """Limit an interval to the differences that there can be, such as [-1, 1] for two fractions."""
    low, high = ends
    return (low, high) if math.isnan(low) else (max(low, -widest), min(high, widest))


def _fewest(result: Result) -> tuple[int, str]:
    """Number of patients of the rarest class, or on the rarer side of the rarest label, and which these are.

    Where labels are levels or numbers, that of all patients.
    """
    unit = unit_of_images(result.patients, len(result.labels))
    if result.target == CLASSES:
        groupings = [(result.labels, tuple(f"of class {name}" for name in result.classes))]
    elif result.target == MULTI_LABEL:
        groupings = groups_of(result.target, result.classes, result.truth)
    else:
        return len(np.unique(unit)), ""
    counts = [
        (len(np.unique(unit[labels == number])), group)
        for labels, groups in groupings
        for number, group in enumerate(groups)
    ]
    # A class that has no image has no part in the result.
    return min((one for one in counts if one[0]), key=lambda one: one[0])


def _delong(
    result: Result, mean: npt.NDArray[np.float64], other_mean: npt.NDArray[np.float64]
) -> list[tuple[str, DelongTest]]:
    """One test for each class or label that is taken as positive; all results share labels and patients."""
    if result.target not in (CLASSES, MULTI_LABEL):
        return []
    tests = []
    for c, name in enumerate(result.classes):
        truth = result.labels == c if result.target == CLASSES else result.labels[:, c] > 0
        if result.positive in (None, name) and truth.any() and not truth.all():
            test = delong_test(truth, mean[:, c], other_mean[:, c], patients=result.patients)
            tests.append((name, test))
    return tests
