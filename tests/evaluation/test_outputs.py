"""Measures of several labels and of levels against scikit-learn, and when there is no interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from ctprune.evaluation.judge import PredictionJudge
from ctprune.evaluation.label_measures import LABEL_SCALES, label_measures
from ctprune.evaluation.level_measures import LEVEL_SCALES, level_measures, predicted_levels


def repeated(images: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (20, images)).astype(float)


def test_labels_equal_scikit_learn_of_the_repeated_images() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, (40, 3)).astype(float)
    predicted = (random.random((40, 3)) * 0.7 + 0.3 * truth).round(1)
    weights = repeated(40, 1)
    found = label_measures(truth, predicted, weights)
    assert list(found) == list(LABEL_SCALES)
    for index, counts in enumerate(weights.astype(int)):
        true, score = np.repeat(truth, counts, axis=0), np.repeat(predicted, counts, axis=0)
        guess = score > 0.5
        expected = {
            "auc": sk.roc_auc_score(true, score, average="macro"),
            "average_precision": sk.average_precision_score(true, score, average="macro"),
            "f1": sk.f1_score(true, guess, average="macro"),
            "sensitivity": sk.recall_score(true, guess, average="macro"),
            "specificity": sk.recall_score(1 - true, ~guess, average="macro"),
        }
        assert {name: values[index] for name, values in found.items()} == pytest.approx(expected)


def test_levels_equal_scikit_learn_of_the_repeated_images() -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 4, (40, 1)).astype(float)
    shares = random.dirichlet([1] * 4, 40) + np.eye(4)[truth[:, 0].astype(int)] * 0.5
    shares /= shares.sum(axis=1, keepdims=True)
    weights = repeated(40, 4)
    found = level_measures(truth, shares, weights)
    assert list(found) == list(LEVEL_SCALES)
    guess = predicted_levels(shares)
    assert guess.tolist() == [next(k for k in range(4) if one[: k + 1].sum() >= 0.5) for one in shares]
    for index, counts in enumerate(weights.astype(int)):
        true, chosen = np.repeat(truth[:, 0], counts).astype(int), np.repeat(guess, counts)
        above = [np.repeat(shares[:, k + 1 :].sum(axis=1), counts) for k in range(3)]
        expected = {
            "quadratic_kappa": sk.cohen_kappa_score(true, chosen, weights="quadratic"),
            "mae_levels": sk.mean_absolute_error(true, chosen),
            "accuracy": sk.accuracy_score(true, chosen),
            "auc": np.mean([sk.roc_auc_score(true > k, above[k]) for k in range(3)]),
        }
        assert {name: values[index] for name, values in found.items()} == pytest.approx(expected)


def test_what_is_not_defined_is_nan() -> None:
    once = np.ones((1, 4))
    all_have_it = label_measures(np.ones((4, 1)), np.full((4, 1), 0.7), once)
    assert math.isnan(all_have_it["auc"][0])
    one_level = level_measures(np.ones((4, 1)), np.tile([0.1, 0.8, 0.1], (4, 1)), once)
    assert math.isnan(one_level["quadratic_kappa"][0])
    assert math.isnan(one_level["auc"][0])
    assert (one_level["mae_levels"][0], one_level["accuracy"][0]) == (0.0, 1.0)


def test_a_rare_label_leaves_no_interval() -> None:
    random = np.random.default_rng(5)
    for images, reason in (
        (3, "3 images with label nodule: no interval can be estimated from fewer than 6"),
        (8, None),
    ):
        truth = np.zeros((40, 1))
        truth[:images] = 1
        predicted = random.random((1, 40, 1)) * 0.8 + truth * 0.1
        labeling = (truth[:, 0].astype(np.int64), ["without label nodule", "with label nodule"])
        judge = PredictionJudge(truth, predicted, [None] * 40, label_measures, LABEL_SCALES, [labeling])
        every = np.arange(40)
        assert judge.missing(every) == reason
        assert math.isnan(judge.pooled(every)["auc"]["low"]) == (reason is not None)
        assert judge.missing(every[images:]) == "no image with label nodule"
        assert judge.worth(every) == images
