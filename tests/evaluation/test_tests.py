"""DeLong's test against pROC and loops, and corrections for many tests."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from ctprune.errors import EvaluationError
from ctprune.evaluation.bootstrap import bootstrap
from ctprune.evaluation.correction import benjamini_hochberg, decision_levels, holm
from ctprune.evaluation.delong import auc_covariance, delong_test, macro_auc_covariance
from tests.reference.auc import pairwise_covariance

# aSAH, the example of R's package pROC: 113 patients with a subarachnoid haemorrhage (Turck et al., Intensive Care
# Medicine 36 (2010) 107): outcome good or poor, WFNS grade, S100β in hundredths of µg/l.
OUTCOME = (
    "GGGGPPGPGGPGPPGGPGPPPGPGGGGGGGGGPGGPPGPPGGGGGGGGGPPGGGPGGGPG"
    "PGGPPPGPPGPPPPGGGPPGPGGGGGGPGGGGGGGGGGGGPPPPPPGGGPGGG"
)


WFNS = (
    "111132541252551252252111121211342145414255112411255212512221"
    "51125214524414121421232421451154221113125225552445111"
)


S100B = [
    *(
        13,
        14,
        10,
        4,
        13,
        10,
        47,
        16,
        18,
        10,
        12,
        10,
        44,
        71,
        4,
        8,
        49,
        4,
        7,
        33,
        9,
        9,
        7,
        11,
        7,
        17,
        7,
        11,
        13,
        19,
    ),
    *(5, 16, 41, 14, 34, 35, 48, 9, 96, 25, 50, 46, 16, 7, 43, 45, 11, 8, 9, 86, 52, 8, 6, 13, 207, 10, 14, 15, 7),
    *(
        6,
        77,
        5,
        9,
        30,
        3,
        9,
        4,
        23,
        70,
        9,
        27,
        71,
        8,
        26,
        8,
        16,
        9,
        13,
        10,
        8,
        11,
        33,
        11,
        28,
        7,
        10,
        32,
        22,
        7,
        5,
    ),
    *(24, 38, 10, 15, 8, 14, 10, 7, 4, 19, 56, 14, 58, 32, 82, 74, 15, 47, 17, 44, 15, 50, 48),
]


def test_delong_equals_proc() -> None:
    """Expected values as in pROC's own tests (var, cov, roc.test of aSAH)."""
    truth = np.array(list(OUTCOME)) == "P"
    wfns, s100b = np.array(list(WFNS), float), np.array(S100B) / 100
    areas, covariance = auc_covariance(truth, [wfns, s100b])
    assert areas == pytest.approx([0.823678861788618, 0.731368563685637], abs=1e-12)
    assert covariance[0, 0] == pytest.approx(0.00146991470882363, rel=1e-10)
    assert covariance[1, 1] == pytest.approx(0.00266868245717244, rel=1e-10)
    assert covariance[0, 1] == pytest.approx(0.00119615567376754, rel=1e-10)
    test = delong_test(truth, wfns, s100b)
    assert test.z == pytest.approx(2.20898359144091, rel=1e-10)
    assert test.p_value == pytest.approx(0.0271757822291882, rel=1e-10)
    assert (test.low, test.high) == pytest.approx((0.0104061769564846, 0.174214419249478), rel=1e-10)


@settings(max_examples=50, deadline=None)
@given(st.integers(4, 25), st.booleans(), st.integers(0, 2**32))
def test_delong_equals_all_pairs(images: int, ties: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.r_[True, True, False, False, random.random(images - 4) < 0.5]
    scores = random.integers(0, 4, (3, images)).astype(float) if ties else random.normal(size=(3, images))
    areas, covariance = auc_covariance(truth, scores)
    slow_areas, slow_covariance = pairwise_covariance(truth, scores)
    assert areas == pytest.approx(slow_areas, abs=1e-12)
    assert covariance == pytest.approx(slow_covariance, abs=1e-12)


def test_delong_by_patient() -> None:
    """Images of a patient that are copies of each other tell no more than one of them."""
    random = np.random.default_rng(0)
    truth, scores = random.random(40) < 0.4, random.normal(size=(2, 40))
    single = delong_test(truth, *scores)
    repeated = np.repeat(scores, 5, axis=1)
    patients = [str(i) for i in np.repeat(np.arange(40), 5)]
    by_patient = delong_test(np.repeat(truth, 5), *repeated, patients=patients)
    assert by_patient.p_value == pytest.approx(single.p_value, rel=1e-9)
    assert delong_test(np.repeat(truth, 5), *repeated).z > 2 * single.z


def test_delong_by_patient_agrees_with_the_bootstrap() -> None:
    """Patients with images of both classes, which share a shift of their scores."""
    random = np.random.default_rng(1)
    patient = np.repeat(np.arange(80), 6)
    truth = random.random(480) < 0.5
    scores = random.normal(size=480) + truth + 1.5 * random.normal(size=80)[patient]
    _, covariance = auc_covariance(truth, scores, patients=[str(p) for p in patient])
    share = 1 / (1 + np.exp(-scores))
    found = bootstrap(
        truth.astype(int), np.stack([1 - share, share], axis=1), ["a", "b"], patients=[str(p) for p in patient]
    )
    assert covariance.item() == pytest.approx(found.covariance("auc").item(), rel=0.2)


def test_covariance_of_the_mean_area_over_classes_agrees_with_the_bootstrap() -> None:
    random = np.random.default_rng(2)
    labels = np.arange(240) % 3
    noise = random.normal(size=(240, 3)) + 0.5 * random.normal(size=(2, 240, 3))
    score = np.exp(1.5 * np.eye(3)[labels] + noise)
    probabilities = score / score.sum(axis=2, keepdims=True)
    patients = [str(i // 4) for i in range(240)]
    covariance = macro_auc_covariance(labels, probabilities, patients=patients)
    drawn = bootstrap(labels, probabilities, ["a", "b", "c"], patients=patients, resamples=2000)
    assert covariance == pytest.approx(drawn.covariance("auc"), rel=0.15)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_the_mean_area_of_two_classes_is_delongs(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, share = np.arange(30) % 2, random.random((2, 30))
    probabilities = np.stack([1 - share, share], axis=2)
    assert macro_auc_covariance(labels, probabilities) == pytest.approx(auc_covariance(labels == 1, share)[1])


def test_delong_of_equal_and_of_separated_models() -> None:
    truth = [False, False, True, True]
    same = delong_test(truth, [1, 2, 3, 4], [10, 20, 30, 40])
    assert (same.difference, same.z, same.p_value) == (0, 0, 1)
    opposite = delong_test(truth, [1, 2, 3, 4], [4, 3, 2, 1])
    assert (opposite.difference, opposite.p_value) == (1, 0)
    with pytest.raises(EvaluationError, match="needs a positive and a negative image"):
        delong_test([True, True], [1, 2], [1, 2])
    assert np.isnan(delong_test([False, False, True], [1, 2, 3], [3, 2, 1]).p_value)


def test_holm_and_benjamini_hochberg() -> None:
    p_values = [0.01, 0.04, np.nan, 0.03, 0.005]
    # Worked by hand: 4·0.005, 3·0.01, 2·0.03, then no less than the one before.
    assert holm(p_values) == pytest.approx([0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True)
    defined = [0.01, 0.04, 0.03, 0.005]
    assert benjamini_hochberg(defined) == pytest.approx(false_discovery_control(defined))
    assert benjamini_hochberg(p_values)[[0, 1, 3, 4]] == pytest.approx(benjamini_hochberg(defined))
    assert holm([]).size == 0
    with pytest.raises(EvaluationError, match="expected 0 to 1"):
        holm([1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_as_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    """Holm's p-value of a hypothesis: the largest Bonferroni one over all sets of hypotheses with it."""
    indices = range(len(p_values))
    subsets = [s for size in range(1, len(p_values) + 1) for s in itertools.combinations(indices, size)]
    slow = [max(min(1, len(s) * min(p_values[j] for j in s)) for s in subsets if i in s) for i in indices]
    assert holm(p_values) == pytest.approx(slow)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=12),
    st.sampled_from(["holm", "benjamini-hochberg"]),
)
def test_levels_decide_as_the_correction_does(p_values: list[float], correction: str) -> None:
    """An interval at the level leaves out 0 (p is below the level) just where the corrected p is below 0.05."""
    corrected = {"holm": holm, "benjamini-hochberg": benjamini_hochberg}[correction](p_values)
    levels = decision_levels(p_values, correction, alpha=0.05)
    # At the very border rounding decides.
    clear = ~np.isclose(corrected, 0.05)
    assert (np.less(p_values, levels) == (corrected < 0.05))[clear].all()
