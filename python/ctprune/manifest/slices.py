"""The slices of a reduction, from which report, sweep, store and export are made."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from ctprune.environment.lazy import numpy as np
from ctprune.errors import SourceError
from ctprune.files.members import container_of
from ctprune.manifest.pseudonyms import original
from ctprune.sources.addresses import is_address

if TYPE_CHECKING:
    import numpy.typing as npt

    from ctprune import _core
    from ctprune.sources.found import Stamp

# As texts, so that numpy need not be loaded.
Floats: TypeAlias = "npt.NDArray[np.float64]"
Integers: TypeAlias = "npt.NDArray[np.int64]"
Booleans: TypeAlias = "npt.NDArray[np.bool_]"

#: The columns that locate a slice.
WHERE = ("source", "path", "frame", "reader")

#: The columns that show whether a file has changed.
STAMP = ("file_size", "file_version")

#: Why a slice can no longer be used.
GONE = "the file is gone"
CHANGED = "the file has changed since the reduction read it"

_ROWS_TOGETHER = 1 << 14


def stands_for(exemplar: Integers) -> Integers:
    """How many slices name each slice as their exemplar, shape (n,); kept slices name themselves.

    Args:
        exemplar: Row of each slice's exemplar, shape (n,); negative if it has none.
    """
    return np.bincount(exemplar[exemplar >= 0], minlength=len(exemplar)).astype(np.int64)


class Slices:
    """Slices of a manifest, kept and dropped, in order; the index of a slice is its row in the manifest.

    Args:
        rows: The manifest's rows of the n slices.
        config: The reduction's configuration.
    """

    def __init__(self, rows: _core.Rows, config: dict[str, Any]) -> None:
        self.rows = rows
        self.config = config

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.rows)

    @cached_property
    def kept(self) -> Booleans:
        """Whether each slice is kept, shape (n,)."""
        return has_status(self.rows, "kept")

    @cached_property
    def volume(self) -> Integers:
        """Number of each slice's volume, shape (n,); the slices of a volume are consecutive."""
        return self._integers("volume")

    @cached_property
    def slice_index(self) -> Integers:
        """Index of each slice within its volume, shape (n,)."""
        return self._integers("slice_index")

    @cached_property
    def position_mm(self) -> Floats:
        """Position of each slice along its volume's normal, in mm, shape (n,); NaN if the files give none."""
        return np.asarray(self.rows["position_mm"], np.float64)

    @cached_property
    def exemplar(self) -> Integers:
        """Row of the kept slice that covers each slice, shape (n,); -1 if none does."""
        return self._integers("exemplar")

    @cached_property
    def stands_for(self) -> Integers:
        """How many slices each kept slice stands for, including itself, shape (n,); 0 for dropped slices.

        Use them as sampling weights: kept slices are then drawn in proportion to the slices that they stand for.
        If the method gives dropped slices no exemplar, each kept slice has 1.
        """
        return stands_for(self.exemplar)

    @cached_property
    def similarity(self) -> Floats:
        """Similarity or distance of each slice to its exemplar, shape (n,); NaN if it was not measured."""
        return np.asarray(self.rows["similarity"], np.float64)

    @cached_property
    def min_hu(self) -> npt.NDArray[np.float32]:
        """Smallest value of each slice in HU, shape (n,)."""
        return np.asarray(self.rows["min_hu"], np.float32)

    @cached_property
    def max_hu(self) -> npt.NDArray[np.float32]:
        """Largest value of each slice in HU, shape (n,)."""
        return np.asarray(self.rows["max_hu"], np.float32)

    @cached_property
    def fingerprints(self) -> npt.NDArray[np.uint8]:
        """Fingerprints, uint8 of shape (n, bytes)."""
        return np.asarray(self.rows["fingerprint"], np.uint8)

    @cached_property
    def starts(self) -> Integers:
        """First slice of each of the v volumes, and n; shape (v + 1,)."""
        firsts = np.flatnonzero(np.diff(self.volume, prepend=-1))
        return np.append(firsts, len(self)).astype(np.int64)

    @property
    def volumes(self) -> int:
        """Number of volumes."""
        return len(self.starts) - 1

    def labels(self, column: str) -> tuple[list[str], Integers]:
        """The distinct values of a text column, and each slice's index among them; null becomes empty."""
        return self.rows.labels(column)

    def dicts(self, columns: Sequence[str], size: int) -> Iterator[list[dict[str, Any]]]:
        """These columns of all slices, one dict per slice, at most `size` slices at a time."""
        return batches_of_dicts(self.rows.select(list(columns)), size)

    def take(self, indices: Integers, columns: Sequence[str]) -> list[dict[str, Any]]:
        """These columns of the slices with these indices, one dict per slice."""
        return self.rows.select(list(columns)).take(np.asarray(indices, np.int64)).to_dicts()

    def check_files(self) -> None:
        """Check that every slice's file is unchanged since the run read it.

        Raises:
            SourceError: A file is gone or has changed.
            NetworkError: A server no longer answers.
        """
        for dicts in self.dicts(["source", "path", *STAMP], _ROWS_TOGETHER):
            # Slices of a file are consecutive.
            rows = [next(of_file) for _, of_file in itertools.groupby(dicts, path_of)]
            for row, reason in zip(rows, why_unusable(rows), strict=True):
                if reason:
                    raise SourceError(f"{path_of(row)}: {reason}: run 'ctprune reduce' again")

    def _integers(self, name: str) -> Integers:
        return np.asarray(self.rows[name], np.int64)


def has_status(rows: _core.Rows, *statuses: str) -> Booleans:
    """Whether each row has one of these statuses, shape (n,)."""
    names, of = rows.labels("status")
    return np.array([name in statuses for name in names], np.bool_)[of]


def with_status(rows: _core.Rows, *statuses: str) -> _core.Rows:
    """The rows with one of these statuses."""
    return rows.filter(has_status(rows, *statuses))


def batches_of_dicts(rows: _core.Rows, size: int) -> Iterator[list[dict[str, Any]]]:
    """Rows as dicts, at most `size` at a time."""
    return (rows.slice(start, start + size).to_dicts() for start in range(0, len(rows), size))


def path_of(row: dict[str, Any]) -> str:
    """The path or address that opens a row's file, from `source` and `path`; never show it, see `pseudonyms`."""
    return os.path.join(*original(str(row["source"]), str(row["path"])))


def why_unusable(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How each row's file differs from the one that was read; empty if unchanged. Needs `source`, `path`, `STAMP`.

    Servers get many requests at a time.

    Raises:
        NetworkError: A server no longer answers.
    """
    paths = [path_of(row) for row in rows]
    addresses = [path for path in paths if is_address(path)]
    elsewhere: dict[str, Stamp | str | None] = {}
    if addresses:
        from ctprune.sources.look import look

        elsewhere = look(addresses)
    return [
        _of_object(row, elsewhere[path]) if is_address(path) else _of_file(row, path)
        for row, path in zip(rows, paths, strict=True)
    ]


def _of_object(row: dict[str, Any], stamp: Stamp | str | None) -> str:
    if stamp is None:
        return GONE
    if isinstance(stamp, str):
        return f"the file cannot be examined: {stamp}"
    # The sizes of members of containers and of DICOMweb instances are unknown.
    is_same = stamp.version == row["file_version"] and stamp.size in (0, row["file_size"])
    return "" if is_same else CHANGED


def _of_file(row: dict[str, Any], address: str) -> str:
    """A member of a container counts as unchanged if the container has not changed."""
    container = container_of(address)
    try:
        found = os.stat(address if container is None else container)
    except FileNotFoundError:
        return GONE
    except OSError as error:
        return f"the file cannot be examined: {error.strerror}"
    is_same = found.st_mtime_ns == row["file_version"]
    if container is None:
        is_same &= found.st_size == row["file_size"]
    return "" if is_same else CHANGED
