"""Slices of a manifest as squares of pixels, decoded by Rust, or by pydicom where that read them first."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core

#: The manifest's columns that say where a slice is.
WHERE = ("source", "path", "frame", "reader")

#: Sum and sum of squares of a square's values and "", or what is wrong with the slice.
Outcome = tuple[int, int, str]


def read_squares(
    lines: list[dict[str, Any]],
    out: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    config: dict[str, Any],
    *,
    threads: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Outcome]:
    """Read slices into `out`, uint8 (grey) or uint16 (HU + 32768) of shape (n, side, side).

    Args:
        lines: Rows of the manifest with the columns `WHERE`.
        out: Filled in the order of `lines`; undefined where a slice cannot be read.
        config: The manifest's configuration.
        threads: Number of threads, 0 for one per core.
        progress: Called with the number of slices done.
    """
    outcomes = _core.pack(
        [(path_of(line), line["frame"]) for line in lines],
        out,
        intensity=config["intensity"],
        modality=config["modality"],
        max_slice_mb=config["max_slice_mb"],
        threads=threads,
        progress=progress,
    )
    for place, line in enumerate(lines):
        if outcomes[place][2] and line["reader"] == "pydicom":
            outcomes[place] = _read_with_pydicom(line, out[place : place + 1], config)
    return outcomes


def path_of(line: dict[str, Any]) -> str:
    """The file of a row."""
    return os.path.join(str(line["source"]), str(line["path"]))


def _read_with_pydicom(
    line: dict[str, Any], out: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], config: dict[str, Any]
) -> Outcome:
    from ctprune.reading.pydicom_reader import PydicomRefusal, read_slice

    try:
        pixels, slope, intercept = read_slice(
            path_of(line), line["frame"], modality=config["modality"], max_slice_mb=config["max_slice_mb"]
        )
    except PydicomRefusal as refusal:
        return 0, 0, str(refusal)
    return _core.pack_decoded(pixels, slope, intercept, out, config["intensity"])
