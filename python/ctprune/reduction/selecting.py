"""The stage `selecting`, by fingerprints or pixels.

By pixels, it selects in some volumes at a time, so that a killed run loses few comparisons.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprune import _core
from ctprune.environment.extras import extra
from ctprune.environment.lazy import numpy as np
from ctprune.environment.progress import Count
from ctprune.files.pace import LONGEST, Pace
from ctprune.manifest.parts import Parts
from ctprune.reading.decoding import ForeignDecoder
from ctprune.reduction.config import ReduceConfig

if TYPE_CHECKING:
    from ctprune.reduction.deep_selection import DeepSelection
    from ctprune.reduction.retrieving import Target
    from ctprune.sources.ahead import FetchAhead

#: Slices in the first group of volumes; later groups depend on the time taken.
_SLICES = 2048


class Selecting:
    """Groups and selects the slices of an archive.

    Args:
        archive: The archive; its files are read.
        config: The method, its options, and the gates.
        parts: Saves selections; None if nothing is saved.
        out: Folder of the run; None if there is none.
        runs: Finished runs to merge.
        threads: Threads for methods in Python.
        counter: Begins a stage that counts slices.
    """

    def __init__(
        self,
        archive: _core.Archive,
        config: ReduceConfig,
        *,
        parts: Parts | None,
        out: Path | None,
        runs: Sequence[Path],
        threads: int,
        counter: Callable[[str], Count],
    ) -> None:
        self._archive = archive
        self._config = config
        self._parts = parts
        self._out = out
        self._runs = runs
        self._threads = threads
        self._counter = counter
        self._deep: DeepSelection | None = None
        self._target: Target | None = None
        self._retrieved: dict[str, Any] | None = None
        self._decoder = ForeignDecoder(
            modality=config.modality,
            max_slice_mb=config.max_slice_mb,
            wanted=lambda: map(str, archive.foreign()),
        )

    def load(self) -> DeepSelection | None:
        """Load the network, which is returned, or the target that the method compares with.

        Raises:
            WeightsError: The weights are missing or cannot be used.
            MissingExtraError: The extra `train` is not installed.
            ConfigError: The target does not fit.
        """
        config = self._config
        if config.compares == "embeddings":
            with extra("train", f"the method {config.method}"):
                from ctprune.reduction.deep_selection import DeepSelection
            self._deep = DeepSelection(config, download=config.download, threads=self._threads)
        elif config.target is not None:
            from ctprune.reduction.retrieving import Target

            self._target = Target(config.target, config.to_dict())
        return self._deep

    def group(self) -> None:
        """Group all slices into volumes, in order, without those that gates leave out."""
        config = self._config
        self._archive.group(config.order, config.volume_pattern)
        if not config.has_gates:
            return
        # Imported only if there are gates, since it loads numpy.
        from ctprune.reduction.gates import gates

        for refused in gates(config):
            found = refused(self._archive)
            if found:
                for (code, reason), slices in found.items():
                    self._archive.gate(slices, code, reason)
                self._archive.group(config.order, config.volume_pattern)

    def select(self) -> None:
        """Select among all grouped slices."""
        config = self._config
        if self._deep is not None:
            if self._out is not None:
                from ctprune.embedding.saved import take_embeddings

                take_embeddings(self._runs, self._out)
            self._deep.select(self._archive, self._out, self._counter("embedding"))
            self._retrieved = self._deep.retrieved
        elif self._target is not None:
            self._retrieved = self._target.select_by_fingerprints(self._archive, self._threads)
        elif config.compares != "pixels":
            self.select_in(None, _no_count)
        elif self._parts is None or config.keep is not None or config.budget is not None:
            self.select_in(None, self._counter("comparing"))
        else:
            select_in_parts(self._archive, self._parts, self.select_in, self._counter("comparing"))

    def select_in(self, volumes: list[int] | None, progress: Count) -> None:
        """Select by fingerprints or pixels in the volumes with these numbers, or in all."""
        config = self._config
        with _fetching_pixels() if config.compares == "pixels" else nullcontext() as fetch:
            self._archive.select(
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
                decode=self._decoder,
                fetch=fetch,
                progress=progress,
            )

    def threshold(self) -> float | None:
        """The threshold that the selection used, in the method's own unit; None for a method without one."""
        if self._deep is not None:
            return self._deep.threshold
        measure, found = self._config.on_features.measure, self._archive.threshold()
        return None if measure is None or found is None else measure.plain(found)

    def facts(self) -> dict[str, Any]:
        """What the summary says about embeddings and about the target."""
        found = {
            "embeddings": None if self._deep is None else self._deep.summary(),
            "retrieval": self._retrieved,
        }
        return {name: value for name, value in found.items() if value is not None}


def select_in_parts(
    archive: _core.Archive,
    parts: Parts,
    select: Callable[[list[int], Count], None],
    progress: Count,
    *,
    only: list[int] | None = None,
    save_all: bool = False,
) -> None:
    """Select in the volumes in which no run has selected yet, and save selections now and then.

    Args:
        archive: The archive, grouped.
        parts: Where selections are saved.
        select: Selects in these volumes and counts the slices.
        progress: Called with the number of slices done.
        only: Numbers of the volumes to select in; by default all.
        save_all: Whether to save the last selections, too; if not, the manifest is written next.
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
    """Number of slices that could not be compared; their volumes are not saved, so the next run tries again."""
    found = archive.comparisons() or {"not_compared_so_kept": {}}
    return sum(found["not_compared_so_kept"].values())


def _fetching_pixels() -> FetchAhead:
    # Loaded only for methods that read pixels.
    from ctprune.sources.ahead import FetchAhead

    return FetchAhead()


def _no_count(done: int) -> None:
    """Ignore counts: the stage is short."""
