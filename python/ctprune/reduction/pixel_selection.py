"""The methods `ssim` and `mi`: volumes are read, selected from by their pixels, and let go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from ctprune import _core
from ctprune.manifest.manifest import batches as manifest_batches
from ctprune.reading.squares import WHERE, path_of
from ctprune.reduction.config import ReduceConfig

#: The manifest's columns that are needed here.
COLUMNS = (*WHERE, "volume", "rows", "columns")

#: Steps of the grid of thresholds that `--keep` chooses from.
_STEPS = 200

#: Pixels of volumes that are read together: what is in flight is that much, or one volume.
_PIXELS_TOGETHER = 1 << 26

_ROWS_PER_BATCH = 1 << 14

Lines = list[dict[str, Any]]


def threshold_grid(method: str) -> list[float]:
    """What `--keep` chooses from, ascending in steps of 0.005: 0 to 1 with `ssim`, 1 to 2 with `mi`.

    >>> grid = threshold_grid("mi")
    >>> grid[0], grid[1], grid[-1], len(grid)
    (1.0, 1.005, 2.0, 201)
    """
    first = {"ssim": 0, "mi": _STEPS}[method]
    return [(first + step) / _STEPS for step in range(_STEPS + 1)]


@dataclass
class PixelsSwept:
    """Selections by pixels at ascending thresholds.

    Attributes:
        sweep: Asked for `kept_counts()`, `kept(place)` and `exemplars(place)`, where `place` is a threshold's.
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
    progress: Callable[[int], None] = lambda done: None,
) -> PixelsSwept:
    """Apply the greedy exemplar rule at many thresholds, within volumes, in one pass over the pixels. Exact.

    Args:
        lines: All slices in order, some at a time: rows of the manifest with the columns `COLUMNS`.
        config: The manifest's configuration: how pixels become grey.
        method: `ssim` or `mi`.
        window: With `ssim`, `uniform` (the default) or `gaussian`.
        thresholds: Ascending; None takes `threshold_grid(method)`.
        threads: Number of threads, 0 for one per core; the result does not depend on it.
        progress: Called with the number of slices decided on.

    Raises:
        KeyboardInterrupt: The user stopped it.
    """
    chosen = threshold_grid(method) if thresholds is None else list(thresholds)
    sweep = _core.PixelSweep(
        method=method,
        window=window or "uniform",
        thresholds=chosen,
        intensity=config["intensity"],
        modality=config["modality"],
        max_slice_mb=config["max_slice_mb"],
        threads=threads,
    )
    left_out: Counter[str] = Counter()
    done = 0
    for volumes in _together(_volumes(lines)):
        slices = [[(path_of(line), line["frame"]) for line in volume] for volume in volumes]
        decoded = _decoded([line for volume in volumes for line in volume], config)
        reasons = sweep.add(slices, decoded, partial(_forward, progress, done))
        left_out.update(reason for reason in reasons if reason)
        done += len(reasons)
        progress(done)
    return PixelsSwept(sweep, chosen, left_out)


class PixelSelection:
    """One selection by pixels.

    Attributes:
        threshold: The threshold that was used; None until it was selected.
    """

    def __init__(self, config: ReduceConfig, *, threads: int) -> None:
        self.threshold: float | None = None
        self._config = config
        self._threads = threads
        self._swept: PixelsSwept | None = None

    def select(self, archive: _core.Archive, progress: Callable[[int], None]) -> None:
        """Choose among the grouped slices of `archive`."""
        config = self._config
        slices = archive.volume_starts()[-1] if archive.volumes() else 0

        def lines() -> Iterator[Lines]:
            for rows in manifest_batches(archive, slices, config.hash_size, size=_ROWS_PER_BATCH):
                yield rows.select(list(COLUMNS)).to_pylist()

        self._swept = sweep_pixels(
            lines(),
            config.to_dict(),
            method=config.method,
            window=config.window,
            thresholds=None if config.threshold is None else [config.threshold],
            threads=self._threads,
            progress=progress,
        )
        place = self._place(slices)
        self.threshold = self._swept.thresholds[place]
        archive.adopt(*self._swept.sweep.exemplars(place))

    def _place(self, slices: int) -> int:
        """The threshold that comes nearest to the fraction to keep, ties to the stricter one."""
        if self._swept is None or self._config.keep is None:
            return 0
        wanted = self._config.keep * slices
        counts = self._swept.sweep.kept_counts()
        return min(range(len(counts)), key=lambda place: (abs(counts[place] - wanted), -place))

    def summary(self) -> dict[str, Any]:
        """What is known of the comparisons, for the run's summary."""
        if self._swept is None:
            return {}
        pairs, avoided = self._swept.sweep.pairs()
        return {
            "pairs": pairs,
            "pairs_bounded": avoided,
            "not_compared_so_kept": dict(self._swept.left_out),
        }


def _forward(progress: Callable[[int], None], before: int, decided: int) -> None:
    progress(before + decided)


def _volumes(lines: Iterable[Lines]) -> Iterator[Lines]:
    """The slices of one volume after the other."""
    volume: Lines = []
    for line in (line for some in lines for line in some):
        if volume and line["volume"] != volume[0]["volume"]:
            yield volume
            volume = []
        volume.append(line)
    if volume:
        yield volume


def _together(volumes: Iterator[Lines]) -> Iterator[list[Lines]]:
    """Volumes that are read together: many small ones, or one large one."""
    some: list[Lines] = []
    pixels = 0
    for volume in volumes:
        size = sum(line["rows"] * line["columns"] for line in volume)
        if some and pixels + size > _PIXELS_TOGETHER:
            yield some
            some, pixels = [], 0
        some.append(volume)
        pixels += size
    if some:
        yield some


def _decoded(lines: Lines, config: dict[str, Any]) -> dict[int, tuple[Any, float, float]]:
    """Pixels of the slices that pydicom read, by place."""
    foreign = [place for place, line in enumerate(lines) if line["reader"] == "pydicom"]
    if not foreign:
        return {}
    from ctprune.reading.pydicom_reader import PydicomRefusal, read_slices

    found = {}
    for path, places in _by_path(lines, foreign).items():
        frames = [lines[place]["frame"] for place in places]
        # A slice that is missing gets its reason where the pixels are looked for.
        with suppress(PydicomRefusal):
            slices = read_slices(
                path, modality=config["modality"], max_slice_mb=config["max_slice_mb"], frames=frames
            )
            for (_, pixels, slope, intercept), place in zip(slices, places, strict=False):
                found[place] = (pixels, slope, intercept)
    return found


def _by_path(lines: Lines, places: list[int]) -> dict[str, list[int]]:
    """Places of slices by their file, in the order of their frames."""
    by_path: dict[str, list[int]] = {}
    for place in sorted(places, key=lambda place: lines[place]["frame"]):
        by_path.setdefault(path_of(lines[place]), []).append(place)
    return by_path
