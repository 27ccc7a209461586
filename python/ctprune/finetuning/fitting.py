"""Turns pictures into squares: with margins, squeezed, or cropped to the middle."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ctprune import _core
from ctprune.environment.progress import Count
from ctprune.files.members import opens, read_bytes
from ctprune.manifest.slices import path_of
from ctprune.reading.resized import read_resized
from ctprune.sources.ahead import FetchAhead

#: Columns that a row needs in addition to `ctprune.reading.resized.WHERE`.
SHAPE = ("rows", "columns")

#: With this range of units, values that are gray already stay unchanged.
_GRAY = "hu:0,255"

#: Slices of one file that are in memory at a time.
_AT_A_TIME = 32

_Gray = npt.NDArray[np.uint8]


def read_fitted(
    lines: list[dict[str, Any]],
    out: _Gray,
    reading: dict[str, Any],
    *,
    fit: str,
    threads: int = 0,
    progress: Count = lambda done: None,
) -> list[str]:
    """Read slices as square gray images.

    Args:
        lines: Rows of the manifest with the columns `ctprune.reading.resized.WHERE` and `SHAPE`.
        out: Array to fill in the order of `lines`, uint8 of shape (n, side, side); undefined where a slice cannot
            be read.
        reading: How slices are read: `intensity`, `modality`, `max_slice_mb`.
        fit: How a slice becomes a square: `pad`, `squeeze` or `crop`, see `fit_gray`.
        threads: Number of threads, 0 for one per core.
        progress: Function called with the number of slices done.

    Returns:
        For each slice an empty text, or why it cannot be read.
    """
    side = out.shape[1]
    indices: dict[bool, list[int]] = {True: [], False: []}
    for index, line in enumerate(lines):
        indices[_is_square_already(line, fit, side)].append(index)
    direct, others = indices[True], indices[False]
    reasons = [""] * len(lines)
    if direct:
        # Without a copy where all of them are.
        resized = out if not others else np.empty((len(direct), side, side), np.uint8)
        outcomes = read_resized([lines[p] for p in direct], resized, reading, threads=threads, progress=progress)
        for index, (*_, reason) in zip(direct, outcomes, strict=True):
            reasons[index] = reason
        if others:
            out[direct] = resized
    done = len(direct)
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        parts = list(_parts(lines, others))
        for part, found in zip(parts, pool.map(lambda part: _pictures(part, lines, reading), parts), strict=True):
            for index, picture in zip(part, found, strict=True):
                if isinstance(picture, str):
                    reasons[index] = picture
                else:
                    fit_gray(picture, out[index], fit)
            done += len(part)
            progress(done)
    return reasons


def fit_gray(picture: _Gray, out: _Gray, fit: str) -> None:
    """Fit a gray picture, (rows, cols), into the square `out`, (side, side).

    `pad` and `squeeze` cut nothing off: the first fills margins with the picture's darkest value, the second
    changes the aspect ratio. `crop` cuts off both ends of the longer side. `pad` and `crop` resample with Pillow's
    Lanczos filter, `squeeze` takes the mean of the pixels that a new one covers, as the reference does (`area` of
    torch's interpolation).

    >>> square = np.empty((2, 2), np.uint8)
    >>> fit_gray(np.array([[0, 10, 20, 30]], np.uint8), square, "squeeze")
    >>> square.tolist()
    [[5, 25], [5, 25]]
    """
    if fit == "squeeze":
        out[:] = _mean_of_areas(_mean_of_areas(picture.astype(np.float64), len(out)).T, len(out)).T.round()
    else:
        square = np.ascontiguousarray(picture) if fit == "crop" else _padded(picture)
        _core.resize_decoded(square, 1.0, 0.0, out[None], _GRAY)


def _is_square_already(line: dict[str, Any], fit: str, side: int) -> bool:
    """Whether the reader's own square, which crops the longer side, will do."""
    if fit == "squeeze":
        return bool(line["rows"] == line["columns"] == side)
    return fit == "crop" or bool(line["rows"] == line["columns"])


def _parts(lines: list[dict[str, Any]], indices: list[int]) -> Iterator[list[int]]:
    """Indices of slices of one file and shape, some at a time: a file of many slices is not opened for each."""
    together: dict[tuple[str, str, int, int], list[int]] = {}
    for index in indices:
        line = lines[index]
        key = (path_of(line), line["reader"], line["rows"], line["columns"])
        together.setdefault(key, []).append(index)
    for found in together.values():
        yield from (found[start : start + _AT_A_TIME] for start in range(0, len(found), _AT_A_TIME))


def _pictures(indices: list[int], lines: list[dict[str, Any]], reading: dict[str, Any]) -> list[_Gray | str]:
    """Gray of slices of one file in full size, or an error for each."""
    mine = [lines[index] for index in indices]
    try:
        return _read(mine, reading)
    except ValueError as error:
        if len(mine) == 1:
            return [str(error).removeprefix(f"{path_of(mine[0])}: ")]
        return [picture for line in mine for picture in _pictures([0], [line], reading)]


def _read(lines: list[dict[str, Any]], reading: dict[str, Any]) -> list[_Gray | str]:
    first = lines[0]
    if first["reader"] == "pydicom":
        return [_read_with_pydicom(line, reading) for line in lines]
    slices = [(path_of(line), line["frame"]) for line in lines]
    limits = {"modality": reading["modality"], "max_slice_mb": reading["max_slice_mb"]}
    with FetchAhead() as fetch:
        values = _core.read_hu(slices, first["rows"], first["columns"], fetch=fetch, **limits)
    if first["reader"] == "image" and not _is_deep(path_of(first), values):
        return list(values.astype(np.uint8))
    return [_gray_of(one, 1.0, 0.0, reading["intensity"]) for one in values]


def _is_deep(path: str, values: npt.NDArray[np.float32]) -> bool:
    """Whether a picture has more than 8 bits of gray, so that its values are taken as Hounsfield units."""
    if values.min() < 0 or values.max() > 255:
        return True
    try:
        file = path if opens(path) else io.BytesIO(read_bytes(path))
        with Image.open(file) as opened:
            return opened.mode.startswith(("I", "F"))
    except Image.DecompressionBombError:
        # The reader has its own limit, which the picture has passed.
        return False


def _read_with_pydicom(line: dict[str, Any], reading: dict[str, Any]) -> _Gray | str:
    from ctprune.reading.pydicom_reader import PydicomRefusal, read_slice

    try:
        pixels, slope, intercept = read_slice(
            path_of(line), line["frame"], modality=reading["modality"], max_slice_mb=reading["max_slice_mb"]
        )
    except PydicomRefusal as refusal:
        return str(refusal)
    return _gray_of(pixels, slope, intercept, reading["intensity"])


def _gray_of(values: npt.NDArray[Any], slope: float, intercept: float, intensity: str) -> _Gray | str:
    """The gray that the reader makes of it, in full size: in a square of the larger side nothing is resampled."""
    square = _padded(values)
    gray = np.empty((1, *square.shape), np.uint8)
    reason = _core.resize_decoded(square, slope, intercept, gray, intensity)[2]
    top, left = _margins(values.shape)
    return reason or gray[0, top : top + values.shape[0], left : left + values.shape[1]]


def _padded(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """In the middle of a square of the larger side, between margins of the smallest value."""
    rows, columns = values.shape
    side = max(rows, columns)
    top, left = _margins(values.shape)
    finite = values[np.isfinite(values)]
    square = np.full((side, side), finite.min() if finite.size else 0, values.dtype)
    square[top : top + rows, left : left + columns] = values
    return square


def _margins(shape: tuple[int, ...]) -> tuple[int, int]:
    side = max(shape)
    return (side - shape[0]) // 2, (side - shape[1]) // 2


def _mean_of_areas(values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """(rows, …) to (count, …): means over the rows from ⌊i · rows / count⌋ to ⌈(i + 1) · rows / count⌉."""
    rows = len(values)
    start = np.arange(count) * rows // count
    stop = -(-(np.arange(count) + 1) * rows // count)
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), values.cumsum(axis=0)])
    means: npt.NDArray[np.float64] = (sums[stop] - sums[start]) / (stop - start)[:, None]
    return means
