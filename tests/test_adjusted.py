"""A threshold and a temperature, chosen on one split and measured on another, against scikit-learn and loops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

import ctprune
from ctprune.evaluation.brier import brier_scores, pooled_brier
from ctprune.evaluation.metrics import expected_calibration_error
from ctprune.evaluation.operating_point import best_threshold
from ctprune.evaluation.temperature import RANGE, fit_temperature, scale_by_temperature
from ctprune.finetuning.adjusted import Judged, at_threshold, calibrated
from ctprune.networks.backbone import create_backbone, save_backbone
from tests.labeled import write


def judged(images: int, seed: int, *, classes: int = 2, seeds: int = 2, sure: float = 1.0) -> Judged:
    """Probabilities that know something of the labels; `sure` sharpens them."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    logits = random.normal(size=(seeds, images, classes)) + np.eye(classes)[labels]
    powers = np.exp(sure * logits)
    return Judged(labels, powers / powers.sum(axis=2, keepdims=True))


@pytest.mark.parametrize("ties", [False, True])
def test_no_threshold_of_the_roc_curve_is_better(ties: bool) -> None:
    for seed in range(20):
        one = judged(41, seed)
        score = one.probabilities[0, :, 1].round(1 if ties else 12)
        threshold = best_threshold(one.labels == 1, score)
        assert threshold is not None
        reached = score >= threshold
        sensitivity, specificity = reached[one.labels == 1].mean(), (~reached)[one.labels == 0].mean()
        false, true, _ = sk.roc_curve(one.labels, score)
        # The curve's ends are no thresholds between scores.
        assert sensitivity + specificity - 1 == pytest.approx((true - false)[1:-1].max())
        assert threshold not in score
    assert best_threshold([1, 0], [0.5, 0.5]) is None


@pytest.mark.parametrize("positive", ["healthy", "ill"])
def test_measures_at_the_threshold_equal_scikit_learns(positive: str) -> None:
    classes = ("healthy", "ill")
    select, evaluated = judged(60, 0, sure=0.3), judged(80, 1, sure=0.3)
    found = at_threshold(select, evaluated, classes, positive, [None] * 80)
    assert found is not None
    index = classes.index(positive)
    truth = evaluated.labels == index
    predicted = [
        one[:, index] >= threshold for one, threshold in zip(evaluated.probabilities, found.chosen, strict=True)
    ]
    for name, measure in (
        ("sensitivity", sk.recall_score),
        ("specificity", lambda a, b: sk.recall_score(~a, ~b)),
        ("precision", sk.precision_score),
        ("f1", sk.f1_score),
        ("accuracy", sk.accuracy_score),
        ("balanced_accuracy", sk.balanced_accuracy_score),
    ):
        expected = [measure(truth, one) for one in predicted]
        assert found.pooled[name]["mean"] == pytest.approx(np.mean(expected)), name
        assert found.pooled[name]["low"] < found.pooled[name]["mean"] < found.pooled[name]["high"]
    lacking = Judged(np.zeros(60, np.int64), select.probabilities)
    assert at_threshold(lacking, evaluated, classes, positive, [None] * 80) is None


@pytest.mark.parametrize("classes", [2, 4])
def test_the_brier_score_is_scikit_learns(classes: int) -> None:
    one = judged(60, 7, classes=classes)
    names = [str(c) for c in range(classes)]
    patients = [f"p{image // 2}" for image in range(60)]
    found = pooled_brier(one.labels, one.probabilities, names, patients=patients)
    expected = []
    for probability in one.probabilities:
        if classes == 2:
            expected.append(sk.brier_score_loss(one.labels, probability[:, 1]))
        else:
            pairs = zip(probability, one.labels, strict=True)
            expected.append(sum((p[c] - (c == label)) ** 2 for p, label in pairs for c in range(4)) / 60)
    assert found["mean"] == pytest.approx(np.mean(expected))
    assert found["std"] == pytest.approx(np.std(expected, ddof=1))
    # The interval of a mean over patients, by the normal distribution.
    of_patients = brier_scores(one.labels, one.probabilities, names).mean(axis=0).reshape(-1, 2).mean(axis=1)
    half = 1.96 * of_patients.std() / np.sqrt(len(of_patients))
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.1)
    few = pooled_brier(one.labels, one.probabilities, names, patients=[f"p{image // 20}" for image in range(60)])
    assert (few["mean"], np.isnan(few["low"])) == (found["mean"], True)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("sure", [0.3, 1.0, 5.0])
def test_the_temperature_is_that_of_a_plain_search(classes: int, sure: float) -> None:
    one = judged(200, 3, classes=classes, seeds=1, sure=sure)
    # Smaller ones have no logarithm worth the name.
    probability = np.maximum(one.probabilities[0], 1e-12)
    found = fit_temperature(one.labels, probability)

    def loss(temperature: float) -> float:
        total = 0.0
        for row, label in zip(probability, one.labels, strict=True):
            powers = [p ** (1 / temperature) for p in row]
            total -= np.log(powers[label] / sum(powers))
        return total

    tried = np.exp(np.linspace(np.log(RANGE[0] * 2), np.log(RANGE[1] / 2), 160))
    assert loss(found) <= min(loss(temperature) for temperature in tried) + 1e-9
    # Sharpening by a factor asks for a temperature larger by it.
    flat = scale_by_temperature(probability, sure)
    assert found == pytest.approx(sure * fit_temperature(one.labels, flat), rel=1e-3)
    scaled = scale_by_temperature(probability, found)
    powers = probability ** (1 / found)
    np.testing.assert_allclose(scaled, powers / powers.sum(axis=1, keepdims=True), atol=1e-12)
    assert (scaled.argmax(axis=1) == probability.argmax(axis=1)).all()


def test_a_model_without_a_mistake_and_votes_of_zero() -> None:
    assert fit_temperature([0, 1], [[0.9, 0.1], [0.2, 0.8]]) == pytest.approx(RANGE[0], rel=1e-3)
    assert fit_temperature([1, 0], [[0.9, 0.1], [0.2, 0.8]]) == pytest.approx(RANGE[1], rel=1e-3)
    scaled = scale_by_temperature([[1.0, 0.0]], 2.0)
    assert np.isfinite(scaled).all()
    assert scaled.sum() == pytest.approx(1)


@pytest.mark.parametrize("classes", [2, 3])
def test_calibrated_measures_are_those_of_the_scaled_probabilities(classes: int) -> None:
    select, evaluated = judged(300, 5, classes=classes, sure=4), judged(300, 6, classes=classes, sure=4)
    names = [str(c) for c in range(classes)]
    found = calibrated(select, evaluated, names, [None] * 300)
    assert min(found.chosen) > 1.5
    scaled = [scale_by_temperature(*pair) for pair in zip(evaluated.probabilities, found.chosen, strict=True)]
    squares = [((one - np.eye(classes)[evaluated.labels]) ** 2).sum() / 300 for one in scaled]
    brier = np.array(squares) / (2 if classes == 2 else 1)
    assert found.pooled["brier"]["mean"] == pytest.approx(np.mean(brier))
    errors = [expected_calibration_error(evaluated.labels, one) for one in scaled]
    assert found.pooled["calibration_error"]["mean"] == pytest.approx(np.mean(errors))
    before = np.mean([expected_calibration_error(evaluated.labels, one) for one in evaluated.probabilities])
    assert found.pooled["calibration_error"]["mean"] < before


def test_they_stand_in_the_result_and_on_the_card(tmp_path: Path) -> None:
    save_backbone(create_backbone("resnet18"), tmp_path / "b.safetensors", name="resnet18", metadata={})
    for number in range(48):
        write(tmp_path / "data" / str(number % 2) / f"{number:02d}.png", number % 2 == 1, number)
    options = {"mode": "linear", "weights": tmp_path / "b.safetensors", "side": 32, "seeds": 1, "device": "cpu"}
    result = ctprune.finetune(tmp_path / "data", out=tmp_path / "ft", val_fraction=0.3, **options)
    about = json.loads((tmp_path / "ft" / "metrics.json").read_text())
    assert about["at_threshold"] == result.at_threshold
    assert set(about["calibrated"]) == {"brier", "calibration_error"}
    assert 0 < about["per_seed"][0]["threshold"] < 1
    assert RANGE[0] <= about["per_seed"][0]["temperature"] <= RANGE[1]
    assert 0 <= about["pooled"]["brier"]["mean"] <= 1
    found = ctprune.predict(tmp_path / "ft", tmp_path / "data", calibrated=True, device="cpu")
    plain = ctprune.predict(tmp_path / "ft", tmp_path / "data", device="cpu")
    temperature = about["per_seed"][0]["temperature"]
    np.testing.assert_allclose(
        found.probabilities, scale_by_temperature(plain.probabilities, temperature), atol=1e-9
    )
    card = (tmp_path / "ft" / "README.md").read_text()
    assert "| Brier score |" in card
    assert "At a threshold on the probability of 1 instead of the largest probability" in card
    assert "After temperature scaling, fitted for each seed on `select`" in card
