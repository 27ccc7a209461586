"""Volumes with masks for the tests: a bright ball (1) and a dark one (2) in noise, as NIfTI written by nibabel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

#: Options of a segmentation that takes a second.
SMALL: dict[str, Any] = {
    "backbone": "test_resnet",
    "side": 32,
    "batch_size": 8,
    "device": "cpu",
    "seeds": 1,
    "epochs": 1,
    "intensity": "hu:-200,300",
    "threads": 1,
}

AFFINE = np.array([[-2.0, 0, 0, 30], [0, -1.5, 0, 20], [0, 0, 4, -50], [0, 0, 0, 1]])

Shape = tuple[int, int, int]


def body(number: int, shape: Shape = (24, 20, 3)) -> tuple[np.ndarray, np.ndarray]:
    """HU, int16, and labels, uint8, of shape (columns, rows, slices)."""
    random = np.random.default_rng(number)
    where = np.indices(shape)
    hu, labels = random.normal(0, 20, shape), np.zeros(shape, np.uint8)
    for label, value in ((1, 200), (2, -150)):
        middle = [random.uniform(0.3, 0.7) * size for size in shape]
        away = [(axis - at) / (0.22 * size) for axis, at, size in zip(where, middle, shape, strict=True)]
        ball = (np.array(away[:2]) ** 2).sum(axis=0) < 1
        hu[ball], labels[ball] = value + random.normal(0, 20, int(ball.sum())), label
    return hu.astype(np.int16), labels


def save(file: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """A NIfTI file."""
    # A machine with a GPU, which does without such files, may not have it.
    import nibabel

    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(values, affine).to_filename(file)
    return file


def write_pair(folder: Path, name: str, number: int, shape: Shape = (24, 20, 3)) -> tuple[Path, Path]:
    """A volume with its mask beside it."""
    hu, labels = body(number, shape)
    return save(folder / f"{name}.nii.gz", hu), save(folder / f"{name}_mask.nii.gz", labels)
