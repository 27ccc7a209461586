"""The slices of a reduction that are exported, read a few rows at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.errors import ConfigError
from ctprune.exporting.config import ExportConfig
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.manifest.slices import STAMP, Booleans, has_status, with_status

#: Rows that are read together; two manifests of the same slices have the same rows in each batch.
_ROWS = 1 << 16

#: Column that says whether text in the pixels may identify the patient.
_BURNED_IN = "burned_in_annotation"

_SURVEYED = ["source", "path", "frame", "volume", "status", "file_size", "rows", "columns", _BURNED_IN]

_COLUMNS = [
    *("source", "path", "frame", "volume", "slice_index", "reader", "status", "study_instance_uid"),
    *("position_mm", "rows", "columns", "pixel_spacing_mm", "slice_thickness_mm"),
    *("modality", "manufacturer", "convolution_kernel"),
    *STAMP,
]

#: Columns of a slice's place in the patient.
_PLACE = ["image_position_patient", "image_orientation_patient"]


class Table(NamedTuple):
    """A manifest's configuration, and some of its columns from the first row to the last, as often as needed."""

    config: dict[str, Any]
    batches: Callable[[list[str]], Iterator[_core.Rows]]


def table_of(manifest: Manifest | str | os.PathLike[str]) -> Table:
    """The table of a manifest: in memory, or from its folder or file.

    Raises:
        ManifestError: There is none, or it cannot be used.
    """
    if isinstance(manifest, Manifest):
        return Table(manifest.config, lambda names: _in_memory(manifest.rows.select(names)))
    reader = _core.ManifestReader(str(manifest_path(manifest)))
    return Table(json.loads(reader.about)["config"], lambda names: reader.batches(names, _ROWS))


def _in_memory(rows: _core.Rows) -> Iterator[_core.Rows]:
    return (rows.slice(start, start + _ROWS) for start in range(0, len(rows), _ROWS))


class Chosen:
    """The slices that are exported.

    Args:
        table: The manifest.
        config: What to export.

    Attributes:
        count: Number of slices.
        file_bytes: Size of their files.
        pixels: Number of their pixels.
        burned_in: Number of slices whose header says that text in the pixels may identify the patient.
        sources: Different values of the column `source` of the whole manifest.

    Raises:
        ConfigError: `like` is no reduction of the same slices.
    """

    def __init__(self, table: Table, config: ExportConfig) -> None:
        self._table = table
        self._statuses = ("kept",) if config.use == "kept" else ("kept", "dropped")
        self._random = None if config.like is None else _sample_like(table, config.like, config.seed)
        self._whole_volumes: npt.NDArray[np.int64] | None = None
        self._columns = [*_COLUMNS, *(_PLACE if config.mode.startswith("nifti") else [])]
        self._studies: dict[str, int] = {}
        if config.mode == "nifti":
            found = [np.unique(batch["volume"][mask]) for batch, mask in self._masked(["volume", "status"])]
            self._whole_volumes = np.unique(np.concatenate([np.empty(0, np.int64), *found]))
        self.count = self.file_bytes = self.pixels = self.burned_in = 0
        self.sources: set[str] = set()
        self._in_files_of_several: set[tuple[str, str]] = set()
        for batch, mask in self._masked(_SURVEYED):
            self.count += int(mask.sum())
            self.file_bytes += int(batch["file_size"][mask].sum())
            self.pixels += int((batch["rows"].astype(np.int64) * batch["columns"])[mask].sum())
            said, of = batch.labels(_BURNED_IN)
            self.burned_in += sum(
                int((mask & (of == number)).sum()) for number, one in enumerate(said) if one == "YES"
            )
            self.sources.update(batch.labels("source")[0])
            later = batch.filter(batch["frame"] > 0)
            self._in_files_of_several.update(zip(later["source"], later["path"], strict=True))

    def batches(self, size: int) -> Iterator[list[dict[str, Any]]]:
        """The slices in order, at most `size` at a time.

        Each has its columns, its `row` in the manifest, the number of its `study` (None if the file names none),
        and `is_one_of_several`: whether its file holds several slices. The Study Instance UID itself is left out.
        """
        offset = 0
        for batch, mask in self._masked(self._columns):
            rows = batch.filter(mask)
            numbers = (np.flatnonzero(mask) + offset).tolist()
            offset += len(batch)
            for start in range(0, len(rows), size):
                found = rows.slice(start, start + size).to_dicts()
                for row, number in zip(found, numbers[start : start + size], strict=True):
                    row["row"] = number
                    row["study"] = self._study(row.pop("study_instance_uid"))
                    row["is_one_of_several"] = (row["source"], row["path"]) in self._in_files_of_several
                yield found

    def _masked(self, names: list[str]) -> Iterator[tuple[_core.Rows, Booleans]]:
        """The manifest's batches, and which of their rows are exported."""
        offset = 0
        for batch in self._table.batches(names):
            if self._whole_volumes is not None:
                mask = has_status(batch, "kept", "dropped") & np.isin(batch["volume"], self._whole_volumes)
            elif self._random is not None:
                # Rows of unused files follow those of the slices.
                mask = np.zeros(len(batch), np.bool_)
                part = self._random[offset : offset + len(batch)]
                mask[: len(part)] = part
            else:
                mask = has_status(batch, *self._statuses)
            offset += len(batch)
            yield batch, mask

    def _study(self, uid: str | None) -> int | None:
        return self._studies.setdefault(uid, len(self._studies)) if uid else None


def _sample_like(table: Table, like: str, seed: int) -> Booleans:
    """Random slices, from each volume as many as another reduction kept; whether each row is chosen, (n,)."""
    names = ["path", "frame", "volume", "status"]
    volumes, kept = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for mine, other in zip_longest(table.batches(names), table_of(like).batches(names)):
        if mine is None or other is None:
            # Only rows of unused files may be left over in one of them.
            rest = with_status(mine if other is None else other, "kept", "dropped")
            same = not len(rest)
        else:
            mine, other = (with_status(rows, "kept", "dropped") for rows in (mine, other))
            same = mine.select(names[:-1]) == other.select(names[:-1])
        if not same:
            raise ConfigError(
                f"like {like}: its slices are not those of this reduction: name a reduction of the same files "
                "in the same order",
                field="like",
            )
        if mine is not None and other is not None:
            volumes.append(mine["volume"].astype(np.int64))
            kept.append(other["volume"][has_status(other, "kept")].astype(np.int64))
    volume = np.concatenate(volumes)
    wanted = np.bincount(np.concatenate(kept), minlength=int(volume.max(initial=-1)) + 1)
    # Raw numbers of a bit generator, unlike numpy's distributions, never change from version to version.
    order = np.lexsort((np.random.PCG64(seed).random_raw(len(volume)), volume))
    of = volume[order]
    place = np.arange(len(of)) - np.searchsorted(of, of)
    picked = np.zeros(len(volume), np.bool_)
    picked[order[place < wanted[of]]] = True
    return picked
