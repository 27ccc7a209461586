"""How much each of the nearest training images counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: Temperature of the neighbors' votes, exp(cosine / temperature) (Wu et al. 2018).
TEMPERATURE = 0.07

Features = npt.NDArray[np.float32]


def votes(distances: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """Weights of neighbors at these cosine distances, (n, neighbors), the nearest first."""
    # Relative to the nearest one, as only their ratios count.
    relative: npt.NDArray[np.floating[Any]] = np.exp((distances[:, :1] - distances) / TEMPERATURE)
    return relative
