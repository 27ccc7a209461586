"""The loss: cross-entropy and soft Dice, as nnU-Net adds them (Isensee et al. 2021; Milletari et al. 2016)."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, one_hot

#: Added to numerator and denominator: a class that is neither present nor predicted costs nothing.
SMOOTH = 1.0


def segmentation_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the pixels, plus 1, less the mean soft Dice of the classes but background.

    The soft Dice of a class is (2 Σ p y + 1) / (Σ p + Σ y + 1) over all pixels of the batch, with its probability
    p and y = 1 where it is the label, else 0.

    Args:
        logits: float32 of shape (n, classes, rows, columns).
        labels: int64 of shape (n, rows, columns), 0 for background.

    >>> logits = torch.tensor([[[[9.0, -9.0]], [[-9.0, 9.0]]]])
    >>> round(float(segmentation_loss(logits, torch.tensor([[[0, 1]]]))), 4)
    0.0
    """
    probabilities = logits.softmax(1)
    truth = one_hot(labels, logits.shape[1]).movedim(-1, 1).to(probabilities.dtype)
    over = (0, 2, 3)
    both = (probabilities * truth).sum(over)[1:]
    sums = (probabilities.sum(over) + truth.sum(over))[1:]
    dice = (2 * both + SMOOTH) / (sums + SMOOTH)
    return cross_entropy(logits, labels) + 1 - dice.mean()
