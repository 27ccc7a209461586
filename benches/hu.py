"""Hounsfield units against pydicom's, value by value, over all DICOM files of a folder."""

from __future__ import annotations

import logging
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels import apply_modality_lut

import ctprune
from benches import series
from benches.measure import Table
from benches.settings import Settings
from ctprune import _core

Values = npt.NDArray[Any]


def run(settings: Settings, threads: int) -> dict[str, Any]:
    root = Path(settings.data) if settings.data else series.phantom(settings)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        # Broken files are part of the input.
        warnings.simplefilter("ignore")
        return {
            "input": settings.describe if settings.data else "a generated phantom archive (ctprune phantom)",
            "about": (
                "Goal: every slice of every file that pydicom decodes has its Hounsfield units, to the bit of "
                "float32. Modality: any."
            ),
            "tables": [_table(root)],
        }


def _table(root: Path) -> Table:
    rows = defaultdict(list)
    for row in ctprune.reduce(root, method="all", modality="any").rows.to_dicts():
        rows[row["path"]].append(row)
    table = Table("Files that pydicom decodes", ["file", "frames", "outcome"])
    equal = [0, 0]
    for path, of_file in sorted(rows.items()):
        frames = _frames(root / path)
        if frames is None:
            continue
        outcome = _outcome(root / path, of_file, frames)
        table.raw.append({"file": path, "frames": len(frames), "outcome": outcome})
        if outcome == "equal":
            equal = [equal[0] + 1, equal[1] + len(frames)]
        else:
            table.rows.append([path, str(len(frames)), outcome])
    table.rows.insert(0, [f"{equal[0]} files", str(equal[1]), "equal in every value"])
    return table


def _frames(path: Path) -> list[Values] | None:
    """The Hounsfield units of each frame as pydicom gives them; None where it does not decode the file."""
    try:
        ds = pydicom.dcmread(path, force=True)
        pixels = ds.pixel_array
    except Exception:
        return None
    one = pixels.ndim == 2 or (pixels.ndim == 3 and ds.SamplesPerPixel > 1)
    return [_rescaled(ds, frame, stored) for frame, stored in enumerate(pixels[None] if one else pixels)]


def _rescaled(ds: pydicom.Dataset, frame: int, stored: Values) -> Values:
    """pydicom leaves the functional groups of multi-frame objects to its caller."""
    if "PerFrameFunctionalGroupsSequence" not in ds:
        return np.asarray(apply_modality_lut(stored, ds))
    groups = [ds.PerFrameFunctionalGroupsSequence[frame], *ds.get("SharedFunctionalGroupsSequence", [])]
    for group in groups:
        if "PixelValueTransformationSequence" in group:
            transformation = group.PixelValueTransformationSequence[0]
            return stored * float(transformation.RescaleSlope) + float(transformation.RescaleIntercept)
    return stored


def _outcome(path: Path, rows: list[dict[str, Any]], frames: list[Values]) -> str:
    refused = [row for row in rows if row["status"] in ("skipped", "failed")]
    if refused:
        return f"{refused[0]['status']}: {refused[0]['reason']}"
    if len(rows) != len(frames):
        return f"{len(rows)} slices, pydicom has {len(frames)}"
    for row in rows:
        if row["reader"] == "pydicom":
            return "read through pydicom"
        expected = frames[row["frame"]]
        hu = _core.read_hu([(str(path), row["frame"])], row["rows"], row["columns"], "any", 512)[0]
        if not np.array_equal(hu, expected.astype(np.float32)):
            return f"other values in frame {row['frame']}"
    return "equal"
