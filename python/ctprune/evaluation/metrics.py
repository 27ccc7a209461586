"""Measures of classification, one number each, by scikit-learn where it has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from ctprune.errors import EvaluationError
from ctprune.evaluation.predictions import checked_labels, checked_probabilities, positive_class

#: All measures, in the order in which they are shown.
METRICS = (
    "auc",
    "average_precision",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "sensitivity",
    "specificity",
    "calibration_error",
)

#: Equal bins of the largest probability for the calibration error.
CALIBRATION_BINS = 15


def classification_metrics(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
    *,
    positive: str | None = None,
) -> dict[str, float]:
    """Nine measures of one model's predictions.

    With two classes, `average_precision`, `f1`, `precision`, `sensitivity` and `specificity` are those of the
    positive class. With more, each class is the positive one against the rest in turn, and the plain mean over the
    classes that have an image is taken (macro one-vs-rest); so it is for `auc`. The predicted class is the most
    probable one, the first of equals. A class that is never predicted has precision and F1 of 0.
    `calibration_error` is the expected calibration error of the predicted class: 15 bins (lower, upper] of equal
    width, the mean over images of |accuracy − mean probability| in their bin (Guo et al. 2017).

    Args:
        labels: Index of each image's class, whole numbers of shape (images,).
        probabilities: Probabilities of shape (images, classes) whose rows sum to one.
        classes: Names of the classes, in the order of the columns.
        positive: The positive one of two classes; default the second, as in scikit-learn.

    Returns:
        Each of `METRICS`; where only one class has images, all but `accuracy` and `calibration_error` are nan
        (`undefined_because` says it in words).

    Raises:
        EvaluationError: Labels or probabilities are not valid.

    >>> found = classification_metrics([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["healthy", "ill"])
    >>> found["auc"], found["sensitivity"], found["specificity"]
    (1.0, 0.5, 1.0)
    """
    label = checked_labels(labels, classes)
    probability = checked_probabilities(probabilities, len(label), classes)
    if len(probability) != 1:
        raise EvaluationError(f"probabilities: expected those of one model, found {len(probability)} seeds")
    return _metrics(label, probability[0], positive_class(classes, positive))


def _metrics(
    label: npt.NDArray[np.int64], probability: npt.NDArray[np.float64], positive: int | None
) -> dict[str, float]:
    predicted = probability.argmax(axis=1)
    found = dict.fromkeys(METRICS, float("nan"))
    found["accuracy"] = float(sk.accuracy_score(label, predicted))
    found["calibration_error"] = expected_calibration_error(label, probability)
    present = np.unique(label)
    if len(present) == 1:
        return found
    found["balanced_accuracy"] = float(sk.recall_score(label, predicted, labels=present, average="macro"))
    averaged = present if positive is None else [positive]
    per_class = [_one_against_rest(label == c, predicted == c, probability[:, c]) for c in averaged]
    for name in per_class[0]:
        found[name] = float(np.mean([one[name] for one in per_class]))
    return found


def _one_against_rest(
    truth: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]
) -> dict[str, float]:
    return {
        "auc": sk.roc_auc_score(truth, score),
        "average_precision": sk.average_precision_score(truth, score),
        "f1": sk.f1_score(truth, predicted, zero_division=0),
        "precision": sk.precision_score(truth, predicted, zero_division=0),
        "sensitivity": sk.recall_score(truth, predicted),
        "specificity": sk.recall_score(~truth, ~predicted),
    }


def calibration_bin(confidence: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Which of the bins (lower, upper] of equal width each probability falls into; 0 belongs to the first."""
    return np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)


def expected_calibration_error(label: npt.NDArray[np.int64], probability: npt.NDArray[np.float64]) -> float:
    """Expected calibration error of the predicted class; see `classification_metrics`.

    >>> expected_calibration_error(np.array([0, 1]), np.array([[0.75, 0.25], [0.75, 0.25]]))
    0.25
    """
    confidence = probability.max(axis=1)
    gap = (probability.argmax(axis=1) == label) - confidence
    in_bins = np.bincount(calibration_bin(confidence), weights=gap, minlength=CALIBRATION_BINS)
    return float(np.abs(in_bins).sum() / len(label))


def undefined_because(labels: npt.ArrayLike, classes: Sequence[str]) -> list[str]:
    """Sentences about classes without an image, and what that leaves undefined; empty where all have one.

    >>> undefined_because([0, 0], ["healthy", "ill"])[0]
    "all 2 images are of class 'healthy': only accuracy and calibration error are defined, the others are nan"
    """
    label = checked_labels(labels, classes)
    counts = np.bincount(label, minlength=len(classes))
    missing = [name for name, count in zip(classes, counts, strict=True) if not count]
    if len(missing) == len(classes) - 1:
        return [
            f"all {len(label)} images are of class {classes[label[0]]!r}: only accuracy and calibration error are "
            "defined, the others are nan"
        ]
    return [f"class {name!r} has no image: it is left out of the averages over classes" for name in missing]
