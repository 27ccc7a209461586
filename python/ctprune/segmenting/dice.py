"""Dice and volumetric similarity of predicted masks, from counts of voxels.

Dice is 2 |P ∩ R| / (|P| + |R|) of a predicted class P and its reference R; volumetric similarity is
1 − ||P| − |R|| / (|P| + |R|) (Taha and Hanbury 2015). Where neither has a voxel, both are not defined and count in
no mean; where only the reference has none, Dice is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_T = TypeVar("_T", bound=np.generic)


def count_voxels(predicted: npt.NDArray[np.uint8], reference: npt.NDArray[np.uint8], classes: int) -> Counts:
    """Voxels of each class that are in both masks, in the predicted one, and in the reference.

    Args:
        predicted: Index of each voxel's class, 0 for background, slice by slice along the first axis.
        reference: The same of the reference, of the same shape.
        classes: Number of classes but background.

    Returns:
        int64 of shape (classes, 3).

    >>> count_voxels(np.array([0, 1, 1], np.uint8), np.array([1, 1, 0], np.uint8), 1).tolist()
    [[1, 2, 2]]
    """
    table = np.zeros((classes + 1) ** 2, np.int64)
    # One slice after the other: pairs take eight bytes each.
    for one, other in zip(predicted, reference, strict=True):
        pairs = one.ravel().astype(np.intp) * (classes + 1) + other.ravel()
        table += np.bincount(pairs, minlength=len(table))
    square = table.reshape(classes + 1, classes + 1)
    return np.stack([np.diagonal(square), square.sum(1), square.sum(0)], 1)[1:]


def by_patient(counts: npt.NDArray[_T], patients: Sequence[str]) -> tuple[list[str], npt.NDArray[_T]]:
    """Counts of each patient's volumes together, patients in order of first appearance.

    Args:
        counts: Voxels, or milliliters, of shape (…, volumes, classes, 3).
        patients: Patient of each volume.

    Returns:
        The patients, and counts of shape (…, patients, classes, 3).
    """
    names = list(dict.fromkeys(patients))
    sums = [counts[..., [one == name for one in patients], :, :].sum(axis=-3) for name in names]
    return names, np.stack(sums, axis=-3)


def measures_of(counts: Counts) -> dict[str, _Floats]:
    """Dice and volumetric similarity, nan where they are not defined.

    Args:
        counts: Shape (…, 3), as from `count_voxels`.

    >>> {name: value.tolist() for name, value in measures_of(np.array([[1, 2, 4], [0, 3, 0], [0, 0, 0]])).items()}
    {'dice': [0.3333333333333333, 0.0, nan], 'volumetric_similarity': [0.6666666666666667, 0.0, nan]}
    """
    both, predicted, reference = (counts[..., index].astype(np.float64) for index in range(3))
    total = predicted + reference
    undefined = np.where(total == 0, np.nan, total)
    return {"dice": 2 * both / undefined, "volumetric_similarity": 1 - np.abs(predicted - reference) / undefined}
