"""The slices of a run that a sweep selects among, in the run's order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ctprune.errors import SourceError
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.reading.squares import path_of

#: Rows whose files are looked at together.
_BATCH = 1 << 14

_FILE = ["source", "path", "file_size", "file_mtime_ns"]


@dataclass(frozen=True)
class SweptSlices:
    """The slices of a run.

    Attributes:
        folder: The run's folder.
        manifest: The run's manifest.
        table: Its rows of slices, in order.
        scope: `volume` or `dataset`: what slices are compared with.
        volume_starts: First row of each volume, ascending from 0, and last the number of slices.
    """

    folder: Path
    manifest: Manifest
    table: pa.Table
    scope: str
    volume_starts: list[int]

    @classmethod
    def load(cls, run: str | os.PathLike[str], scope: str | None) -> SweptSlices:
        """Those of a run's folder or manifest; without `scope` the run's own.

        Raises:
            ManifestError: There is no manifest.
            SourceError: The run has no slice.
        """
        file = manifest_path(run)
        manifest = Manifest.load(file)
        is_slice = pc.is_in(manifest.table["status"], value_set=pa.array(["kept", "dropped"]))
        table = manifest.table.filter(is_slice)
        if not table.num_rows:
            raise SourceError(f"{run}: expected a run with slices, found none in its manifest")
        volumes = table["volume"].to_numpy()
        starts = np.flatnonzero(np.diff(volumes, prepend=-1))
        chosen = scope or manifest.config["scope"]
        return cls(file.parent, manifest, table, chosen, [*starts.tolist(), len(volumes)])

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def starts(self) -> list[int]:
        """First row of each group within which slices are compared, and last the number of slices."""
        return self.volume_starts if self.scope == "volume" else [0, len(self)]

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """int64 of shape (n,): the number of each slice's group."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    @property
    def fingerprints(self) -> npt.NDArray[np.uint8]:
        """uint8 of shape (n, bytes)."""
        column = self.table["fingerprint"].combine_chunks()
        array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        width = array.type.byte_width
        bytes_ = np.frombuffer(array.buffers()[1], np.uint8)
        return bytes_[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width)

    def lines(self, columns: list[str], size: int) -> Iterator[list[dict[str, Any]]]:
        """These columns of all slices, at most `size` slices at a time."""
        for batch in self.table.select(columns).to_batches(max_chunksize=size):
            yield batch.to_pylist()

    def check_files(self) -> None:
        """See that every slice's file is as it was when the run read it.

        Raises:
            SourceError: One has vanished or changed.
        """
        looked_at = None
        for lines in self.lines(_FILE, _BATCH):
            for line in lines:
                file = path_of(line)
                if file != looked_at:
                    _check_file(file, line)
                    looked_at = file


def _check_file(file: str, line: dict[str, Any]) -> None:
    advice = "run 'ctprune reduce' again, so that the manifest says what is there"
    try:
        found = os.stat(file)
    except OSError as error:
        raise SourceError(f"{file}: the run read it, but now: {error.strerror}; {advice}") from None
    if (found.st_size, found.st_mtime_ns) != (line["file_size"], line["file_mtime_ns"]):
        raise SourceError(f"{file}: has changed since the run read it; {advice}")
