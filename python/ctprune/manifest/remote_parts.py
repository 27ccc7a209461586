"""Parts of a reduction in an object store: copied to this machine, and published from it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from ctprune.files.checksums import sha256_of
from ctprune.files.pace import Pace
from ctprune.manifest.shards import PARTS_NAME, Shard, shard_of

if TYPE_CHECKING:
    from ctprune.sources.prefix import Entry, Prefix

#: Hexadecimal digits of a SHA-256 that name an object.
DIGITS = 32

#: Names of parts on this machine, and in the store.
_HERE = re.compile(r"(part|selection|embeddings)-\d+(\.parquet)?|embeddings")
_THERE = re.compile(rf"(part|selection|embeddings)-([0-9a-f]{{{DIGITS}}})(\.parquet)?")

#: Saved embeddings are a folder, whose last file marks it as complete.
EMBEDDINGS, _LAST = "embeddings", "embeddings.json"


class RemoteParts:
    """The parts of a reduction below a prefix, and their copies.

    Args:
        prefix: The reduction's prefix in the store.
        folder: Its copy on this machine.
        note: Called with a sentence about a part that cannot be used.
    """

    def __init__(self, prefix: Prefix, folder: Path, note: Callable[[str], None]) -> None:
        self._prefix, self._folder, self._note = prefix, folder, note
        #: Names of parts in the store that were copied or published.
        self._there: set[str] = set()
        #: Local parts that are also in the store, each with what distinguishes it from a later one of its name.
        self._here: dict[Path, tuple[int, ...]] = {}
        #: Names of objects in the store that hold parts, or are removed with them.
        self._objects: set[str] = set()
        self._beside: set[str] = set()
        #: Names of objects in the store whose content does not match their names.
        self._damaged: set[str] = set()
        self._last: Counter[tuple[Path, str]] = Counter()
        self._lock = Lock()
        self._pace = Pace()

    def fetch(self, entries: Iterable[Entry], shard: Shard | None) -> None:
        """Copy parts, numbered in the order in which they were published: later ones are newer.

        A torn or damaged part is not copied: its files are read again, and it is then replaced.

        Args:
            entries: The objects among the parts in the store.
            shard: Only parts of that shard and of no shard; by default all.

        Raises:
            Refused: A part is gone since.
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
        missing = {
            name: files for name, files in wanted.items() if name not in self._there and _is_whole(name, files)
        }
        if not missing:
            return
        # If a copy fails, others are still being written, so they are kept away from the folder of parts.
        beside = Path(tempfile.mkdtemp(prefix=".fetched-", dir=self._folder))
        try:
            self._fetch(missing, beside)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def save(self) -> None:
        """Publish the local parts that are not yet in the store.

        Raises:
            OutputError: A part cannot be written.
            NetworkError: The store no longer answers.
        """
        with self._lock:
            for path in self._parts_here():
                if self._here.get(path) != _mark(path):
                    self._there.add(self._save_part(path))
                    self._here[path] = _mark(path)
            self._pace.saved()

    def save_now_and_then(self) -> None:
        """Publish new parts if the last time is some seconds ago; raises as `save` does."""
        if self._pace.is_due():
            self.save()

    def objects(self) -> list[str]:
        """Names of all objects that hold or describe parts, in the order in which to remove them."""
        # Without their last file, nobody uses embeddings.
        return [*sorted(self._beside), *sorted(self._objects, key=lambda name: not name.endswith(f"/{_LAST}"))]

    def _fetch(self, parts: dict[str, list[Entry]], beside: Path) -> None:
        """Copy parts into an empty folder, and from there to their places if their content matches their names."""
        copies: list[tuple[Entry, Path]] = []
        sums: dict[str, str] = {}
        for number, (name, files) in enumerate(parts.items()):
            if files[0].name == name:
                copies.append((files[0], beside / str(number)))
            else:
                (beside / str(number)).mkdir()
                copies += [(entry, beside / str(number) / Path(entry.name).name) for entry in files]

        def copy(one: tuple[Entry, Path]) -> None:
            self._prefix.fetch(*one)
            sums[one[0].name] = sha256_of(one[1])

        self._prefix.each(copy, copies)
        for number, (name, files) in enumerate(parts.items()):
            found = _THERE.fullmatch(Path(name).name)
            assert found is not None
            inside = {Path(entry.name).name: sums[entry.name] for entry in files}
            digest = sums[name] if name in sums else _digest_of(inside)
            if digest[:DIGITS] != found[2]:
                again = "its slices are embedded" if found[1] == EMBEDDINGS else "its files are read"
                self._note(f"{self._prefix.address}/{name} is damaged: {again} again")
                self._damaged.update(entry.name for entry in files)
                continue
            path = self._new_path(name)
            os.replace(beside / str(number), path)
            self._there.add(name)
            self._here[path] = _mark(path)

    def _new_path(self, name: str) -> Path:
        """The place of a part in the copy, by its name in the store."""
        found = _THERE.fullmatch(Path(name).name)
        assert found is not None
        folder = self._folder / Path(name).parent
        if found[1] == EMBEDDINGS and folder.name != PARTS_NAME:
            # A shard's embeddings: several calls may each have published some.
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
        """Publish a part, and return its name in the store."""
        below = path.parent.relative_to(self._folder).as_posix()
        if not path.is_dir():
            name = f"{below}/{path.name.partition('-')[0]}-{sha256_of(path)[:DIGITS]}.parquet"
            self._put_named(name, path)
            return name
        sums = {file.name: sha256_of(file) for file in sorted(path.iterdir())}
        name = f"{below}/{EMBEDDINGS}-{_digest_of(sums)[:DIGITS]}"
        for one in sorted(sums, key=lambda one: one == _LAST):
            self._put_named(f"{name}/{one}", path / one)
        return name

    def _put_named(self, name: str, file: Path) -> None:
        """Publish an object named by its content; one that exists is the same, or torn or damaged."""
        self._objects.add(name)
        if self._prefix.create(name, file):
            return
        there = self._prefix.entry(name)
        if there is not None and (name in self._damaged or there.meta["size"] != file.stat().st_size):
            # If another call was faster, it published the same.
            self._prefix.replace(name, file, there.version)
            self._damaged.discard(name)


def _is_whole(name: str, files: list[Entry]) -> bool:
    """Whether a part is complete: a file is; a folder is if its last file is there."""
    return any(entry.name in (name, f"{name}/{_LAST}") for entry in files)


def _digest_of(sums: dict[str, str]) -> str:
    """The name of a folder with files of these SHA-256."""
    return hashlib.sha256(json.dumps(dict(sorted(sums.items()))).encode()).hexdigest()


def _mark(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
