"""The area under the ROC curve and its covariance by looking at every pair of a positive and a negative image."""

from __future__ import annotations

import numpy as np


def pairwise_covariance(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong, DeLong, Clarke-Pearson (1988), formulas 3 to 6, as they stand there."""
    positives = [np.flatnonzero(truth)[i] for i in range(truth.sum())]
    negatives = [np.flatnonzero(~truth)[j] for j in range((~truth).sum())]
    m, n, models = len(positives), len(negatives), len(scores)

    def won(model: int, i: int, j: int) -> float:
        a, b = scores[model][positives[i]], scores[model][negatives[j]]
        return 1.0 if a > b else 0.5 if a == b else 0.0

    v10 = [[sum(won(r, i, j) for j in range(n)) / n for i in range(m)] for r in range(models)]
    v01 = [[sum(won(r, i, j) for i in range(m)) / m for j in range(n)] for r in range(models)]
    areas = [sum(row) / m for row in v10]
    covariance = np.zeros((models, models))
    for r in range(models):
        for s in range(models):
            s10 = sum((v10[r][i] - areas[r]) * (v10[s][i] - areas[s]) for i in range(m)) / (m - 1)
            s01 = sum((v01[r][j] - areas[r]) * (v01[s][j] - areas[s]) for j in range(n)) / (n - 1)
            covariance[r, s] = s10 / m + s01 / n
    return np.array(areas), covariance
