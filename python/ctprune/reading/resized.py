"""Slices of a manifest resized to one size, decoded by Rust, or by pydicom where that read them first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.environment.progress import Count
from ctprune.files.members import each_content
from ctprune.manifest.slices import path_of
from ctprune.sources.ahead import FetchAhead

#: Sum and sum of squares of a resized slice's values and "", or 0, 0 and what is wrong with the slice.
Outcome = tuple[int, int, str]


def read_resized(
    rows: list[dict[str, Any]],
    out: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    config: dict[str, Any],
    *,
    threads: int = 0,
    progress: Count = lambda done: None,
) -> list[Outcome]:
    """Read slices into `out`, uint8 (gray) or uint16 (HU + 32768) of shape (n, side, side).

    Args:
        rows: Rows of the manifest with the columns `WHERE`.
        out: Filled in the order of `rows`; undefined where a slice cannot be read.
        config: The manifest's configuration.
        threads: Number of threads, 0 for one per core.
        progress: Called with the number of slices done.
    """
    with FetchAhead() as fetch:
        outcomes = _core.read_resized(
            [(path_of(row), row["frame"]) for row in rows],
            out,
            intensity=config["intensity"],
            modality=config["modality"],
            max_slice_mb=config["max_slice_mb"],
            threads=threads,
            progress=progress,
            fetch=fetch,
        )
    files: dict[str, dict[int, list[int]]] = {}
    for index, row in enumerate(rows):
        if outcomes[index][2] and row["reader"] == "pydicom":
            files.setdefault(path_of(row), {}).setdefault(row["frame"], []).append(index)
    paths = list(files)

    def take(number: int, content: bytes | None) -> None:
        path = paths[number]
        for index, outcome in _read_with_pydicom(path, files[path], out, config, content):
            outcomes[index] = outcome

    each_content(paths, take, max_slice_mb=config["max_slice_mb"])
    return outcomes


def _read_with_pydicom(
    path: str,
    frames: dict[int, list[int]],
    out: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    config: dict[str, Any],
    content: bytes | None,
) -> Iterator[tuple[int, Outcome]]:
    """Frames of one file, given with their indices in `out`, which pydicom decodes in one go."""
    from ctprune.reading.pydicom_reader import PydicomRefusal, read_slices

    left, reason = dict(frames), "pydicom finds no such frame"
    limits = {"modality": config["modality"], "max_slice_mb": config["max_slice_mb"]}
    try:
        for info, pixels, slope, intercept in read_slices(path, frames=sorted(frames), content=content, **limits):
            for index in left.pop(info["frame"], []):
                target = out[index : index + 1]
                yield index, _core.resize_decoded(pixels, slope, intercept, target, config["intensity"])
    except PydicomRefusal as refusal:
        reason = str(refusal)
        if len(frames) > 1:
            # One frame that cannot be read does not take the others with it.
            for frame, indices in left.items():
                yield from _read_with_pydicom(path, {frame: indices}, out, config, content)
            return
    for indices in left.values():
        for index in indices:
            yield index, (0, 0, reason)
