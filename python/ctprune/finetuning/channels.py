"""Images with the channels of the backbone's pre-training: one gray slice, or a slice between its neighbors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.errors import TaskError
from ctprune.finetuning.fitting import read_fitted
from ctprune.options.neighbors import neighbors_mm
from ctprune.store.channels import CHANNELS, channel_rows

#: Slices whose channels are read together.
_TOGETHER = 1024


@dataclass(frozen=True)
class FoundSlice:
    """A readable frame of a file: its row as in a manifest, its study, series and volume.

    Attributes:
        line: Where the frame is and its shape.
        fingerprint: Its dHash.
        study: Counts as its patient: the study, or else the series; None if the file names neither.
        scan: A text that identifies its series, or else its volume.
        volume: Number of its volume, in the manifest's terms.
        position_mm: Position in the volume, in mm; None if not known.
    """

    line: dict[str, Any]
    fingerprint: bytes
    study: str | None
    scan: str
    volume: int
    position_mm: float | None


class ChannelReader:
    """Reads slices with their channels.

    Args:
        found: All slices that channels may show.
        channels: What the channels show, as the option `channels` of a pre-training says.
        chosen: Index in `found` of each slice that is to be read, int64 of shape (n,).
        source: What the slices come from, for the sentence.

    Attributes:
        repeated: How many of the chosen slices have a channel that repeats the slice itself; 0 for gray ones.

    Raises:
        TaskError: Channels show neighbors, but none of the chosen slices has a position in a volume.
    """

    def __init__(
        self, found: list[FoundSlice], channels: str, chosen: npt.NDArray[np.int64], source: object
    ) -> None:
        self._lines = [one.line for one in found]
        self._shown = chosen[:, None]
        self.repeated = 0
        distance = neighbors_mm(channels)
        if distance is None:
            return
        # None becomes NaN.
        positions = np.array([one.position_mm for one in found], np.float64)
        if not np.isfinite(positions[chosen]).any():
            raise no_volumes(channels, source)
        volumes = np.array([one.volume for one in found], np.int64)
        self._shown = channel_rows(volumes, positions, distance)[chosen]
        self.repeated = int(((self._shown == self._shown[:, 1:2]).sum(axis=1) > 1).sum())

    def shape(self, count: int, side: int) -> tuple[int, ...]:
        """Shape of an array for `count` images: (count, side, side) or (count, 3, side, side)."""
        return (count, side, side) if self._shown.shape[1] == 1 else (count, CHANNELS, side, side)

    def read(
        self,
        out: npt.NDArray[np.uint8],
        reading: dict[str, Any],
        *,
        fit: str,
        start: int = 0,
        threads: int = 0,
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[str]:
        """Read some of the chosen slices, in their order; see `read_fitted`.

        A neighbor that cannot be read is replaced by the slice itself.

        Args:
            out: Array to fill, uint8 of the shape that `shape` gives.
            reading: How slices are read: `intensity`, `modality`, `max_slice_mb`.
            fit: How a slice becomes a square.
            start: The first of the chosen slices that is read.
            threads: Number of threads, 0 for one per core.
            progress: Function called with the number of slices done.

        Returns:
            For each slice an empty text, or why it cannot be read.
        """
        shown = self._shown[start : start + len(out)]
        if shown.shape[1] == 1:
            lines = [self._lines[index] for index in shown[:, 0]]
            return read_fitted(lines, out, reading, fit=fit, threads=threads, progress=progress)
        reasons: list[str] = []
        for first, last in _blocks(len(shown)):
            needed, place = np.unique(shown[first:last], return_inverse=True)
            place = place.reshape(-1, CHANNELS)
            squares = np.empty((len(needed), *out.shape[2:]), np.uint8)
            failed = read_fitted([self._lines[i] for i in needed], squares, reading, fit=fit, threads=threads)
            readable = np.array([not reason for reason in failed], np.bool_)
            out[first:last] = squares[np.where(readable[place], place, place[:, 1:2])]
            reasons += [failed[index] for index in place[:, 1]]
            progress(last)
        return reasons


def no_volumes(channels: str, source: object) -> TaskError:
    """The error for images that lie in no volume."""
    return TaskError(
        f"{source}: the backbone was pre-trained with neighboring slices as channels (`channels` {channels}), but "
        "none of the images has a position in a volume: give DICOM series or volumes, or a backbone that was "
        "pre-trained with `channels` gray"
    )


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, _TOGETHER):
        yield start, min(start + _TOGETHER, count)
