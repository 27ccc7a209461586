"""Digests of the pixels of slices, to tell whether two have the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

from ctprune import _core
from ctprune.errors import ManifestError
from ctprune.manifest.slices import STAMP, WHERE, path_of, why_unusable
from ctprune.sources.ahead import FetchAhead

#: Columns of a manifest that this needs.
NEEDED = (*WHERE, *STAMP, "rows", "columns")

#: Pixels that are in memory at a time.
_PIXELS = 1 << 24

_MAX_SLICE_MB = 512


def pixel_digests(lines: Sequence[dict[str, Any]], threads: int = 0) -> list[bytes | None]:
    """A digest of matrix and Hounsfield units of each slice; None where it cannot be read again.

    Args:
        lines: Rows of a manifest with the columns `NEEDED`.
        threads: CPU threads; 0 uses all cores.
    """
    found: list[bytes | None] = [None] * len(lines)
    try:
        reasons = why_unusable(lines)
    except ManifestError:
        # Nobody said what is behind the pseudonyms.
        return found
    usable = [
        at
        for at, reason in enumerate(reasons)
        if not reason and lines[at]["reader"] != "pydicom" and lines[at]["rows"] and lines[at]["columns"]
    ]
    by_shape: dict[tuple[int, int], list[int]] = {}
    for at in usable:
        by_shape.setdefault((lines[at]["rows"], lines[at]["columns"]), []).append(at)
    with FetchAhead() as fetch:
        for (height, width), members in by_shape.items():
            together = max(1, _PIXELS // (height * width))
            for start in range(0, len(members), together):
                some = members[start : start + together]
                where = [(os.fspath(path_of(lines[at])), lines[at]["frame"]) for at in some]
                for at, digest in zip(some, _digests(where, height, width, threads, fetch), strict=True):
                    found[at] = digest
    return found


def _digests(
    where: list[tuple[str, int]], height: int, width: int, threads: int, fetch: Any
) -> list[bytes | None]:
    try:
        hu = _core.read_hu(where, height, width, "any", _MAX_SLICE_MB, threads, fetch)
    except ValueError:
        if len(where) == 1:
            return [None]
        # One that cannot be read takes no other with it.
        return [digest for one in where for digest in _digests([one], height, width, threads, fetch)]
    shape = f"{height} {width} ".encode()
    return [hashlib.blake2b(shape + one.tobytes(), digest_size=16).digest() for one in hu]
