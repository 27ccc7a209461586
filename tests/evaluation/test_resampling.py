"""Resamples of images and patients, and what is pooled over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from ctprune.errors import EvaluationError
from ctprune.evaluation.bootstrap import bootstrap, resample_weights
from ctprune.evaluation.metrics import METRICS, classification_metrics
from ctprune.evaluation.pooled import pooled_metrics
from tests.evaluation.some import some_predictions


def test_bootstrap_equals_a_plain_loop() -> None:
    labels, probabilities, classes = some_predictions(60, 3, 4)
    trainings = np.stack([probabilities, np.roll(probabilities, 1, axis=0)])
    found = bootstrap(labels, trainings, classes, resamples=12, seed=7)
    [(_, weights)] = resample_weights(np.arange(60), 12, seed=7)
    drawn = [np.repeat(np.arange(60), weight) for weight in weights.astype(int)]
    slow = [[classification_metrics(labels[rows], one[rows], classes) for rows in drawn] for one in trainings]
    for name in METRICS:
        expected = np.array([[measures[name] for measures in of_training] for of_training in slow])
        assert found.samples[name] == pytest.approx(expected)
        assert found.covariance(name) == pytest.approx(np.cov(expected) * 60 / 59)


def test_the_stream_of_resamples_never_changes() -> None:
    [(rows, weights)] = resample_weights(np.arange(6), 3, seed=0)
    assert (rows.start, rows.stop) == (0, 3)
    # Raw outputs of PCG64 with seed 0, which numpy promises to keep.
    raw = [int(x) >> 11 for x in np.random.PCG64(0).random_raw(18)]
    drawn = [x * 6 // 2**53 for x in raw]
    assert weights.tolist() == [[drawn[6 * b : 6 * b + 6].count(i) for i in range(6)] for b in range(3)]
    assert weights[0].tolist() == [2, 1, 0, 1, 1, 1]


def test_blocks_of_resamples_do_not_change_them(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, probabilities, classes = some_predictions(40, 2, 5)
    whole = bootstrap(labels, probabilities, classes, resamples=31)
    monkeypatch.setattr("ctprune.evaluation.bootstrap._BLOCK", 7 * 40)
    in_blocks = bootstrap(labels, probabilities, classes, resamples=31)
    for name in METRICS:
        assert np.array_equal(whole.samples[name], in_blocks.samples[name], equal_nan=True)


def test_error_of_accuracy_is_the_binomial_one() -> None:
    labels = np.zeros(100, dtype=int)
    labels[:50] = 1
    probabilities = np.where(np.arange(100)[:, None] % 5 == 0, [[0.9, 0.1]], [[0.1, 0.9]])
    probabilities[50:] = probabilities[50:, ::-1]
    found = bootstrap(labels, probabilities, ["a", "b"], resamples=20000)
    assert found.values["accuracy"] == 0.8
    assert found.covariance("accuracy").item() == pytest.approx(0.8 * 0.2 / 99, rel=0.03)


def test_patients_are_drawn_whole() -> None:
    labels, probabilities, classes = some_predictions(60, 2, 6)
    one_each = bootstrap(labels, probabilities, classes, resamples=500)
    # Every image four times: nothing new is known, and by patient nothing changes.
    patients = [f"p{i}" for i in np.repeat(np.arange(60), 4)]
    repeated = np.repeat(probabilities, 4, axis=0)
    by_patient = bootstrap(np.repeat(labels, 4), repeated, classes, patients=patients, resamples=500)
    by_image = bootstrap(np.repeat(labels, 4), repeated, classes, resamples=500)
    assert (one_each.unit, by_patient.unit, by_image.unit) == ("image", "patient", "image")
    for name in ("auc", "f1"):
        assert by_patient.covariance(name).item() == pytest.approx(one_each.covariance(name).item())
        assert by_image.covariance(name).item() < 0.4 * by_patient.covariance(name).item()


def test_an_image_without_a_patient_stands_alone() -> None:
    labels, probabilities, classes = some_predictions(30, 2, 7)
    unknown = bootstrap(labels, probabilities, classes, patients=[None] * 30, resamples=100)
    known = bootstrap(labels, probabilities, classes, resamples=100)
    assert unknown.unit == "image"
    assert np.array_equal(unknown.samples["auc"], known.samples["auc"], equal_nan=True)
    with pytest.raises(EvaluationError, match="expected one for each of 30 images, found 2"):
        bootstrap(labels, probabilities, classes, patients=["a", "b"])


def test_resamples_without_a_class_are_counted() -> None:
    labels = [1] + [0] * 9
    probabilities = [[0.2, 0.8]] + [[0.7, 0.3]] * 9
    found = bootstrap(labels, probabilities, ["a", "b"], resamples=1000)
    # (9/10)^10 of the resamples miss the only image of its class.
    assert found.undefined("auc") == pytest.approx(1000 * 0.9**10, rel=0.1)
    assert found.covariance("auc").item() == 0


def test_pooled_metrics_are_mean_and_spread_over_seeds() -> None:
    labels, first, classes = some_predictions(80, 3, 10)
    second = np.roll(first, 1, axis=0)
    found = pooled_metrics(labels, [first, second], classes, resamples=200)
    of_seeds = [classification_metrics(labels, p, classes)["auc"] for p in (first, second)]
    assert found["auc"]["mean"] == pytest.approx(np.mean(of_seeds))
    assert found["auc"]["std"] == pytest.approx(np.std(of_seeds, ddof=1))
    assert found["auc"]["low"] < found["auc"]["mean"] < found["auc"]["high"]
    assert np.isnan(pooled_metrics(labels, first, classes, resamples=10)["auc"]["std"])
