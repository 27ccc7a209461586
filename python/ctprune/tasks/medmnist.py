"""MedMNIST's `.npz`: `train_images`, `train_labels`, `val_…`, `test_…`, gray or RGB.

Source: J. Yang et al., MedMNIST v2 (2023).
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctprune.errors import SourceError, TaskError
from ctprune.tasks.label_table import classes_of
from ctprune.tasks.listing import TEST, TRAIN, VAL, Entry, Listing, listing


def list_medmnist(file: Path) -> Listing:
    """All images of the file; classes are the numbers that stand for them.

    Raises:
        SourceError: The file cannot be read as an archive of numpy.
        TaskError: An array is missing or has another shape or type.
    """
    arrays: list[npt.NDArray[np.uint8]] = []
    entries: list[Entry] = []
    try:
        with np.load(file, allow_pickle=False) as opened:
            for split in (TRAIN, VAL, TEST):
                if f"{split}_images" not in opened and split != TRAIN:
                    continue
                images, labels = _split(file, opened, split)
                arrays.extend(images)
                entries.extend(
                    Entry(name=f"{split}/{number}", label=str(label), split=split)
                    for number, label in enumerate(labels.tolist())
                )
    except TaskError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise SourceError(f"{file}: expected a MedMNIST file (.npz of numpy), found something else") from None
    return listing(file, "MedMNIST", entries, classes_of(entries), arrays=arrays)


def _split(
    file: Path, opened: np.lib.npyio.NpzFile, split: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.integer]]:
    for name in (f"{split}_images", f"{split}_labels"):
        if name not in opened:
            raise TaskError(f"{file}: expected an array {name}, found {', '.join(opened.files)}")
    images, labels = opened[f"{split}_images"], opened[f"{split}_labels"]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise TaskError(
            f"{file}: expected {split}_images as uint8 of shape (n, rows, cols) or (n, rows, cols, 3), found "
            f"{images.dtype} of shape {images.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.size != len(images):
        raise TaskError(
            f"{file}: expected {split}_labels as one whole number per image ({len(images)}), found {labels.dtype} "
            f"of shape {labels.shape}"
        )
    return images, labels.reshape(-1)
