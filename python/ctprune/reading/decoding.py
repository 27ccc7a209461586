"""Slices that pydicom read, decoded again for the Rust core while it works on those that it reads itself."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctprune.reading.pydicom_reader import Pixels


def decode_foreign(
    path: str | os.PathLike[str], frames: list[int], *, modality: str, max_slice_mb: int
) -> list[Pixels]:
    """Pixels, slope and intercept of these frames of a file, ascending; fewer when pydicom cannot go on.

    Args:
        path: The file.
        frames: Numbers of the frames, from 0.
        modality: DICOM Modality to read; `any` reads all.
        max_slice_mb: Limit for one decoded slice in MiB.
    """
    # Not before there is a file for it: pydicom is slow to load.
    from ctprune.reading.pydicom_reader import PydicomRefusal, read_slices

    found: list[Pixels] = []
    # A slice that is missing gets its reason where the pixels are looked for.
    with suppress(PydicomRefusal):
        for slice_ in read_slices(path, modality=modality, max_slice_mb=max_slice_mb, frames=frames):
            found.append(slice_[1:])
    return found
