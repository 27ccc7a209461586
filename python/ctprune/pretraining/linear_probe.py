"""A linear probe: how well a logistic regression on frozen features separates classes, on left-out patients."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

#: Groups of patients that are left out in turn.
_FOLDS = 5

#: Inverse strength of the regularization, on standardized features; not tuned, so that epochs are comparable.
_STRENGTH = 0.01

_ITERATIONS = 200

Ints = npt.NDArray[np.int64]


class LinearMeasures(NamedTuple):
    """Measures of a linear probe.

    Attributes:
        accuracy: Share of images whose class is the most probable.
        auc: Area under the ROC curve; with more than two classes the mean, each against the rest.
    """

    accuracy: float
    auc: float


def linear_measures(features: npt.NDArray[np.float32], labels: Ints, patients: Ints) -> LinearMeasures:
    """Accuracy and AUC of a logistic regression on images of patients that it was not fitted to.

    The patients are distributed over five groups (or fewer, if there are fewer patients), class by class. Each
    group is predicted by a regression that was fitted to all others, with equal weight for each class, as the
    shares of classes differ between groups. Then all predictions are measured together.

    Args:
        features: Float32 of shape (n, features).
        labels: Class of each image, int64 of shape (n,), from 0.
        patients: Number of each image's patient, int64 of shape (n,).

    >>> features = np.repeat(np.eye(2, dtype=np.float32), 4, axis=0)
    >>> linear_measures(features, np.repeat([0, 1], 4), np.arange(8))
    LinearMeasures(accuracy=1.0, auc=1.0)
    """
    groups = deal_out(labels, patients, _FOLDS)
    probabilities = np.zeros((len(labels), int(labels.max()) + 1))
    for group in range(int(groups.max()) + 1):
        left_out = groups == group
        probabilities[left_out] = _predicted(
            features[~left_out], labels[~left_out], features[left_out], probabilities.shape[1]
        )
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    scores = [(labels == number, column) for number, column in enumerate(probabilities.T)]
    # With two classes, both have the same AUC.
    auc = float(np.mean([roc_auc_score(truth, column) for truth, column in scores]))
    return LinearMeasures(accuracy, auc)


def deal_out(labels: Ints, patients: Ints, groups: int) -> Ints:
    """The group of each image, int64 of shape (n,): a patient is in one group, classes are spread evenly.

    >>> deal_out(np.array([0, 0, 1, 1, 0]), np.array([3, 3, 1, 2, 0]), 2).tolist()
    [1, 1, 0, 1, 0]
    """
    found: dict[int, int] = {}
    for label, patient in sorted(zip(labels.tolist(), patients.tolist(), strict=True)):
        # A patient with images of several classes counts with the first.
        found.setdefault(patient, label)
    group_of = {patient: number % groups for number, patient in enumerate(found)}
    return np.array([group_of[patient] for patient in patients.tolist()], np.int64)


def _predicted(
    features: npt.NDArray[np.float32], labels: Ints, others: npt.NDArray[np.float32], classes: int
) -> npt.NDArray[np.float64]:
    """Probability of each class for the left-out images, (n, classes); 0 for classes that the labels lack."""
    probabilities = np.zeros((len(others), classes))
    known = np.unique(labels)
    if len(known) == 1:
        probabilities[:, known] = 1.0
        return probabilities
    mean, spread = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    scale = np.where(spread > 0, spread, 1.0)
    model = LogisticRegression(C=_STRENGTH, max_iter=_ITERATIONS, class_weight="balanced")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((features - mean) / scale, labels)
    probabilities[:, known] = model.predict_proba((others - mean) / scale)
    return probabilities
