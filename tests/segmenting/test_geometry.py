"""Masks on the voxels of their volumes, and squares of slices: against plain loops and nibabel."""

from __future__ import annotations

import itertools

import nibabel
import numpy as np
import pytest
import torch

from ctprune.finetuning.fitting import fit_gray
from ctprune.segmenting.geometry import Grid, Turn, turn_onto
from ctprune.segmenting.prediction import onto_slices
from ctprune.segmenting.squares import squares_of

#: Tilted as a gantry tilts, with steps of three sizes.
TILTED = np.array([[-0.7, 0, 0, 90.0], [0, -0.8, 0.9, 110], [0, 0.15, 2.5, -300], [0, 0, 0, 1]])


def grid_of(image: nibabel.Nifti1Image) -> Grid:
    columns, rows, slices = image.shape
    return Grid((slices, rows, columns), image.affine)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_axes_in_any_order_and_direction_give_the_same_voxels(order: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 9, (4, 3, 2)).astype(np.uint8)
    volume = nibabel.Nifti1Image(labels, TILTED)
    for flips in itertools.product([1, -1], repeat=3):
        # As nibabel exchanges and reverses axes.
        turned = volume.as_reoriented(np.array([order, flips]).T)
        turn = turn_onto(grid_of(volume), grid_of(turned))
        assert isinstance(turn, Turn)
        found = turn.apply(np.asarray(turned.dataobj).transpose(2, 1, 0))
        np.testing.assert_array_equal(found, labels.transpose(2, 1, 0))


def moved(by: float) -> np.ndarray:
    affine = TILTED.copy()
    affine[0, 3] += by
    return affine


def scaled(by: float) -> np.ndarray:
    affine = TILTED.copy()
    affine[:3, 0] *= by
    return affine


def rotated() -> np.ndarray:
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.8), -np.sin(0.8)], [np.sin(0.8), np.cos(0.8)]]
    return turn @ TILTED


@pytest.mark.parametrize(
    ("shape", "affine", "said"),
    [
        ((9, 30, 40), moved(0.07), None),
        ((9, 30, 40), moved(0.09), "lies up to 0.09 mm from the voxels of its volume"),
        ((9, 30, 40), scaled(1.001), None),
        ((9, 30, 40), scaled(1.01), "lies up to 0.273 mm from the voxels of its volume"),
        ((9, 30, 41), TILTED, "has 41 × 30 × 9 voxels, but its volume 40 × 30 × 9"),
        ((9, 40, 30), TILTED, "has 30 × 40 × 9 voxels, but its volume 40 × 30 × 9"),
        ((9, 30, 40), scaled(2), "is turned against its volume, or has voxels of another size"),
        ((9, 30, 40), rotated(), "is turned against its volume, or has voxels of another size"),
    ],
)
def test_a_mask_that_lies_elsewhere_is_told_apart(
    shape: tuple[int, int, int], affine: np.ndarray, said: str | None
) -> None:
    found = turn_onto(Grid((9, 30, 40), TILTED), Grid(shape, affine))
    assert (found if isinstance(found, str) else None) == said


@pytest.mark.parametrize(("rows", "columns", "side"), [(5, 5, 5), (7, 4, 7), (4, 9, 6), (30, 20, 8), (3, 5, 16)])
def test_squares_of_labels_equal_a_plain_loop(rows: int, columns: int, side: int) -> None:
    labels = np.random.default_rng(1).integers(1, 200, (2, rows, columns)).astype(np.uint8)
    longer = max(rows, columns)
    expected = np.zeros((2, side, side), np.uint8)
    for i, j in np.ndindex(side, side):
        row = int((i + 0.5) * longer / side) - (longer - rows) // 2
        column = int((j + 0.5) * longer / side) - (longer - columns) // 2
        if 0 <= row < rows and 0 <= column < columns:
            expected[:, i, j] = labels[:, row, column]
    np.testing.assert_array_equal(squares_of(labels, side), expected)


@pytest.mark.parametrize(("rows", "columns"), [(12, 12), (12, 7), (5, 12)])
def test_without_resizing_the_way_there_and_back_is_exact(rows: int, columns: int) -> None:
    labels = np.random.default_rng(2).integers(0, 4, (3, rows, columns))
    squares = torch.nn.functional.one_hot(torch.from_numpy(squares_of(labels, 12)), 4).movedim(-1, 1).float()
    back = onto_slices(squares, rows, columns).argmax(1).numpy()
    np.testing.assert_array_equal(back, labels)


@pytest.mark.parametrize(("rows", "columns", "side"), [(40, 40, 16), (40, 24, 16), (14, 20, 64)])
def test_a_square_of_labels_lies_on_the_square_of_its_picture(rows: int, columns: int, side: int) -> None:
    labels = np.zeros((1, rows, columns), np.uint8)
    labels[0, rows // 4 : rows // 2, columns // 3 : columns // 2 + 2] = 1
    picture = np.empty((side, side), np.uint8)
    fit_gray(labels[0] * 200, picture, "pad")
    square = squares_of(labels, side)[0]
    assert np.mean((picture > 100) == square) > 0.97
    # And on its way back at the same place.
    both = torch.from_numpy(np.stack([1 - square, square])[None].astype(np.float32))
    back = onto_slices(both, rows, columns).argmax(1)[0].numpy()
    assert 2 * (back & labels[0]).sum() / (back.sum() + labels.sum()) > 0.75
