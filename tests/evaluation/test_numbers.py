"""Measures of predicted numbers against scikit-learn and SciPy, and their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn import metrics as sk

from ctprune.evaluation.estimate import Estimate
from ctprune.evaluation.judge import PredictionJudge
from ctprune.evaluation.numbers import NUMBER_SCALES, number_measures
from ctprune.evaluation.scales import CORRELATION, ERROR, EXPLAINED, scaled_interval


def some_numbers(images: int, seed: int, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.normal(50, 10, images)
    predicted = truth + random.normal(2, 8, images)
    return (truth.round(-1), predicted.round(-1)) if ties else (truth, predicted)


@pytest.mark.parametrize("ties", [False, True])
def test_measures_equal_scikit_learn_and_scipy_of_the_repeated_images(ties: bool) -> None:
    truth, predicted = some_numbers(40, 1, ties=ties)
    weights = np.random.default_rng(2).integers(0, 4, (25, 40)).astype(float)
    found = number_measures(truth[:, None], predicted[:, None], weights)
    assert list(found) == list(NUMBER_SCALES)
    for index, counts in enumerate(weights.astype(int)):
        true, guess = np.repeat(truth, counts), np.repeat(predicted, counts)
        expected = {
            "mae": sk.mean_absolute_error(true, guess),
            "rmse": sk.root_mean_squared_error(true, guess),
            "r2": sk.r2_score(true, guess),
            "spearman": spearmanr(true, guess).statistic,
        }
        assert {name: values[index] for name, values in found.items()} == pytest.approx(expected, rel=1e-9)


def test_what_is_constant_has_no_r2_and_no_rank_correlation() -> None:
    same, other = np.full((5, 1), 0.1), np.arange(5.0)[:, None]
    once = np.ones((1, 5))
    constant_truth, constant_guess = number_measures(same, other, once), number_measures(other, same, once)
    assert [math.isnan(constant_truth[name][0]) for name in NUMBER_SCALES] == [False, False, True, True]
    assert [math.isnan(constant_guess[name][0]) for name in NUMBER_SCALES] == [False, False, False, True]


def test_intervals_stay_within_the_range_of_their_measure() -> None:
    for scale, value, error in ((ERROR, 0.5, 0.4), (EXPLAINED, 0.9, 0.3), (CORRELATION, 0.95, 0.2)):
        low, high = scaled_interval(Estimate(value, error, 10.0), scale, 20)
        assert low < value < high
        assert high < 1 or scale is ERROR
        assert low > 0 or scale is not ERROR
        # A small error gives nearly the interval on the measure's own scale.
        small = Estimate(value, 1e-4, 10.0)
        assert scaled_interval(small, scale, 20) == pytest.approx(small.interval(), abs=1e-5)
    assert all(map(math.isnan, scaled_interval(Estimate(0.0, 0.1, 10.0), ERROR, 20)))


def judge_of(images: int, seeds: int, seed: int, patients: list[str | None]) -> PredictionJudge:
    truth, predicted = some_numbers(images, seed)
    random = np.random.default_rng(seed + 1)
    models = np.stack([predicted + random.normal(0, 1, images) for _ in range(seeds)])[:, :, None]
    return PredictionJudge(truth[:, None], models, patients, number_measures, NUMBER_SCALES)


def test_intervals_hold_the_truth_nineteen_times_in_twenty() -> None:
    """Of the mean absolute error of normal noise, 8 · sqrt(2 / π) around a shift of 2."""
    shifted = np.random.default_rng(0).normal(2, math.sqrt(65), 2_000_000)
    truth, held = float(np.abs(shifted).mean()), 0
    for seed in range(150):
        judge = judge_of(60, 1, 10 + seed, [None] * 60)
        found = judge.pooled(np.arange(60))["mae"]
        held += found["low"] < truth < found["high"]
    assert 0.89 < held / 150 < 0.99


def test_patients_widen_intervals_and_too_few_have_none() -> None:
    random = np.random.default_rng(3)
    truth = np.repeat(random.normal(50, 10, 30), 4)
    # All images of a patient are wrong by the same.
    predicted = truth + np.repeat(random.normal(0, 5, 30), 4)
    every = np.arange(120)

    def width(patients: list[str | None]) -> float:
        judge = PredictionJudge(truth[:, None], predicted[None, :, None], patients, number_measures, NUMBER_SCALES)
        found = judge.pooled(every)["mae"]
        return found["high"] - found["low"]

    by_image, by_patient = width([None] * 120), width([f"p{image // 4}" for image in range(120)])
    assert 1.6 < by_patient / by_image < 2.6
    assert math.isnan(width([f"p{image // 40}" for image in range(120)]))
