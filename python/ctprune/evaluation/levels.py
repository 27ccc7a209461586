"""What the trainings behind a result are repetitions of: fine-tunings of one backbone, or pre-trainings."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctprune.errors import EvaluationError

#: Predictions that agree to so many decimals are those of one network: a probe's optimum is found again.
_DECIMALS = 6


@dataclass(frozen=True)
class Levels:
    """The levels at which trainings are repeated: averages of trainings between which the noise of training shows.

    Attributes:
        finetunings: Number of fine-tunings of each pre-training; identical predictions count once.
        weights: Weights of shape (levels, trainings) whose rows sum to one. With several pre-trainings a level is
            the mean of one's fine-tunings; with a single one each of its fine-tunings is a level.
    """

    finetunings: tuple[int, ...]
    weights: npt.NDArray[np.float64]

    @property
    def pretrainings(self) -> int:
        """Number of pre-trainings; those with the same predictions count once."""
        return len(self.finetunings)

    @property
    def varies(self) -> bool:
        """Whether anything is known of how much training varies."""
        return len(self.weights) > 1

    def averaged(self, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The mean prediction of all levels, (images, classes), of those of the trainings."""
        mean: npt.NDArray[np.float64] = np.tensordot(self.weights.mean(axis=0), probabilities, axes=1)
        return mean

    def __str__(self) -> str:
        low, high = min(self.finetunings), max(self.finetunings)
        return f"{self.pretrainings} × {low if low == high else f'{low}–{high}'}"


def levels_of(probabilities: npt.ArrayLike, pretrainings: Sequence[Hashable]) -> Levels:
    """Sort trainings by their pre-training; identical predictions count once.

    A linear probe finds the same optimum with every seed. Counted several times, it would pass for a training
    without noise.

    Args:
        probabilities: Probabilities of shape (trainings, images, classes).
        pretrainings: Pre-training of each training: a key that is equal for equal initial weights.

    Raises:
        EvaluationError: Not one pre-training for each training.

    >>> predictions = np.array([[[0.9, 0.1]], [[0.8, 0.2]], [[0.7, 0.3]], [[0.7, 0.3]]])
    >>> str(levels_of(predictions, ["first", "first", "second", "second"]))
    '2 × 1–2'
    >>> levels_of(predictions, ["first", "first", "second", "second"]).weights.tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    """
    found = np.asarray(probabilities, dtype=np.float64)
    if len(pretrainings) != len(found):
        raise EvaluationError(f"pretrainings: expected one for each of {len(found)} trainings")
    groups: dict[Hashable, dict[bytes, int]] = {}
    for index, (pretraining, one) in enumerate(zip(pretrainings, found, strict=True)):
        groups.setdefault(pretraining, {}).setdefault((np.round(one, _DECIMALS) + 0.0).tobytes(), index)
    # Two pre-trainings that predict the same are copies of one.
    distinct = {frozenset(group): list(group.values()) for group in reversed(groups.values())}
    members = sorted(distinct.values())
    rows = members if len(members) > 1 else [[index] for index in members[0]]
    weights = np.zeros((len(rows), len(found)))
    for row, of_level in zip(weights, rows, strict=True):
        row[of_level] = 1 / len(of_level)
    return Levels(finetunings=tuple(len(group) for group in members), weights=weights)
