"""Digests of files' contents: what a file holds, wherever it lies and whenever it was written.

A digest is remembered with the file's size, times and inode, so that a file that has not changed is read once. The
time of change of the inode is among them: a file that is written over and given its old time back is noticed. The
remembered digests name no file: a hash of the path stands for it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ctprune import _core
from ctprune.environment.progress import Count
from ctprune.errors import SourceError
from ctprune.files.atomic import replace_file
from ctprune.files.members import opens, visit_bytes
from ctprune.sources.addresses import as_address
from ctprune.sources.failures import NO_MEMBER

#: Size, time of change, time of change of the inode, inode.
Stamp = tuple[int, int, int, int]

#: Version of the remembered digests' file; others are read anew.
_VERSION = "3"

#: Clocks of file systems tick slowly: what changed this short a time ago may change again and keep its stamp.
_SETTLED_NS = 2_000_000_000

#: Bytes that are read at a time, and files whose reading is planned at a time.
_PORTION, _TOGETHER = 1 << 20, 1024

_STAMP = ("size", "mtime_ns", "ctime_ns", "inode")


class Contents:
    """Digests of files.

    Args:
        file: Where digests are remembered from call to call; None remembers them in this object alone.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a").write_text("same"), (folder / "b").write_text("same")
    >>> contents = Contents()
    >>> contents.digest(folder / "a") == contents.digest(folder / "b")
    True
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._earlier = {} if file is None else _load(file)
        self._known: dict[str, tuple[Stamp, str]] = {}
        self._members: dict[str, str] = {}
        #: Why others have none.
        self._why: dict[str, str] = {}
        self._new = False

    def digest(self, file: str | os.PathLike[str]) -> str:
        """The first 32 hexadecimal digits of the SHA-256 of what a file holds.

        Raises:
            SourceError: It cannot be read.
        """
        path = as_address(file) or os.path.abspath(file)
        if not opens(path):
            if path not in self._members:
                self._take_members([path])
            if path not in self._members:
                raise SourceError(f"{path}: {self._why.get(path, NO_MEMBER)}")
            return self._members[path]
        try:
            stamp = _stamp(path)
            key = _hash_of(path)
            known = self._known.get(key) or self._earlier.get(key)
            if known is None or known[0] != stamp:
                now = time.time_ns()
                known = stamp, _digest(path)
                if now - max(stamp[1], stamp[2]) < _SETTLED_NS:
                    return known[1]
                self._new = True
        except OSError as error:
            raise SourceError(f"{file}: cannot be read: {error.strerror or error}") from None
        self._known[key] = known
        return known[1]

    def digests(
        self,
        files: Iterable[str | os.PathLike[str]],
        *,
        unreadable: str | None = None,
        progress: Count = lambda done: None,
    ) -> list[str]:
        """The digests of many files, read by several threads.

        Args:
            files: Their paths.
            unreadable: What stands for a file that cannot be read.
            progress: Called with the number of files done.

        Raises:
            SourceError: One cannot be read, and nothing is to stand for it.
        """
        paths = list(files)
        found: list[str] = []

        def digest(path: str | os.PathLike[str]) -> str:
            try:
                return self.digest(path)
            except SourceError:
                if unreadable is None:
                    raise
                return unreadable

        members = [path for path in paths if not opens(path)]
        self._take_members(members)
        with ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4)) as threads:
            # In parts: a file that waits for its thread takes a kilobyte of memory.
            for start in range(0, len(paths), _TOGETHER):
                try:
                    found += threads.map(digest, paths[start : start + _TOGETHER])
                except BaseException:
                    threads.shutdown(cancel_futures=True)
                    raise
                progress(len(found))
        return found

    def _take_members(self, addresses: list[str | os.PathLike[str]]) -> None:
        """Know the digests of members of containers, each container read once, and of objects elsewhere."""

        def take(index: int, content: bytes | str) -> None:
            path = as_address(addresses[index]) or os.path.abspath(addresses[index])
            if isinstance(content, bytes):
                self._members[path] = hashlib.sha256(content).hexdigest()[:32]
            else:
                self._why[path] = content

        if addresses:
            visit_bytes(addresses, take)

    def save(self) -> None:
        """Remember what was asked for, and nothing else, if any of it is new.

        Raises:
            OutputError: The file cannot be written.
        """
        if self._file is None or not self._new:
            return
        keys = sorted(self._known)
        stamps = np.array([self._known[key][0] for key in keys], np.int64)
        table = _core.Rows.from_columns(
            {
                "file": keys,
                **dict(zip(_STAMP, stamps.T, strict=True)),
                "digest": [self._known[key][1] for key in keys],
            }
        )
        with replace_file(self._file) as beside:
            table.write(beside, _VERSION)
        self._new = False


def _load(file: Path) -> dict[str, tuple[Stamp, str]]:
    """What was remembered; nothing where that is missing, damaged or of another version: it only saves time."""
    try:
        table, version = _core.Rows.read(file)
        if version != _VERSION:
            return {}
        stamps = np.stack([table[name] for name in _STAMP], axis=1).tolist()
        known = zip(table["file"], stamps, table["digest"], strict=True)
    except (OSError, ValueError, KeyError):
        return {}
    return {key: (tuple(stamp), digest) for key, stamp, digest in known}


def _hash_of(path: str) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:32]


def _stamp(path: str) -> Stamp:
    about = os.stat(path)
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino & (2**63 - 1)


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while portion := file.read(_PORTION):
            digest.update(portion)
    return digest.hexdigest()[:32]
