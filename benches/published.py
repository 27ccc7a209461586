"""The published way of reducing a series, in Python: DICOM to PNG files, then their hashes, then greedily."""

from __future__ import annotations

import time
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image

STAGES = (
    "DICOM to HU (pydicom)",
    "to 8 bits (numpy)",
    "write PNG",
    "read PNG, hash (ImageHash)",
    "greedy (numpy)",
)


def kept_slices(folder: Path, pictures: Path, seconds: dict[str, float] | None = None) -> list[str]:
    """Names of the kept slices of one series, its files in order; adds each stage's time to `seconds`."""
    clock = _Clock(dict.fromkeys(STAGES, 0.0) if seconds is None else seconds)
    pictures.mkdir(parents=True, exist_ok=True)
    paths = sorted(folder.iterdir())
    for path in paths:
        ds = pydicom.dcmread(path)
        hu = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        clock.stop(STAGES[0])
        low, high = hu.min(), hu.max()
        gray = np.rint((hu - low) / max(high - low, 1) * 255).astype(np.uint8)
        clock.stop(STAGES[1])
        # The default level takes several times as long where Pillow finds a plain zlib.
        Image.fromarray(gray).save(pictures / f"{path.stem}.png", compress_level=1)
        clock.stop(STAGES[2])
    hashes = []
    for path in paths:
        with Image.open(pictures / f"{path.stem}.png") as image:
            hashes.append(imagehash.dhash(image).hash.ravel())
    clock.stop(STAGES[3])
    kept = greedy(np.array(hashes), 6)
    clock.stop(STAGES[4])
    return [paths[row].name for row in kept]


def greedy(hashes: npt.NDArray[np.bool_], threshold: int) -> list[int]:
    """Keep the first remaining slice, drop all that are similar to it, repeat."""
    kept, remaining = [], np.arange(len(hashes))
    while len(remaining):
        first = remaining[0]
        kept.append(int(first))
        distances = (hashes[remaining] != hashes[first]).sum(axis=1)
        remaining = remaining[distances > threshold]
    return kept


class _Clock:
    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._since = time.perf_counter()

    def stop(self, stage: str) -> None:
        now = time.perf_counter()
        self._seconds[stage] += now - self._since
        self._since = now
