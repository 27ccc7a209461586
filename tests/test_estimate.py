"""Intervals and tests that count images, fine-tunings and pre-trainings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benches import calibration
from ctprune.evaluation.bootstrap import bootstrap
from ctprune.evaluation.estimate import Estimate, combined_estimate, difference_estimate, mean_estimate
from ctprune.evaluation.levels import levels_of
from ctprune.evaluation.measured import measure
from ctprune.evaluation.metrics import METRICS
from ctprune.evaluation.scales import fraction_interval
from tests.results import CLASSES, predictions

LABELS = np.arange(120) % 2


def test_without_images_it_is_welchs_test() -> None:
    """Trainings alone: two independent samples, whose variances may differ."""
    random = np.random.default_rng(0)
    first, second = random.normal(0.8, 0.02, size=5), random.normal(0.75, 0.05, size=4)
    nothing = (np.zeros((5, 5)), np.zeros((4, 4)), np.zeros((5, 4)))
    found = difference_estimate(first, second, *nothing, image_freedom=100)
    welch = stats.ttest_ind(first, second, equal_var=False)
    assert found.p_value() == pytest.approx(welch.pvalue)
    assert found.freedom == pytest.approx(welch.df)
    assert found.interval() == pytest.approx(tuple(welch.confidence_interval()))


def test_combination_of_two_is_their_difference_and_of_four_adds_up() -> None:
    """The variance of a weighted sum, against the covariance matrix of all levels written out."""
    random = np.random.default_rng(3)
    values = [random.normal(0.8, 0.02, size=count) for count in (5, 4, 5, 3)]
    shared = random.normal(size=(4, 6))
    image = shared @ shared.T / 1e5
    blocks = [[np.full((len(a), len(b)), image[i, j]) for j, b in enumerate(values)] for i, a in enumerate(values)]
    difference = difference_estimate(
        values[0], values[1], blocks[0][0], blocks[1][1], blocks[0][1], image_freedom=40
    )
    found = combined_estimate(values[:2], [1, -1], [row[:2] for row in blocks[:2]], image_freedom=40)
    for name in ("value", "error", "freedom"):
        assert getattr(found, name) == pytest.approx(getattr(difference, name))
    weights = np.array([0.5, -0.5, 0.25, -0.25])
    found = combined_estimate(values, weights.tolist(), blocks, image_freedom=40)
    training = sum(w**2 * one.var(ddof=1) / len(one) for w, one in zip(weights, values, strict=True))
    assert found.value == pytest.approx(sum(w * one.mean() for w, one in zip(weights, values, strict=True)))
    assert found.error == pytest.approx(math.sqrt(training + weights @ image @ weights))


def test_without_training_it_is_delongs_test() -> None:
    """One training each and many images: only the covariance of the images counts."""
    covariance = np.array([[0.0016]]), np.array([[0.0012]]), np.array([[0.0010]])
    found = difference_estimate(np.array([0.8]), np.array([0.75]), *covariance, image_freedom=math.inf)
    error = math.sqrt(0.0016 + 0.0012 - 2 * 0.0010)
    assert found.p_value() == pytest.approx(2 * stats.norm.sf(0.05 / error))


def test_what_images_do_to_all_trainings_alike_is_not_averaged_away() -> None:
    values = np.full(5, 0.8) + 0.001 * np.arange(5)
    together = mean_estimate(values, np.full((5, 5), 0.0016), image_freedom=1000)
    assert together.error == pytest.approx(0.04, rel=0.01)
    # What they do to each alone is, and the trainings' own spread is never taken for less.
    alone = mean_estimate(values, 0.0016 * np.eye(5), image_freedom=1000)
    assert alone.error == pytest.approx(0.04 / math.sqrt(5), rel=0.01)


def test_detectable_differences_are_shown_with_their_chance() -> None:
    found = Estimate(0.0, 0.02, 8.0)
    difference = found.detectable(alpha=0.01)
    random = np.random.default_rng(1)
    # An estimated error, as its degrees of freedom say.
    errors = 0.02 * np.sqrt(random.chisquare(8, size=20000) / 8)
    values = random.normal(difference, 0.02, size=20000)
    shown = np.mean(np.abs(values / errors) > stats.t.ppf(0.995, 8))
    assert shown == pytest.approx(0.8, abs=0.03)


def test_equivalence_needs_both_tests() -> None:
    found = Estimate(0.01, 0.005, math.inf)
    assert found.equivalence_p_value(0.02) == pytest.approx(stats.norm.sf(2))
    assert found.equivalence_p_value(0.005) > 0.5
    assert math.isnan(Estimate(0.0, 0.0, 10.0).equivalence_p_value(0.02))


def test_no_noise_is_no_proof() -> None:
    assert Estimate(0.0, 0.0, 10.0).p_value() == 1
    assert math.isnan(Estimate(0.1, 0.0, 10.0).p_value())
    assert math.isnan(Estimate(0.1, math.nan, math.nan).p_value())
    assert all(map(math.isnan, Estimate(0.1, math.nan, math.nan).interval()))


def test_intervals_of_perfect_models_say_what_so_few_patients_can() -> None:
    for worth in (10, 30):
        low, high = fraction_interval(Estimate(1.0, 0.0, worth), worth)
        # So many independent pairs in the right order have a chance of 2.5 %.
        assert (low**worth, high) == (pytest.approx(0.025), 1.0)


def test_identical_predictions_count_once() -> None:
    one, other = (predictions(LABELS, skill=1.0, seeds=1, seed=seed)[0] for seed in (1, 2))
    probes = np.stack([one, one, one, other, other, other])
    levels = levels_of(probes, ["a", "a", "a", "b", "b", "b"])
    assert (levels.pretrainings, levels.finetunings) == (2, (1, 1))
    once = measure(LABELS, [np.stack([one, other])], CLASSES, pretrainings=[["a", "b"]], resamples=100)
    thrice = measure(LABELS, [probes], CLASSES, pretrainings=[[*"aaabbb"]], resamples=100)
    for name in METRICS:
        assert once.mean(0, name).error == pytest.approx(thrice.mean(0, name).error), name
    # A copy of a whole pre-training is none of its own.
    assert levels_of(probes, [*"abcdef"]).pretrainings == 2


def test_pretrainings_are_levels_and_not_their_finetunings() -> None:
    """Two pre-trainings that differ: more fine-tunings of each make the interval no narrower."""
    shared = np.random.default_rng(3).normal(size=(120, 2))
    few, many = (
        [predictions(LABELS, skill=skill, seeds=seeds, seed=9, shared=shared) for skill in (0.6, 1.6)]
        for seeds in (2, 12)
    )
    errors = []
    for groups in (few, many):
        backbones = [name for name, group in zip("ab", groups, strict=True) for _ in group]
        found = measure(LABELS, [np.concatenate(groups)], CLASSES, pretrainings=[backbones], resamples=100)
        errors.append(found.mean(0, "auc").error)
        assert found.mean(0, "auc").freedom < 3
    assert errors[1] == pytest.approx(errors[0], rel=0.2)


def test_bootstrap_and_delong_agree_on_the_auc() -> None:
    models = [predictions(LABELS, skill=1.0, seeds=1, seed=seed) for seed in (1, 2)]
    found = measure(LABELS, models, CLASSES, pretrainings=[["a"], ["b"]], resamples=100)
    drawn = bootstrap(LABELS, np.concatenate(models), CLASSES, resamples=4000).covariance("auc")
    assert found.covariance["auc"] == pytest.approx(drawn, rel=0.1, abs=1e-4)
    error = math.sqrt(drawn[0, 0] + drawn[1, 1] - 2 * drawn[0, 1])
    assert found.difference(0, 1, "auc").error == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize(
    ("design", "alarms", "flat"),
    [((1, 5), 0.05, None), ((2, 3), 0.05, 0.10), ((5, 1), 0.05, None), ((5, 3), 0.05, 0.10)],
)
def test_false_alarms_and_coverage(design: tuple[int, int], alarms: float, flat: float | None) -> None:
    """A small version of benches/calibration.py: two ways of the same true mean, pre-trainings that differ."""
    cell = calibration.Cell(
        *design, deviation=0.0 if design[0] == 1 else 0.045, images=118, patients=False, difference=0.0
    )
    repetitions = 400
    found = calibration.simulate(cell, repetitions)
    # Three standard errors above; the seed is fixed.
    assert found["alarm"] <= alarms + 3 * math.sqrt(alarms * (1 - alarms) / repetitions)
    assert found["held"] >= 1 - alarms - 3 * math.sqrt(alarms * (1 - alarms) / repetitions)
    if flat is not None:
        # Fine-tunings counted as pre-trainings find differences where there are none: the simulation sees it.
        assert found["flat_alarm"] > flat


def test_true_differences_are_found() -> None:
    cell = calibration.Cell(5, 3, deviation=0.02, images=500, patients=False, difference=0.1)
    assert calibration.simulate(cell, 100)["better"] > 0.95
