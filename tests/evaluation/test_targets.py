"""Models of other targets than classes: covariances of their AUC, and false alarms of their differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ctprune.evaluation.bootstrap import resample
from ctprune.evaluation.delong import auc_covariance, label_auc_covariance
from ctprune.evaluation.label_measures import label_measures
from ctprune.evaluation.level_measures import above_thresholds
from ctprune.evaluation.targets import measure_target


def some_labels(images: int, models: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = (random.random((images, 3)) < (0.3, 0.5, 0.7)).astype(float)
    scores = np.round(random.normal(size=(models, images, 3)) + truth + random.normal(size=(images, 3)), 1)
    return truth, 1 / (1 + np.exp(-scores))


def by_loop(truth: np.ndarray, scores: np.ndarray, patients: list[str]) -> np.ndarray:
    """Sums over pairs of images, of which one has the label, collected by patient."""
    models, labels = len(scores), truth.shape[1]
    parts = {patient: np.zeros(models) for patient in patients}
    for label in range(labels):
        sides = [[i for i, has in enumerate(truth[:, label]) if has == side] for side in (1, 0)]
        wins = np.zeros((models, len(truth)))
        for model in range(models):
            for i in sides[0]:
                for j in sides[1]:
                    a, b = scores[model, i, label], scores[model, j, label]
                    won = 1.0 if a > b else 0.5 if a == b else 0.0
                    wins[model, i] += won / len(sides[1])
                    wins[model, j] += won / len(sides[0])
        area = wins[:, sides[0]].mean(axis=1)
        for side in sides:
            known = {patients[i] for i in side}
            factor = math.sqrt(len(known) / (len(known) - 1))
            for i in side:
                parts[patients[i]] += factor * (wins[:, i] - area) / len(side) / labels
    return sum((np.outer(one, one) for one in parts.values()), np.zeros((models, models)))


def test_covariance_over_labels_is_that_of_a_plain_loop() -> None:
    truth, scores = some_labels(40, 2, seed=1)
    patients = [f"p{number // 3}" for number in range(40)]
    assert label_auc_covariance(truth, scores, patients=patients) == pytest.approx(
        by_loop(truth, scores, patients)
    )


def test_covariance_of_one_label_is_delongs() -> None:
    truth, scores = some_labels(60, 3, seed=2)
    one, of_one = truth[:, :1], scores[:, :, :1]
    _, expected = auc_covariance(one[:, 0] > 0, of_one[:, :, 0])
    assert label_auc_covariance(one, of_one) == pytest.approx(expected)
    # A label that no image has, or every one, changes nothing.
    truth = np.concatenate([one, np.zeros((60, 1)), np.ones((60, 1))], axis=1)
    assert label_auc_covariance(truth, scores) == pytest.approx(expected)
    assert np.isnan(label_auc_covariance(truth[:, 1:], scores[:, :, 1:])).all()
    # By patient, with images on one side each.
    order = np.argsort(one[:, 0], kind="stable")
    ones = int(one.sum())
    patients = [f"h{i // 2}" for i in range(60 - ones)] + [f"i{i // 3}" for i in range(ones)]
    _, expected = auc_covariance(one[order, 0] > 0, of_one[:, order, 0], patients=patients)
    assert label_auc_covariance(one[order], of_one[:, order], patients=patients) == pytest.approx(expected)


def test_covariance_over_labels_agrees_with_the_bootstrap() -> None:
    truth, scores = some_labels(200, 2, seed=3)
    patients = [f"p{number // 2}" for number in range(200)]
    found = label_auc_covariance(truth, scores, patients=patients)

    def areas(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"auc": np.stack([label_measures(truth, one, weights)["auc"] for one in scores])}

    drawn = resample(areas, 200, patients=patients, resamples=2000)
    assert found == pytest.approx(drawn.covariance("auc"), rel=0.12)


def test_auc_of_levels_has_the_covariance_of_its_thresholds() -> None:
    random = np.random.default_rng(4)
    level = np.arange(60) % 3
    above = np.clip(
        np.stack([level > 0, level > 1], axis=1) * 0.4 + 0.3 + 0.2 * random.normal(size=(1, 60, 2)), 0, 1
    )
    above = np.minimum.accumulate(above, axis=2)
    shares = -np.diff(np.concatenate([np.ones((1, 60, 1)), above, np.zeros((1, 60, 1))], axis=2))
    found = measure_target(
        "ordinal",
        "abc",
        level[:, None].astype(float),
        [shares],
        pretrainings=[["a"]],
        patients=[None] * 60,
        resamples=2,
    )
    passed, probability = above_thresholds(level[:, None].astype(float), shares[0])
    assert found.covariance["auc"] == pytest.approx(label_auc_covariance(passed, probability[None]))


def alarms(target: str, trainings: int, resamples: int) -> float:
    """Share of false alarms among models of two ways that are equally good, with pre-trainings that differ."""
    count, repetitions, found = 60, 250, 0
    metric = "mae" if target == "regression" else "auc"
    for repetition in range(repetitions):
        random = np.random.default_rng([repetition, 5])
        patients = [f"p{number // 2}" for number in range(count)]
        # Images of one patient have errors in common, and so have all trainings.
        of_patient = np.repeat(random.normal(size=count // 2), 2)[:, None]
        shared = of_patient + 0.5 * random.normal(size=(count, 1))
        if target == "regression":
            truth = random.normal(size=(count, 1))
        else:
            truth = np.stack([np.arange(count) // 2 % 2, np.arange(count) % 2], axis=1).astype(float)
        skill = 1 + 0.3 * random.normal(size=(2, trainings, 1, 1))
        noise = shared + 0.7 * random.normal(size=(2, trainings, count, truth.shape[1]))
        models = truth + skill * noise if target == "regression" else 1 / (1 + np.exp(-skill * truth - noise))
        measured = measure_target(
            target,
            ["a", "b"],
            truth,
            list(models),
            pretrainings=[list(range(trainings)), list(range(trainings, 2 * trainings))],
            patients=patients,
            resamples=resamples,
            seed=repetition,
        )
        found += measured.difference(0, 1, metric).p_value() < 0.05
    return found / repetitions


@pytest.mark.parametrize(("target", "resamples"), [("multi-label", 2), ("regression", 100)])
def test_false_alarms_are_within_the_nominal_rate(target: str, resamples: int) -> None:
    # Three standard errors above; the seeds are fixed.
    share = alarms(target, 4, resamples)
    assert 0.01 <= share <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 250)
