"""Made-up predictions."""

from __future__ import annotations

import numpy as np


def some_predictions(
    images: int, classes: int, seed: int, *, ties: bool = False
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels of every class and probabilities that know something of them."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(classes, size=images - classes)])
    logits = random.normal(size=(images, classes)) + 1.2 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if ties:
        whole = np.round(probabilities * 4) + 1
        probabilities = whole / whole.sum(axis=1, keepdims=True)
    return labels, probabilities, [f"class {i}" for i in range(classes)]
