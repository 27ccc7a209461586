"""From labels of a slice to those of the square that the network sees, by the nearest pixel.

Squares are those of `ctprune.finetuning.fitting` with `pad`: a slice in the middle of a square of its longer side,
resampled.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

_T = TypeVar("_T", bound=np.generic)


def margins(rows: int, columns: int) -> tuple[int, int]:
    """Rows above and columns to the left of a slice in the square of its longer side.

    >>> margins(3, 8)
    (2, 0)
    """
    longer = max(rows, columns)
    return (longer - rows) // 2, (longer - columns) // 2


def squares_of(labels: npt.NDArray[_T], side: int) -> npt.NDArray[_T]:
    """Labels of slices as squares: each pixel has the label at its center; 0 in the margins.

    Args:
        labels: Shape (slices, rows, columns).
        side: Rows and columns of the squares.

    Returns:
        Shape (slices, side, side).

    >>> squares_of(np.array([[[1, 2, 3, 4], [5, 6, 7, 8]]]), 2).tolist()
    [[[2, 4], [0, 0]]]
    """
    rows, columns = labels.shape[1:]
    center = ((2 * np.arange(side) + 1) * max(rows, columns)) // (2 * side)
    top, left = margins(rows, columns)
    row, column = center - top, center - left
    inside = ((row >= 0) & (row < rows))[:, None] & ((column >= 0) & (column < columns))
    found = labels[:, row.clip(0, rows - 1)][:, :, column.clip(0, columns - 1)]
    return np.where(inside, found, labels.dtype.type(0))
