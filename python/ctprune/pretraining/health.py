"""Health of a pre-training: rank and spread of its features, alarms of collapse, a kNN probe."""

from __future__ import annotations

import math
from collections import Counter

import torch
from lightly.utils.debug import std_of_l2_normalized
from torch import Tensor

#: Lines of the log in a row that must look bad to raise an alarm: at the beginning, all features are alike.
PATIENCE = 20

#: Limits beyond which features look bad: a share of an even spread, and two shares of the largest entropy.
_LITTLE_SPREAD, _UNIFORM, _SINGLE = 0.05, 0.99, 0.01


def rankme(features: Tensor) -> float:
    """RankMe: the number of directions that features use, from 1 to the smaller side of their matrix.

    The exponential of the entropy of the singular values as shares of their sum (Garrido et al. 2023, arXiv
    2210.02885, with its ε of 1e-7). They are the roots of the eigenvalues of the features' products with each
    other, in float64 on the features' device: right to 1e-8 of the largest one, a tenth of that ε. (A CPU takes
    four times as long for a singular value decomposition.)

    Args:
        features: Floats of shape (n, features).

    >>> round(rankme(torch.eye(4)), 3)
    4.0
    """
    matrix = features.double()
    products = matrix @ matrix.T if len(matrix) < matrix.shape[1] else matrix.T @ matrix
    values = torch.linalg.eigvalsh(products).clamp(min=0).sqrt()
    shares = values / values.sum().clamp(min=1e-30) + 1e-7
    return float(torch.exp(-(shares * shares.log()).sum()))


def feature_std(features: Tensor) -> float:
    """Standard deviation of unit-length features, mean over dimensions; near 0, they have collapsed to a point.

    Features spread evenly in d dimensions have about 1 / √d.

    Args:
        features: Floats of shape (n, d).

    >>> feature_std(torch.ones(4, 2))
    0.0
    """
    return float(std_of_l2_normalized(features))


def knn_accuracy(
    features: Tensor,
    labels: Tensor,
    *,
    patients: Tensor | None = None,
    neighbors: int = 20,
) -> float:
    """Share of samples that their nearest neighbors assign to the right class.

    Samples of the same patient do not vote, as slices of one patient are alike; the others vote with
    exp(10 · cosine), as in Wu et al. 2018 (arXiv 1805.01978).

    Args:
        features: Floats of shape (n, d).
        labels: int64 of shape (n,), from 0.
        patients: Number of each sample's patient, int64 of shape (n,); None if each sample is a patient.
        neighbors: How many vote, at most.

    >>> features = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> knn_accuracy(features, torch.tensor([0, 0, 1, 1]), neighbors=1)
    1.0
    """
    units = torch.nn.functional.normalize(features.float(), dim=1)
    cosines = units @ units.T
    if patients is None:
        patients = torch.arange(len(units))
    cosines[(patients[:, None] == patients[None]).to(cosines.device)] = -torch.inf
    nearest, found = cosines.topk(min(neighbors, len(units) - 1), dim=1)
    votes = torch.zeros(len(units), int(labels.max()) + 1, device=units.device)
    votes.scatter_add_(1, labels[found], torch.exp(nearest / 0.1))
    return float((votes.argmax(dim=1) == labels).float().mean())


class CollapseAlarm:
    """Watches the lines of the log for features that have become alike.

    Args:
        prototypes: Number of prototypes, for methods that have them.

    >>> alarm = CollapseAlarm(prototypes=None)
    >>> alike = [alarm.check(loss=1.0, features=torch.ones(8, 4), assignments=None) for _ in range(PATIENCE)]
    >>> alike[0], alike[-1]
    ('', 'the features of all slices have become similar (collapse): their spread is below 5 % of an even one')
    """

    def __init__(self, *, prototypes: int | None) -> None:
        self._prototypes = prototypes
        self._in_a_row: Counter[str] = Counter()

    def state(self) -> dict[str, int]:
        """What a checkpoint must hold: how often in a row each symptom was seen."""
        return dict(self._in_a_row)

    def restore(self, state: dict[str, int]) -> None:
        """The reverse of `state`."""
        self._in_a_row = Counter(state)

    def check(self, *, loss: float, features: Tensor, assignments: Tensor | None) -> str:
        """Look at a line of the log.

        Args:
            loss: The mean loss.
            features: Features of a batch, (n, d).
            assignments: Shares of each slice in each prototype, (n, prototypes), or None.

        Returns:
            A sentence if the training has looked bad for `PATIENCE` lines, else "".
        """
        for symptom, seen in self._symptoms(loss, features, assignments).items():
            self._in_a_row[symptom] = self._in_a_row[symptom] + 1 if seen else 0
            if self._in_a_row[symptom] >= PATIENCE:
                return symptom
        return ""

    def _symptoms(self, loss: float, features: Tensor, assignments: Tensor | None) -> dict[str, bool]:
        spread = feature_std(features) * math.sqrt(features.shape[1])
        symptoms = {
            "the features of all slices have become similar (collapse): their spread is below 5 % of an "
            "even one": (spread < _LITTLE_SPREAD)
        }
        if assignments is None:
            return symptoms
        largest = math.log(assignments.shape[1])
        each = entropy(assignments).mean().item() / largest
        single = assignment_entropy(assignments) < _SINGLE
        symptoms["all slices are assigned to one and the same prototype (collapse)"] = single
        uniform = "slices are assigned to all prototypes equally"
        if self._prototypes is None:
            symptoms[uniform] = each > _UNIFORM
        else:
            stuck = abs(loss - math.log(self._prototypes)) < (1 - _UNIFORM) * math.log(self._prototypes)
            symptoms[f"{uniform}: the loss is stuck at ln({self._prototypes}) (collapse)"] = (
                each > _UNIFORM and stuck
            )
        return symptoms


def assignment_entropy(assignments: Tensor) -> float:
    """How evenly the slices of a batch together use the prototypes: 0 if all use one and the same, 1 if all alike.

    Args:
        assignments: Shares of each slice in each prototype, (n, prototypes).

    >>> assignment_entropy(torch.eye(4))
    1.0
    """
    return float(entropy(assignments.mean(dim=0)) / math.log(assignments.shape[1]))


def entropy(shares: Tensor) -> Tensor:
    """Entropy in nats along the last dimension.

    >>> round(entropy(torch.tensor([0.5, 0.5])).item(), 4)
    0.6931
    """
    return -(shares * shares.clamp(min=1e-30).log()).sum(dim=-1)
