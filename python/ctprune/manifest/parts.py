"""What a reduction has read so far, kept beside its manifest while it goes on: a kill costs the last seconds."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ctprune import _core
from ctprune.errors import ManifestError
from ctprune.files.pace import Pace
from ctprune.manifest.manifest import FILE_NAME, write_manifest

FOLDER_NAME = "parts"

_ROWS_PER_BATCH = 1 << 16


class Parts:
    """The parts of one run: files of rows in the order of reading, in the manifest's layout, later ones newer.

    Rows of slices have the status `read`. A part is used by a run of the same version with the same options of
    reading. Each is checked like a manifest; the files of a damaged one are read again.

    Args:
        out: The run's folder.
        archive: The reduction on its way.
        config: Its configuration.
        reading: The options that decide how files are read.
    """

    def __init__(self, out: Path, archive: _core.Archive, config: dict[str, Any], reading: dict[str, Any]) -> None:
        self._folder = out / FOLDER_NAME
        self._manifest = out / FILE_NAME
        self._archive = archive
        self._config = config
        self._reading = reading
        self._next_row = 0
        self._next_number = 1
        self._pace = Pace()
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def take_over(self) -> None:
        """Give the archive what earlier runs knew, the newest first.

        Raises:
            ManifestError: The manifest is damaged, or of another version.
        """
        for file in (*reversed(self._files()), self._manifest):
            reader = self._fitting(file) if file.exists() else None
            if reader is not None:
                self._archive.begin_earlier()
                for rows in reader.batches():
                    self._archive.add_earlier(rows)
        self._next_row = self._archive.table_rows()

    def sweep(self) -> None:
        """Remove parts that cannot be used, so that none is ever taken for one of this run."""
        for file in self._files():
            self._next_number = max(self._next_number, _number(file) + 1)
            if self._fitting(file) is None:
                file.unlink(missing_ok=True)

    def save_now_and_then(self) -> None:
        """Save what has been read since the last part if that was some seconds ago, while reading goes on.

        Raises:
            OutputError: The last part could not be written.
        """
        if self._pace.is_due() and (self._writing is None or self._writing.done()):
            self._finish_writing()
            self._begin_writing()

    def save(self) -> None:
        """Save all that has been read, before this returns.

        Raises:
            OutputError: It could not be written.
        """
        self._finish_writing()
        self._begin_writing()
        self._finish_writing()

    def close(self, *, remove: bool) -> None:
        """End the writing; with `remove` the manifest has it all."""
        self._writer.shutdown()
        if remove:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _begin_writing(self) -> None:
        # Taken now, since the table grows while the part is written.
        batches = list(self._batches())
        self._pace.saved()
        if batches:
            file = self._folder / f"part-{self._next_number:06d}.parquet"
            self._next_number += 1
            self._writing = self._writer.submit(write_manifest, file, batches, self._config)

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

    def _files(self) -> list[Path]:
        """All parts in the order of their writing."""
        found = [file for file in self._folder.glob("part-*.parquet") if _NAME.fullmatch(file.name)]
        return sorted(found, key=_number)

    def _fitting(self, file: Path) -> _core.ManifestReader | None:
        """A part or the manifest, opened, if this run can use its rows."""
        try:
            reader = _core.ManifestReader(str(file))
        except ManifestError:
            if file == self._manifest:
                raise
            return None
        about = json.loads(reader.about)
        reading = {option: about["config"].get(option) for option in self._reading}
        fits = about["ctprune_version"] == _core.__version__ and reading == self._reading
        return reader if fits else None


_NAME = re.compile(r"part-(\d+)\.parquet")


def _number(file: Path) -> int:
    match = _NAME.fullmatch(file.name)
    return int(match[1]) if match else 0
