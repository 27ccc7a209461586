"""Measures against scikit-learn, their weights, and plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ctprune.errors import EvaluationError
from ctprune.evaluation.metrics import METRICS, classification_metrics, undefined_because
from ctprune.evaluation.plots import mean_roc, save_plots
from ctprune.evaluation.weighted import weighted_metrics
from tests.evaluation.some import some_predictions


@pytest.mark.parametrize("ties", [False, True])
def test_two_classes_equal_scikit_learn(ties: bool) -> None:
    labels, probabilities, classes = some_predictions(200, 2, 0, ties=ties)
    found = classification_metrics(labels, probabilities, classes)
    predicted = probabilities.argmax(axis=1)
    assert found == {
        "auc": pytest.approx(sk.roc_auc_score(labels, probabilities[:, 1])),
        "average_precision": pytest.approx(sk.average_precision_score(labels, probabilities[:, 1])),
        "accuracy": pytest.approx(sk.accuracy_score(labels, predicted)),
        "balanced_accuracy": pytest.approx(sk.balanced_accuracy_score(labels, predicted)),
        "f1": pytest.approx(sk.f1_score(labels, predicted)),
        "precision": pytest.approx(sk.precision_score(labels, predicted)),
        "sensitivity": pytest.approx(sk.recall_score(labels, predicted)),
        "specificity": pytest.approx(sk.recall_score(1 - labels, 1 - predicted)),
        "calibration_error": pytest.approx(slow_calibration_error(labels, probabilities)),
    }


def test_many_classes_equal_scikit_learn() -> None:
    labels, probabilities, classes = some_predictions(300, 5, 1)
    found = classification_metrics(labels, probabilities, classes)
    predicted = probabilities.argmax(axis=1)
    assert found["auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities, multi_class="ovr"))
    assert found["average_precision"] == pytest.approx(
        sk.average_precision_score(np.eye(5)[labels], probabilities, average="macro")
    )
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    assert found["f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert found["precision"] == pytest.approx(sk.precision_score(labels, predicted, average="macro"))
    assert found["sensitivity"] == pytest.approx(sk.recall_score(labels, predicted, average="macro"))
    confusion = sk.multilabel_confusion_matrix(labels, predicted)
    assert found["specificity"] == pytest.approx(np.mean(confusion[:, 0, 0] / confusion[:, 0].sum(axis=1)))
    assert found["calibration_error"] == pytest.approx(slow_calibration_error(labels, probabilities))


def slow_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    error = 0.0
    for b in range(15):
        inside = [i for i in range(len(labels)) if b / 15 < probabilities[i].max() <= (b + 1) / 15]
        if inside:
            accuracy = np.mean([probabilities[i].argmax() == labels[i] for i in inside])
            error += len(inside) / len(labels) * abs(accuracy - np.mean([probabilities[i].max() for i in inside]))
    return error


def test_the_positive_class_can_be_chosen() -> None:
    labels, probabilities, classes = some_predictions(100, 2, 2)
    found = classification_metrics(labels, probabilities, classes, positive="class 0")
    swapped = classification_metrics(1 - labels, probabilities[:, ::-1], classes)
    assert found == pytest.approx(swapped)
    with pytest.raises(EvaluationError, match="positive ill: expected one of class 0, class 1"):
        classification_metrics(labels, probabilities, classes, positive="ill")


def test_one_class_only_is_nan_and_said() -> None:
    found = classification_metrics([1, 1], [[0.2, 0.8], [0.6, 0.4]], ["healthy", "ill"])
    assert found["accuracy"] == 0.5
    assert found["calibration_error"] == pytest.approx(0.4)
    assert all(np.isnan(found[name]) for name in METRICS if name not in ("accuracy", "calibration_error"))
    assert "all 2 images are of class 'ill'" in undefined_because([1, 1], ["healthy", "ill"])[0]
    assert undefined_because([0, 1], ["a", "b", "c"]) == [
        "class 'c' has no image: it is left out of the averages over classes"
    ]
    assert undefined_because([0, 1], ["healthy", "ill"]) == []


def test_a_class_without_images_is_left_out_of_averages() -> None:
    labels, probabilities, classes = some_predictions(90, 3, 3)
    there = labels < 2
    found = classification_metrics(labels[there], probabilities[there], classes)
    areas = [sk.roc_auc_score(labels[there] == c, probabilities[there][:, c]) for c in (0, 1)]
    assert found["auc"] == pytest.approx(np.mean(areas))


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "labels: expected 0 to 1, found 0 to 2"),
        ([0.0, 1.0], [[0.5, 0.5], [0.5, 0.5]], "labels: expected whole numbers"),
        ([], [], "labels: expected whole numbers"),
        ([0, 1], [[0.5, 0.5]], "probabilities: expected .*found \\(1, 2\\)"),
        ([0, 1], [[0.5, 0.5], [0.5, np.nan]], "found others or nan"),
        ([0, 1], [[0.5, 0.5], [0.5, 0.4]], "every row to sum to 1"),
    ],
)
def test_bad_predictions_are_refused(labels: list[int], probabilities: list[list[float]], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        classification_metrics(labels, probabilities, ["a", "b"])


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 4), st.integers(5, 30), st.booleans(), st.integers(0, 2**32))
def test_weights_equal_repeated_images(classes: int, images: int, ties: bool, seed: int) -> None:
    labels, probabilities, names = some_predictions(images, classes, seed, ties=ties)
    weights = np.random.default_rng(seed).integers(0, 3, size=(4, images)).astype(float)
    weights[:, 0] += 1
    found = weighted_metrics(labels, probabilities, weights, 1 if classes == 2 else None)
    for row, weight in enumerate(weights):
        times = weight.astype(int)
        repeated = classification_metrics(np.repeat(labels, times), np.repeat(probabilities, times, axis=0), names)
        assert {name: values[row] for name, values in found.items()} == pytest.approx(repeated, nan_ok=True)


@pytest.mark.parametrize("classes", [2, 4])
def test_plots_are_written_and_do_not_change(tmp_path: Path, classes: int) -> None:
    labels, first, names = some_predictions(60, classes, 11)
    both = np.stack([first, np.roll(first, 2, axis=0)])
    files = save_plots(labels, both, names, tmp_path / "a")
    assert sorted(f.name for f in files) == sorted(
        f"{stem}.{ending}"
        for stem in ("roc", "precision_recall", "calibration", "confusion")
        for ending in ("png", "svg")
    )
    for file, again in zip(files, save_plots(labels, both, names, tmp_path / "b"), strict=True):
        assert file.read_bytes() == again.read_bytes()
        assert len(file.read_bytes()) > 2000
    assert [f.name for f in (tmp_path / "a").iterdir() if f.name.startswith(".")] == []


def test_plots_of_one_class_say_so(tmp_path: Path) -> None:
    save_plots([0, 0], [[0.9, 0.1], [0.2, 0.8]], ["a", "b"], tmp_path)
    assert "not defined: a class has no image" in (tmp_path / "roc.svg").read_text()


def test_area_under_the_mean_curve_is_the_mean_area() -> None:
    labels, probabilities, classes = some_predictions(400, 3, 12)
    rate, curves = mean_roc(labels, probabilities, classes)
    area = np.trapezoid(curves[0], rate)
    assert area == pytest.approx(classification_metrics(labels, probabilities, classes)["auc"], abs=0.005)
