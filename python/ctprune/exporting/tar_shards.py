"""Layouts in tar files: WebDataset's and that of DINOv2's ImageNet-22k."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ctprune.exporting.config import ExportConfig
from ctprune.exporting.files import suffix_of
from ctprune.exporting.index import Index, facts_of
from ctprune.exporting.layouts import INDEX_NAME
from ctprune.files.rows_file import RowsFile

#: Bytes of a block of a tar file; a member begins with one.
_BLOCK = 512

#: Folder in which files wait for their place in a tar file.
_WAITING = ".waiting"

#: For files of an unknown kind: readers know members by their suffix.
_UNKNOWN = ".img"


class Shards:
    """Tar files one after the other, of about the same size.

    Args:
        folder: Where they go.
        size: Bytes after which the next one begins.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self._tar: tarfile.TarFile | None = None
        self._used = 0
        #: Number of tar files so far.
        self.count = 0

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tar is not None:
            self._tar.close()

    def begin_sample(self) -> str:
        """Begin the next tar file if the last one is full; the name of the one that the sample goes to."""
        if self._tar is None or self._used >= self._size:
            self.__exit__()
            # Without extensions, each member has one block before its bytes.
            name = self._folder / f"{_shard(self.count)}.tar"
            self._tar = tarfile.open(name, "x", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            self._used = 0
            self.count += 1
        return _shard(self.count - 1)

    def add(self, name: str, file: io.BufferedIOBase, size: int) -> tuple[int, int]:
        """Add a member; return where it begins, header included, and where the next one begins, in bytes."""
        assert self._tar is not None
        member = tarfile.TarInfo(name)
        member.size = size
        self._tar.addfile(member, file)
        start = self._used
        self._used += _BLOCK + -(-size // _BLOCK) * _BLOCK
        return start, self._used


def _shard(number: int) -> str:
    return f"shard-{number:06d}"


class WebDataset:
    """`shard-000000.tar` and so on, each slice a file and its facts as JSON, beside `index.csv`."""

    def __init__(self, folder: Path, config: ExportConfig) -> None:
        self._folder, self._mode = folder, config.mode
        self._open = ExitStack()
        self._index = self._open.enter_context(Index(folder / INDEX_NAME))
        self._shards = self._open.enter_context(Shards(folder, config.shard_mb * 10**6))
        (folder / _WAITING).mkdir()

    def __enter__(self) -> WebDataset:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        # After an interruption some may still wait.
        shutil.rmtree(self._folder / _WAITING)

    def target(self, row: dict[str, Any]) -> Path:
        """Path of the waiting file; its name is the one in the tar file, with a single dot."""
        suffix = suffix_of(row, self._mode) or _UNKNOWN
        return self._folder / _WAITING / f"{row['volume']:05d}_{row['slice_index']:05d}{suffix}"

    def take(self, rows: Sequence[dict[str, Any]]) -> None:
        """Move the rows' files into the tar file."""
        for row in rows:
            shard = self._shards.begin_sample()
            facts = facts_of(row)
            self.add(row["target"], shard, facts)
            self._index.add(f"{shard}.tar/{row['target'].name}", facts)

    def add(self, file: Path, shard: str, facts: dict[str, Any]) -> None:
        """Add the members of one slice."""
        self.move(file)
        text = json.dumps(facts).encode()
        self._shards.add(f"{file.name.partition('.')[0]}.json", io.BytesIO(text), len(text))

    def move(self, file: Path) -> tuple[int, int]:
        """Move a file into the tar file; see `Shards.add`."""
        with file.open("rb") as opened:
            span = self._shards.add(file.name, opened, file.stat().st_size)
        file.unlink()
        return span


class Dinov2(WebDataset):
    """For DINOv2's `ImageNet22k:root=FOLDER:extra=FOLDER`: tar files, `entries.npy`, `class-ids.npy`.

    DINOv2's `ImageNet` takes only as many images as ImageNet has. Each tar file counts as a class.
    """

    def __init__(self, folder: Path, config: ExportConfig) -> None:
        super().__init__(folder, config)
        names = {"class_id": len(_shard(0)), "filename": len("00000_00000.png")}
        self._kind = np.dtype(
            [
                ("class_index", "<u4"),
                ("class_id", f"<U{names['class_id']}"),
                ("start_offset", "<u4"),
                ("end_offset", "<u4"),
                # Room for numbers of more digits.
                ("filename", f"<U{names['filename'] + 6}"),
            ]
        )
        self._entries = self._open.enter_context(RowsFile(folder / "entries.npy", self._kind, ()))
        self._open.callback(self._write_classes)

    def add(self, file: Path, shard: str, facts: dict[str, Any]) -> None:
        """Add the picture alone: entries say where it is."""
        start, end = self.move(file)
        entry = (self._shards.count - 1, shard, start, end, file.name)
        self._entries.append(np.array([entry], self._kind))

    def _write_classes(self) -> None:
        names = np.array([_shard(number) for number in range(self._shards.count)])
        np.save(self._folder / "class-ids.npy", names)
