"""What was read of a reduction in an object store: parts that are copied here, and parts that are put there."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from ctprune.errors import OutputError
from ctprune.files.checksums import sha256_of
from ctprune.files.pace import Pace
from ctprune.manifest.shards import PARTS_NAME, Shard, shard_of

if TYPE_CHECKING:
    from ctprune.sources.prefix import Entry, Prefix

#: Hexadecimal digits of a SHA-256 that tell objects apart.
DIGITS = 32

#: Names of parts here, and there.
_HERE = re.compile(r"(part|selection|embeddings)-\d+(\.parquet)?|embeddings")
_THERE = re.compile(rf"(part|selection|embeddings)-([0-9a-f]{{{DIGITS}}})(\.parquet)?")

#: Saved embeddings are a folder, whose last file says that it is whole.
EMBEDDINGS, _LAST = "embeddings", "embeddings.json"


class RemoteParts:
    """The parts of a reduction below a prefix, and their copies.

    Args:
        prefix: Where the reduction is.
        folder: Its copy on this machine.
        note: Called with a sentence about a part that cannot be used.
    """

    def __init__(self, prefix: Prefix, folder: Path, note: Callable[[str], None]) -> None:
        self._prefix, self._folder, self._note = prefix, folder, note
        #: Names of parts there that were copied or put.
        self._there: set[str] = set()
        #: Parts here that are there, each with what tells it from a later one of its name.
        self._here: dict[Path, tuple[int, ...]] = {}
        #: Names of the objects there that hold parts, and of others that end with these.
        self._objects: set[str] = set()
        self._beside: set[str] = set()
        self._last: Counter[tuple[Path, str]] = Counter()
        self._lock = Lock()
        self._pace = Pace()

    def fetch(self, entries: Iterable[Entry], shard: Shard | None) -> None:
        """Copy parts, numbered in the order in which they were put: later ones are newer.

        Args:
            entries: What lies among the parts there.
            shard: Only parts of that shard and of no shard; by default all.

        Raises:
            Refused: One is gone since.
            NetworkError: The store no longer answers.
        """
        wanted: dict[str, list[Entry]] = {}
        for entry in sorted(entries, key=lambda entry: (entry.modified, entry.name)):
            above, _, last = entry.name.rpartition("/")
            if shard is not None and shard_of(entry.name.split("/")[1]) not in (None, shard):
                continue
            name = above if _THERE.fullmatch(Path(above).name) else entry.name if _THERE.fullmatch(last) else None
            if name is None:
                self._beside.add(entry.name)
            else:
                self._objects.add(entry.name)
                wanted.setdefault(name, []).append(entry)
        copies: list[tuple[Entry, Path]] = []
        paths: list[Path] = []
        for name, files in wanted.items():
            is_folder = files[0].name != name
            if name in self._there or (is_folder and all(entry.name != f"{name}/{_LAST}" for entry in files)):
                continue
            path = self._new_path(name)
            paths.append(path)
            if is_folder:
                path.mkdir()
            copies += [(entry, path / Path(entry.name).name if is_folder else path) for entry in files]
        try:
            self._prefix.each(self._copy, copies)
        except BaseException:
            for path in paths:
                shutil.rmtree(path, ignore_errors=True)
                path.unlink(missing_ok=True)
            raise
        self._there.update(wanted)
        self._here.update((path, _mark(path)) for path in paths if path.exists())

    def save(self) -> None:
        """Publish the parts that are here and not yet there.

        Raises:
            OutputError: One cannot be put.
            NetworkError: The store no longer answers.
        """
        with self._lock:
            for path in self._parts_here():
                if self._here.get(path) != _mark(path):
                    self._there.add(self._save_part(path))
                    self._here[path] = _mark(path)
            self._pace.saved()

    def save_now_and_then(self) -> None:
        """Publish what is new if the last time is some seconds ago; raises as `save` does."""
        if self._pace.is_due():
            self.save()

    def objects(self) -> list[str]:
        """Names of all objects there that hold parts or tell of them, in the order in which to remove them."""
        # Without their last file, embeddings are nobody's.
        return [*sorted(self._beside), *sorted(self._objects, key=lambda name: not name.endswith(f"/{_LAST}"))]

    def _copy(self, part: tuple[Entry, Path]) -> None:
        entry, file = part
        self._prefix.fetch(entry, file)
        found = _THERE.fullmatch(Path(entry.name).name)
        if found is not None and sha256_of(file)[:DIGITS] != found[2]:
            self._note(f"{self._prefix.address}/{entry.name} is damaged: its files are read again")
            file.unlink()

    def _new_path(self, name: str) -> Path:
        """Where a part goes in the copy, by its name there."""
        found = _THERE.fullmatch(Path(name).name)
        assert found is not None
        folder = self._folder / Path(name).parent
        if found[1] == EMBEDDINGS and folder.name != PARTS_NAME:
            # A shard's embeddings: several calls of it may each have put theirs.
            folder /= PARTS_NAME
        folder.mkdir(parents=True, exist_ok=True)
        last = max((int(path.stem[-6:]) for path in folder.glob(f"{found[1]}-*{found[3] or ''}")), default=0)
        self._last[folder, found[1]] = max(self._last[folder, found[1]], last) + 1
        return folder / f"{found[1]}-{self._last[folder, found[1]]:06d}{found[3] or ''}"

    def _parts_here(self) -> list[Path]:
        found = (self._folder / PARTS_NAME).rglob("*")
        parts = [path for path in found if _HERE.fullmatch(path.name) and (path.suffix or path.is_dir())]
        return sorted(path for path in parts if "/." not in path.relative_to(self._folder).as_posix())

    def _save_part(self, path: Path) -> str:
        """Put a part, and return its name there."""
        below = path.parent.relative_to(self._folder).as_posix()
        if not path.is_dir():
            name = f"{below}/{path.name.partition('-')[0]}-{sha256_of(path)[:DIGITS]}.parquet"
            self._put_named(name, path)
            return name
        sums = {file.name: sha256_of(file) for file in sorted(path.iterdir())}
        digest = hashlib.sha256(json.dumps(sums).encode()).hexdigest()
        name = f"{below}/{EMBEDDINGS}-{digest[:DIGITS]}"
        for one in sorted(sums, key=lambda one: one == _LAST):
            self._put_named(f"{name}/{one}", path / one)
        return name

    def _put_named(self, name: str, file: Path) -> None:
        """Put an object whose name says what is in it: if it is there, it is the same."""
        self._objects.add(name)
        if not self._prefix.create(name, file):
            there = self._prefix.entry(name)
            if there is not None and there.meta["size"] != file.stat().st_size:
                raise OutputError(
                    f"{self._prefix.address}/{name} is there and is something else: remove it, then rerun"
                )


def _mark(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
