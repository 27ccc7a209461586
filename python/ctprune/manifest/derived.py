"""Results of other commands in the folder of a reduction, and when they are out of date.

`ctprune reduce` then removes them: a page or curve that only looks current is worse than none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ctprune import _core
from ctprune.environment.lazy import numpy as np
from ctprune.manifest.slices import with_status

REPORT_NAME = "report.html"

#: Findings of `ctprune check`.
SERIES_NAME = "series.parquet"

#: Pairs of `ctprune duplicates`.
DUPLICATES_NAME = "duplicates.parquet"

SWEEP_NAME, SWEEP_PNG_NAME, SWEEP_SVG_NAME = "sweep.parquet", "sweep.png", "sweep.svg"

#: The diversity page of a sweep.
SWEEP_DIVERSITY_NAME = "diversity.html"

#: The options of a report and of a sweep, beside them.
REPORT_CONFIG_NAME, SWEEP_CONFIG_NAME = f"{REPORT_NAME}.yaml", "sweep.yaml"

#: Marks a page as a report by ctprune, within its first bytes.
REPORT_MARK = '<meta name="generator" content="ctprune report">'

_HEAD = 1 << 10

_SWEPT = ["path", "frame", "volume", "fingerprint", "file_size", "file_version", "status"]


def remove_report(folder: Path) -> Path | None:
    """Remove the report of an earlier selection and return its path; pages that ctprune did not write stay.

    A report describes one run, down to its time, so it is never valid for another.
    """
    file = folder / REPORT_NAME
    try:
        with file.open("rb") as opened:
            is_report = REPORT_MARK.encode() in opened.read(_HEAD)
        if is_report:
            file.unlink()
            (folder / REPORT_CONFIG_NAME).unlink(missing_ok=True)
    except OSError:
        return None
    return file if is_report else None


def remove_tables(folder: Path) -> list[Path]:
    """Remove results of `check` and `duplicates` for the slices of an earlier manifest, and return their paths."""
    found = [folder / name for name in (SERIES_NAME, DUPLICATES_NAME)]
    removed = []
    for file in found:
        with suppress(OSError):
            file.unlink()
            removed.append(file)
    return removed


def remove_sweep(folder: Path, manifest: Path) -> Path | None:
    """Remove a sweep of slices other than this manifest's, and return the path of its table.

    A sweep covers all thresholds, so it depends only on the slices and their order, not on the selection.
    """
    file = folder / SWEEP_NAME
    try:
        swept = json.loads(_core.parquet_metadata(str(file)) or "{}")["slices_digest"]
    except (KeyError, TypeError, ValueError):
        return None
    reader = _core.ManifestReader(str(manifest))
    if swept == slices_digest(reader.batches(_SWEPT), json.loads(reader.about)["config"]["intensity"]):
        return None
    for name in (SWEEP_NAME, SWEEP_PNG_NAME, SWEEP_SVG_NAME, SWEEP_DIVERSITY_NAME, SWEEP_CONFIG_NAME):
        with suppress(OSError):
            (folder / name).unlink()
    return file


def slices_digest(batches: Iterable[_core.Rows], intensity: str) -> str:
    """SHA-256, in hexadecimal, of a manifest's slices: files, order, volumes and fingerprints, however batched."""
    import hashlib

    columns = {name: hashlib.sha256() for name in _SWEPT[:-1]}
    for batch in batches:
        slices = with_status(batch, "kept", "dropped")
        for name, digest in columns.items():
            values = slices[name]
            if isinstance(values, list):
                digest.update("".join(f"{value!r}\n" for value in values).encode())
            else:
                digest.update(np.ascontiguousarray(values).tobytes())
    parts = [intensity.encode(), *(digest.digest() for digest in columns.values())]
    return hashlib.sha256(b"".join(parts)).hexdigest()
