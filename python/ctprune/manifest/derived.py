"""What other commands leave in a run's folder, and when it is no longer about the run.

`ctprune reduce` removes it then: a page or a curve that looks current and is not is worse than none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ctprune.files import parquet_file

REPORT_NAME = "report.html"
SWEEP_NAME, SWEEP_PNG_NAME, SWEEP_SVG_NAME = "sweep.parquet", "sweep.png", "sweep.svg"

#: Says that a page is a report of ctprune's; stands in its first bytes.
REPORT_MARK = '<meta name="generator" content="ctprune report">'

METADATA_KEY = b"ctprune"

_HEAD = 1 << 10

_SWEPT = ["path", "frame", "volume", "fingerprint", "file_size", "file_mtime_ns", "status"]


def remove_report(folder: Path) -> Path | None:
    """Remove the report of an earlier selection and return where it was; a page by somebody else stays.

    It tells of the run that made the manifest, down to its time: none is about another.
    """
    file = folder / REPORT_NAME
    try:
        with file.open("rb") as opened:
            is_report = REPORT_MARK.encode() in opened.read(_HEAD)
        if is_report:
            file.unlink()
    except OSError:
        return None
    return file if is_report else None


def remove_sweep(folder: Path, manifest: Path) -> Path | None:
    """Remove a sweep of other slices than those of this manifest, and return where its table was.

    A sweep holds all thresholds: it is about the slices and their order, whatever the run selected.
    """
    file = folder / SWEEP_NAME
    try:
        swept = _about(file)["slices_digest"]
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        return None
    intensity = _about(manifest)["config"]["intensity"]
    with parquet_file.opened(manifest) as parquet:
        if swept == slices_digest(parquet.iter_batches(columns=_SWEPT), intensity):
            return None
    for name in (SWEEP_NAME, SWEEP_PNG_NAME, SWEEP_SVG_NAME):
        with suppress(OSError):
            (folder / name).unlink()
    return file


def slices_digest(batches: Iterable[pa.RecordBatch], intensity: str) -> str:
    """SHA-256, in hexadecimal, of a manifest's slices: files, order, volumes and fingerprints, however batched."""
    columns = {name: hashlib.sha256() for name in _SWEPT[:-1]}
    for batch in batches:
        slices = batch.filter(pc.is_in(batch["status"], value_set=pa.array(["kept", "dropped"])))
        for name, digest in columns.items():
            values = slices[name]
            if pa.types.is_integer(values.type):
                digest.update(np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).tobytes())
            else:
                digest.update("".join(f"{_text(value)!r}\n" for value in values.to_pylist()).encode())
    parts = [intensity.encode(), *(digest.digest() for digest in columns.values())]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _about(file: Path) -> dict[str, Any]:
    return dict(json.loads((parquet_file.read_schema(file).metadata or {})[METADATA_KEY]))


def _text(value: bytes | str | None) -> str | None:
    return value.hex() if isinstance(value, bytes) else value
