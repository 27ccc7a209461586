"""Rows that a reduction has read so far, saved beside its manifest, so that a kill costs only the last seconds."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprune import _core
from ctprune.environment.log import Log
from ctprune.errors import ManifestError, NetworkError, OutputError
from ctprune.files.pace import Pace
from ctprune.manifest.manifest import FILE_NAME, write_manifest
from ctprune.manifest.shards import PARTS_NAME, Shard, remove_shard, shard_folders, shard_of

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

#: A part is due after this many slices, however fast they are read.
SLICES_PER_PART = 20_000

_ROWS_PER_BATCH = 1 << 16

_ROWS, _SELECTION = "part", "selection"

_log = Log("ctprune.reduction")


class Parts:
    """The parts of one run: files of rows in the order of reading, in the manifest's layout; later ones are newer.

    Rows of slices have the status `read`. A run with the same reading options can use a part if fingerprints are
    still made in the same way. Each part is sealed with the SHA-256 of its content; the files of a damaged part
    are read again.

    A run that compares pixels also saves parts of selected volumes: whole volumes, with exemplars.

    Args:
        out: The reduction's folder.
        archive: The reduction in progress.
        config: Its configuration.
        reading: The options that decide how files are read.
        shard: The share of the files that is read; its parts have their own folder.
        note: Called with a sentence when something that an earlier call read cannot be used.
        saved: Called when a part has been written.
    """

    def __init__(
        self,
        out: Path,
        archive: _core.Archive,
        config: dict[str, Any],
        reading: dict[str, Any],
        *,
        shard: Shard | None = None,
        note: Callable[[str], None] = lambda sentence: None,
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        self._out = out
        self._saved = saved
        self._shard = shard
        self._folder = out / PARTS_NAME if shard is None else shard.folder(out)
        self._archive = archive
        self._config = config
        self._reading = reading
        self._note = note
        self._unusable: list[Path] = []
        self._next_row = 0
        self._slices_saved = 0
        self._pace = Pace()
        self._writer: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self.digests: dict[str, str] = {}
        #: Manifests that may have selections of volumes, besides the parts.
        self.selected: list[Path] = []
        #: Metadata of the earlier manifest; None if there is none that can be used.
        self.earlier: dict[str, Any] | None = None

    def has_earlier(self) -> bool:
        """Whether there are rows to take over."""
        return (self._out / FILE_NAME).exists() or bool(self._earlier(all_shards=True))

    def take_over(self, *, all_shards: bool = True) -> None:
        """Give the archive the rows of earlier runs, the newest first.

        Args:
            all_shards: Whether to take the rows of other shards, too.

        Raises:
            ManifestError: The manifest is damaged, or of another version.
        """
        self._unusable.clear()
        for file in (*self._earlier(all_shards=all_shards), self._out / FILE_NAME):
            reader = self._fitting(file) if file.exists() else None
            if reader is not None:
                self._archive.begin_earlier()
                for rows in reader.batches():
                    self._archive.add_earlier(rows)
        self._next_row = self._archive.table_rows()

    def remove_unusable(self) -> None:
        """Remove parts that could not be taken over, so that none is mistaken for a part of this run."""
        for file in self._unusable:
            file.unlink(missing_ok=True)

    def save_now_and_then(self) -> None:
        """Save the rows since the last part, if it is some seconds or many slices ago, while reading continues.

        Raises:
            OutputError: The previous part could not be written.
        """
        many = self._archive.progress()["slices_read"] - self._slices_saved >= SLICES_PER_PART
        if (many or self._pace.is_due()) and (self._writing is None or self._writing.done()):
            self._finish_writing()
            self._begin_writing()

    def save(self) -> None:
        """Save all rows that have been read, before this returns.

        Raises:
            OutputError: It could not be written.
        """
        self._finish_writing()
        file, batches = self._next_part()
        if batches:
            self._write(file, batches)

    def selections(self) -> Iterator[_core.ManifestReader]:
        """Selections of volumes that this run or its shards made with the same configuration."""
        parts = [file for folder in self._folders(all_shards=True) for file in _files(folder, _SELECTION)]
        for file in (*self.selected, *parts):
            try:
                reader = _core.ManifestReader(str(file))
            except ManifestError:
                self._note(f"{file} is damaged: the slices of its volumes are compared again")
                continue
            about = json.loads(reader.about)
            if (about["config"], about.get("kernels_version")) == (self._config, _core.KERNELS_VERSION):
                yield reader

    def save_selection(self, volumes: list[int]) -> None:
        """Save the selections of these few volumes.

        Raises:
            OutputError: It could not be written.
        """
        _, rows = self._archive.volume_rows(volumes, 0, 0)
        write_manifest(self._new_file(_SELECTION), [rows], self._config)
        self._saved()

    def end_writing(self) -> None:
        """Wait for the part that is being written; with the manifest complete, its outcome does not matter."""
        with suppress(OutputError, NetworkError):
            self._finish_writing()

    def close(self) -> None:
        """End the writing."""
        if self._writer is not None:
            self._writer.shutdown()

    def remove(self, shards: list[Path]) -> None:
        """Remove the parts of this run and of these shards, whose rows the manifest has; other shards stay."""
        self.end_writing()
        for folder in shards:
            remove_shard(folder)
        with suppress(OSError):
            for entry in list(self._folder.iterdir()):
                if entry.is_dir() and shard_of(entry.name) is None:
                    shutil.rmtree(entry, ignore_errors=True)
                elif not entry.is_dir():
                    entry.unlink(missing_ok=True)
            self._folder.rmdir()

    def _begin_writing(self) -> None:
        file, batches = self._next_part()
        if not batches:
            return
        if self._writer is None:
            from concurrent.futures import ThreadPoolExecutor

            self._writer = ThreadPoolExecutor(1)
        try:
            self._writing = self._writer.submit(self._write, file, batches)
        except RuntimeError:
            # If memory is short, it may not suffice for a thread's stack.
            self._writer = None
            self._write(file, batches)

    def _next_part(self) -> tuple[Path, list[_core.Rows]]:
        # Taken now, since the table grows while the part is being written.
        batches = list(self._batches())
        self._pace.saved()
        self._slices_saved = self._archive.progress()["slices_read"]
        return self._new_file(_ROWS), batches

    def _write(self, file: Path, batches: list[_core.Rows]) -> None:
        write_manifest(file, batches, self._config)
        _log.info("part %s is written: %d rows", file.name, sum(map(len, batches)))
        self.digests[file.name] = _core.sealed_digest(str(file)) or ""
        self._saved()

    def _finish_writing(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _batches(self) -> Iterator[_core.Rows]:
        stop = self._archive.table_rows()
        while self._next_row < stop:
            end = min(self._next_row + _ROWS_PER_BATCH, stop)
            self._next_row, rows = self._archive.part(self._next_row, end)
            if len(rows):
                yield rows

    def _new_file(self, kind: str) -> Path:
        last = max((_number(file) for file in _files(self._folder, kind)), default=0)
        return self._folder / f"{kind}-{last + 1:06d}.parquet"

    def _folders(self, *, all_shards: bool) -> list[Path]:
        others = shard_folders(self._out).values() if all_shards else ()
        folders = [self._folder, self._out / PARTS_NAME, *others]
        return list(dict.fromkeys(folders))

    def _earlier(self, *, all_shards: bool) -> list[Path]:
        """All parts, in each folder the newest first."""
        folders = self._folders(all_shards=all_shards)
        return [file for folder in folders for file in reversed(_files(folder, _ROWS))]

    def _fitting(self, file: Path) -> _core.ManifestReader | None:
        """An opened part or manifest, if this run can use its rows."""
        is_manifest = file.name == FILE_NAME
        try:
            reader = _core.ManifestReader(str(file))
        except ManifestError:
            if is_manifest:
                raise
            self._note(f"{file} is damaged: its files are read again")
            self._unusable.append(file)
            return None
        about = json.loads(reader.about)
        difference = self._difference(about)
        if difference:
            self._note(f"{self._out} was read with {difference}: all files are read again")
            if not is_manifest:
                self._unusable.append(file)
            return None
        if is_manifest:
            self.earlier = about
        elif file.parent == self._folder:
            self.digests[file.name] = _core.sealed_digest(str(file)) or ""
        return reader

    def _difference(self, about: dict[str, Any]) -> str:
        """The difference that keeps this run from using earlier rows; empty if there is none."""
        if about.get("kernels_version") != _core.KERNELS_VERSION:
            return f"readers other than those of ctprune {_core.__version__}"
        for option, value in self._reading.items():
            found = about["config"].get(option)
            if found != value:
                return f"`{option}` {found}, not {value}"
        return ""


def part_files(out: Path) -> list[Path]:
    """All parts in a reduction's folder, of rows and of selections, including those of shards."""
    folders = [out / PARTS_NAME, *shard_folders(out).values()]
    return [file for folder in folders for kind in (_ROWS, _SELECTION) for file in _files(folder, kind)]


_NAME = re.compile(r"(part|selection)-(\d+)\.parquet")


def _files(folder: Path, kind: str) -> list[Path]:
    """Parts of a kind in a folder, in the order of their writing."""
    found = [file for file in folder.glob(f"{kind}-*.parquet") if _NAME.fullmatch(file.name)]
    return sorted(found, key=_number)


def _number(file: Path) -> int:
    match = _NAME.fullmatch(file.name)
    return int(match[2]) if match else 0
