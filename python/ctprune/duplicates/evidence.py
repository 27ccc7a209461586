"""Correlation of slices with similar fingerprints, read again as small gray images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.progress import Operation
from ctprune.manifest.slices import STAMP, WHERE, Slices, why_unusable
from ctprune.reading.resized import read_resized

#: Rows and columns to which slices are resized.
_SIDE = 64

#: Small gray images by row.
Small = dict[int, npt.NDArray[np.uint8]]


def read_small(
    slices: Slices, rows: Iterable[int], *, threads: int = 0, operation: Operation | None = None
) -> Small:
    """Gray images of these slices, each of shape (64, 64); those that can no longer be read are left out."""
    wanted = sorted(set(rows))
    lines = slices.take(np.array(wanted, np.int64), [*WHERE, *STAMP])
    usable = [at for at, reason in enumerate(why_unusable(lines)) if not reason]
    small = np.empty((len(usable), _SIDE, _SIDE), np.uint8)
    count = (operation or Operation()).counter("reading", len(usable), "slices")
    outcomes = read_resized([lines[at] for at in usable], small, slices.config, threads=threads, progress=count)
    return {
        wanted[at]: image for at, image, (_, _, reason) in zip(usable, small, outcomes, strict=True) if not reason
    }


def correlation(small: Small, pairs: Sequence[tuple[int, int]], turn: str) -> float | None:
    """Median of Pearson's correlation of pairs of slices, the first of each turned; None if none could be read."""
    values = []
    for a, b in pairs:
        if a not in small or b not in small:
            continue
        first, second = (one.astype(np.float64).ravel() for one in (_turned(small[a], turn), small[b]))
        first, second = first - first.mean(), second - second.mean()
        length = float(np.sqrt((first @ first) * (second @ second)))
        if length:
            values.append(float(first @ second) / length)
    return round(float(np.median(values)), 4) if values else None


def _turned(picture: np.ndarray[Any, Any], turn: str) -> np.ndarray[Any, Any]:
    if turn in ("left-right", "half turn"):
        picture = picture[:, ::-1]
    return picture[::-1] if turn in ("up-down", "half turn") else picture
