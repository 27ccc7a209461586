"""Smooth random fields: what makes a synthetic organ irregular yet continuous from slice to slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# The box that fields cover, in mm of the reference body: (low, high) of z, y, x. Beyond it they are constant.
_BOX_MM = ((-300.0, 330.0), (-210.0, 210.0), (-250.0, 250.0))

# A cubic B-spline of unit normals has about this standard deviation: (mean of its squared weights)^(3/2).
_SPLINE_STD = 0.479**1.5


class SmoothField:
    """A random function of position, twice differentiable, of mean 0 and standard deviation about 1.

    It is a cubic B-spline on a lattice of normal numbers `cell_mm` apart, so it varies over about two cells.
    """

    def __init__(self, rng: np.random.Generator, cell_mm: float) -> None:
        self._cell_mm = cell_mm
        shape = [int((high - low) / cell_mm) + 4 for low, high in _BOX_MM]
        self._lattice = rng.standard_normal(shape, dtype=np.float32) / np.float32(_SPLINE_STD)

    def on_plane(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Value at every pixel of a plane, shape (rows, cols).

        `x` has shape (cols,), `y` and `z` have shape (rows,), in mm: a plane may be tilted about the x axis.
        """
        at_z, weights_z = self._taps(z, axis=0)
        at_y, weights_y = self._taps(y, axis=1)
        rows = np.zeros((len(y), self._lattice.shape[2]), dtype=np.float32)
        for i in range(4):
            for j in range(4):
                rows += (weights_z[i] * weights_y[j])[:, None] * self._lattice[at_z + i, at_y + j]
        return rows @ self._matrix_x(x)

    def _matrix_x(self, x: Floats) -> Floats:
        """Interpolation along x as a matrix of shape (lattice, cols)."""
        at, weights = self._taps(x, axis=2)
        matrix = np.zeros((self._lattice.shape[2], len(x)), dtype=np.float32)
        for i in range(4):
            matrix[at + i, np.arange(len(x))] = weights[i]
        return matrix

    def _taps(self, position: Floats, axis: int) -> tuple[NDArray[np.intp], Floats]:
        """First of the four lattice points in reach, and the four B-spline weights, shape (4, n)."""
        low, high = _BOX_MM[axis]
        cells = (np.clip(position, low, high) - low) / self._cell_mm
        first = np.minimum(cells.astype(np.intp), self._lattice.shape[axis] - 4)
        t = cells - first
        weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
        return first, np.asarray(weights, dtype=np.float32) / np.float32(6)
