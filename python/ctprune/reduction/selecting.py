"""The stage that selects by fingerprints or pixels.

By pixels it selects in some volumes at a time, so that what was compared is kept when a run is killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ctprune import _core
from ctprune.environment.lazy import numpy as np
from ctprune.environment.progress import Count
from ctprune.files.pace import LONGEST, Pace
from ctprune.manifest.parts import Parts
from ctprune.reading.decoding import ForeignDecoder
from ctprune.reduction.config import ReduceConfig

#: Slices that are compared before the time is looked at, at first.
_SLICES = 2048


def select(
    archive: _core.Archive,
    config: ReduceConfig,
    volumes: list[int] | None,
    decode: ForeignDecoder,
    progress: Count,
) -> None:
    """Select in these volumes, or in all.

    Args:
        archive: The archive, grouped.
        config: The method and its options.
        volumes: Numbers of the volumes; None for all.
        decode: Reads slices that only another reader can.
        progress: Called with the number of slices decided on.
    """
    from ctprune.sources.ahead import FetchAhead

    with FetchAhead() as fetch:
        archive.select(
            method=config.method,
            threshold=config.threshold,
            keep=config.keep,
            budget=config.budget,
            n=config.n,
            seed=config.seed,
            window=config.window,
            max_gap_mm=config.max_gap_mm,
            whole_archive=config.scope == "dataset",
            stable=config.stable,
            volumes=volumes,
            decode=decode,
            fetch=fetch,
            progress=progress,
        )


def select_in_parts(
    archive: _core.Archive,
    parts: Parts,
    select: Callable[[list[int], Count], None],
    progress: Count,
    *,
    only: list[int] | None = None,
    save_all: bool = False,
) -> None:
    """Select in the volumes that no run has selected in yet, and save what was selected now and then.

    Args:
        archive: The archive, grouped.
        parts: Where selections are saved.
        select: Selects in these volumes and counts the slices.
        progress: Called with the number of slices done.
        only: Numbers of the volumes to select in; by default all.
        save_all: Whether what was selected last is saved as well; else the manifest is written next.
    """
    for reader in parts.selections():
        archive.adopt(reader)
    still = archive.finish_adoption()
    if only is not None:
        chosen = set(only)
        still = [volume for volume in still if volume in chosen]
    starts = np.asarray(archive.volume_starts())
    slices = np.diff(starts)
    total = int(slices.sum() if only is None else slices[only].sum())
    done = total - int(slices[still].sum())
    pace, unsaved, size = Pace(), list[int](), _SLICES
    try:
        while still:
            here = max(1, int(np.searchsorted(np.cumsum(slices[still]), size, side="right")))
            volumes, still = still[:here], still[here:]
            began = time.monotonic()

            def count(more: int, before: int = done) -> None:
                progress(before + more)

            left_out = _left_out(archive)
            select(volumes, count)
            done += int(slices[volumes].sum())
            if _left_out(archive) == left_out:
                unsaved += volumes
            if time.monotonic() - began < LONGEST / 4:
                size *= 2
            if pace.is_due():
                parts.save_selection(unsaved)
                pace.saved()
                unsaved = []
    except BaseException:
        save_all = True
        raise
    finally:
        if unsaved and save_all:
            parts.save_selection(unsaved)


def _left_out(archive: _core.Archive) -> int:
    """Slices that could not be compared so far. Their volumes are not kept: they may be readable the next time."""
    found = archive.comparisons() or {"not_compared_so_kept": {}}
    return sum(found["not_compared_so_kept"].values())
