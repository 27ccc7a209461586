"""A linear layer without torch: the first computation of most heads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctprune.finetuning.votes import Features


@dataclass(frozen=True, eq=False)
class LinearLayer:
    """Weights and biases.

    Attributes:
        weight: Weights of the layer, float32 of shape (outputs, features).
        bias: Biases of the layer, float32 of shape (outputs,).
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]

    def outputs(self, features: Features | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Outputs of the layer, float64 of shape (n, outputs)."""
        found: npt.NDArray[np.float64] = features.astype(np.float64) @ self.weight.T.astype(np.float64) + self.bias
        return found


def softmax(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Softmax of each row, for values of any size.

    >>> softmax(np.array([[1000.0, 1000.0]])).tolist()
    [[0.5, 0.5]]
    """
    exponentials = np.exp(values - values.max(axis=1, keepdims=True))
    found: npt.NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return found
