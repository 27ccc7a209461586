"""Sweep of the methods that compare pixels: every threshold from one pass over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ctprune import _core
from ctprune.environment.progress import Count, Operation
from ctprune.errors import ConfigError
from ctprune.manifest.slices import WHERE, path_of
from ctprune.reading.decoding import ForeignDecoder
from ctprune.selection.methods import METHODS
from ctprune.sources.ahead import FetchAhead
from ctprune.sweeping.method import KeptSets, SweptMethod
from ctprune.sweeping.slices import SweptSlices

#: The manifest's columns that are needed here.
COLUMNS = (*WHERE, "volume", "rows", "columns")

_BATCH = 1 << 14

Lines = list[dict[str, Any]]


class PixelSweep(SweptMethod):
    """Similarities of the gray slices; with SSIM by the run's own window if it has one."""

    def keep(self, slices: SweptSlices, thresholds: Sequence[float], operation: Operation) -> KeptSets:
        """One pass over the volumes."""
        if slices.scope != "volume":
            raise ConfigError(
                f"scope dataset: {self.name} would need the pixels of the whole archive in memory; "
                "sweep it with `scope` volume",
                field="scope",
            )
        slices.check_files()
        about = {}
        if "window" in self.method.options:
            about["window"] = slices.manifest.config.get("window") or self.method.options["window"]
        swept = sweep_pixels(
            slices.dicts(COLUMNS, _BATCH),
            slices.manifest.config,
            method=self.name,
            window=about.get("window"),
            thresholds=sorted(thresholds),
            threads=self.config.threads,
            progress=operation.counter(self.name, len(slices), "slices"),
        )
        indices = range(len(thresholds) - 1, -1, -1)
        rows = [np.packbits(swept.sweep.kept(index)) for index in indices]
        return KeptSets(np.stack(rows), len(slices), swept.left_out, about)


@dataclass
class PixelsSwept:
    """Selections by pixels at ascending thresholds.

    Attributes:
        sweep: Asked for `kept_counts()`, `kept(index)` and `exemplars(index)`, with the index of a threshold.
        thresholds: Those thresholds.
        left_out: Slices that could not be compared and are kept everywhere, counted by reason.
    """

    sweep: _core.PixelSweep
    thresholds: list[float]
    left_out: Counter[str]


def sweep_pixels(
    lines: Iterable[Lines],
    config: dict[str, Any],
    *,
    method: str,
    window: str | None = None,
    thresholds: Sequence[float] | None = None,
    threads: int = 0,
    progress: Count = lambda done: None,
) -> PixelsSwept:
    """Apply the greedy exemplar rule at many thresholds, within volumes, in one pass over the pixels. Exact.

    Args:
        lines: All slices in order, some at a time: rows of the manifest with the columns `COLUMNS`.
        config: The manifest's configuration: how pixels become gray.
        method: `ssim` or `mi`.
        window: With `ssim`, `uniform` (the default) or `gaussian`.
        thresholds: Ascending; None takes those that are tried for a fraction to keep.
        threads: Number of threads, 0 for one per core; the result does not depend on it.
        progress: Called with the number of slices decided on.

    Raises:
        KeyboardInterrupt: The user stopped it.
    """
    described = METHODS[method]
    grid = () if described.measure is None else described.measure.grid
    chosen = list(grid if thresholds is None else thresholds)
    sweep = _core.PixelSweep(
        method=method,
        window=window or described.options.get("window") or "",
        thresholds=chosen,
        intensity=config["intensity"],
        modality=config["modality"],
        max_slice_mb=config["max_slice_mb"],
        threads=threads,
    )
    limits = {"modality": config["modality"], "max_slice_mb": config["max_slice_mb"]}
    done = 0
    for volumes in _volumes(lines):
        where = [[_where(line) for line in volume] for volume in volumes]
        foreign = [path for volume in where for path, _, _, is_foreign in volume if is_foreign]
        decode = ForeignDecoder(wanted=partial(iter, foreign), **limits)
        with FetchAhead() as fetch:
            sweep.add(where, decode, partial(_forward, progress, done), fetch)
        done += sum(map(len, volumes))
        progress(done)
    return PixelsSwept(sweep, chosen, Counter(sweep.left_out()))


def _where(line: dict[str, Any]) -> tuple[str, int, int, bool]:
    return path_of(line), line["frame"], line["rows"] * line["columns"], line["reader"] == "pydicom"


def _forward(progress: Count, before: int, decided: int) -> None:
    progress(before + decided)


def _volumes(lines: Iterable[Lines]) -> Iterator[list[Lines]]:
    """Whole volumes, one after the other, as many together as came in one batch."""
    volumes: list[Lines] = []
    for some in lines:
        for line in some:
            if volumes and line["volume"] == volumes[-1][-1]["volume"]:
                volumes[-1].append(line)
            else:
                volumes.append([line])
        # The last one may go on in the next batch.
        if len(volumes) > 1:
            yield volumes[:-1]
            del volumes[:-1]
    if volumes:
        yield volumes
