"""Labeled volumes whose patients nothing names: NIfTI files of two classes."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from tests.labeled import picture


def write_volume(file: Path, ill: bool, number: int, slices: int) -> None:
    """One of these slices, each unlike the others."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pictures = [picture(ill, 100 * number + index) for index in range(slices)]
    values = np.stack(pictures, axis=2).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), file)


def write_volumes(root: Path, count: int, *, slices: int = 3) -> Path:
    """A folder per class with volumes in turn; every second has a slice more."""
    for number in range(count):
        name = ("healthy", "ill")[number % 2]
        write_volume(root / name / f"v{number:02d}.nii.gz", number % 2 == 1, number, slices + number // 2 % 2)
    return root
