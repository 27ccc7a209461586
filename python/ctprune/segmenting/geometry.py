"""Whether a mask lies on the voxels of its volume, and how the axes of the two correspond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

_T = TypeVar("_T", bound=np.generic)

#: How far the corners of a mask may lie from those of its volume, in voxels.
_TOLERANCE = 0.1


@dataclass(frozen=True, eq=False)
class Grid:
    """The grid of voxels in space.

    Attributes:
        shape: Number of slices, rows and columns.
        affine: From column, row and slice to mm, float64 of shape (4, 4), see `ctprune.exporting.nifti.affine_of`.
    """

    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in milliliters."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def __str__(self) -> str:
        """Columns, rows and slices as text."""
        return " × ".join(map(str, self.shape[::-1]))


@dataclass(frozen=True)
class Turn:
    """How a mask becomes an array of its volume's shape: no value is interpolated.

    Attributes:
        order: For slices, rows and columns of the volume the mask's axis.
        flipped: Whether the volume's slices, rows and columns run against the mask's.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def apply(self, mask: npt.NDArray[_T]) -> npt.NDArray[_T]:
        """The mask on the volume's voxels.

        >>> Turn((0, 2, 1), (True, False, False)).apply(np.arange(4).reshape(2, 1, 2)).tolist()
        [[[2], [3]], [[0], [1]]]
        """
        turned = mask.transpose(self.order)
        return turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]


def turn_onto(volume: Grid, mask: Grid) -> Turn | str:
    """The turn that brings a mask onto the voxels of its volume, or a sentence why there is none.

    Programs store the same voxels in different orders: dcm2niix reverses the rows of DICOM, ITK keeps them. So
    axes may be exchanged and reversed, as long as every voxel of one is a voxel of the other.

    >>> grid = Grid((2, 3, 4), np.eye(4))
    >>> turn_onto(grid, grid)
    Turn(order=(0, 1, 2), flipped=(False, False, False))
    """
    from_mask: npt.NDArray[Any] = np.linalg.solve(volume.affine, mask.affine)
    whole = np.rint(from_mask)
    axes = np.abs(whole[:3, :3])
    if not (np.array_equal(axes.sum(0), [1, 1, 1]) and np.array_equal(axes.sum(1), [1, 1, 1])):
        return "is turned against its volume, or has voxels of another size"
    # Axes of the affine are columns, rows and slices; those of arrays the other way round.
    axis_of = [int(np.argmax(axes[axis])) for axis in range(3)]
    signs = [float(whole[axis, axis_of[axis]]) for axis in range(3)]
    sizes, own_sizes = volume.shape[::-1], mask.shape[::-1]
    if tuple(own_sizes[axis] for axis in axis_of) != sizes:
        return f"has {mask} voxels, but its volume {volume}"
    exact = np.zeros((3, 4))
    for axis in range(3):
        exact[axis, axis_of[axis]] = signs[axis]
        exact[axis, 3] = 0 if signs[axis] > 0 else sizes[axis] - 1
    corners = np.stack(np.meshgrid(*[[0, size - 1] for size in own_sizes], [1], indexing="ij"), -1).reshape(-1, 4)
    away = corners @ (from_mask[:3] - exact).T
    if np.abs(away).max() > _TOLERANCE:
        worst = away[np.argmax(np.abs(away).max(axis=1))]
        mm = float(np.linalg.norm(volume.affine[:3, :3] @ worst))
        return f"lies up to {mm:.3g} mm from the voxels of its volume"
    array_order = [2 - axis_of[2 - axis] for axis in range(3)]
    return Turn(
        order=(array_order[0], array_order[1], array_order[2]),
        flipped=(signs[2] < 0, signs[1] < 0, signs[0] < 0),
    )
