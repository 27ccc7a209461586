"""Open containers: a zip file read by its directory, or a container in a file private to this process."""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from ctprune import _core
from ctprune.sources.addresses import MARK
from ctprune.sources.failures import NO_MEMBER, Broken, NoMember, Refused
from ctprune.sources.found import Stamp

#: Most copies on disk at a time, of one bucket or of one container.
COPIES = 2

#: Bytes at the end of a zip file, enough for most directories; and of the longest directory that is read.
_TAIL, _LONGEST_DIRECTORY = 1 << 20, 256 << 20

#: Bytes that stay free on the disk of temporary files.
_LEFT_FREE = 1 << 30

#: Bytes of an inner container that are passed on at a time, and bytes that tell its kind.
_PORTION, _HEAD = 4 << 20, 64 << 10

#: Limit for one member in MiB, as for an object.
_MOST_MB = 8 << 10


class Streaming(Protocol):
    """Gives the bytes of an object."""

    def stream(self, path: str, stamp: Stamp, give: Callable[[bytes], bool]) -> None:
        """Give all bytes of an object, in order."""


class Store(Streaming, Protocol):
    """The part of a bucket or web server that containers need; see `ctprune.sources.objects.Objects`."""

    def look_at(self, path: str) -> Stamp:
        """Size and version of an object."""

    def head(self, path: str, stamp: Stamp) -> bytes:
        """The first bytes of an object."""

    def part(
        self, path: str, part: tuple[int, int], stamp: Stamp, mark: str | None = None
    ) -> tuple[bytes, str | None]:
        """Bytes of an object from one offset to another, and its ETag."""


class Zip:
    """A zip file on a server that sends parts."""

    def __init__(self, objects: Store, path: str, stamp: Stamp) -> None:
        self._objects, self._path, self.stamp = objects, path, stamp
        self._directory, self._mark = read_directory(objects, path, stamp)
        self._nested = _Nested(self._member)

    def size(self, name: str) -> int | None:
        """Size of a member; None if it lies in an inner container or does not exist."""
        return self._directory.size(name)

    def read(self, name: str) -> bytes:
        """Content of a member, which may lie in an inner container."""
        if self._directory.size(name) is not None:
            return self._member(name)
        found = self._directory.outer(name)
        if found is None:
            raise NoMember(NO_MEMBER)
        return self._nested.read(*found)

    def names(self) -> list[str]:
        """Names of all members."""
        names: list[str] = []
        for name in self._directory.names():
            names.append(name)
            if _core.promises_container(name):
                try:
                    inner = _stored(self._member(name), name).names()
                except Refused:
                    continue
                names += [f"{name}{MARK}{one}" for one in inner]
        return names

    def _member(self, name: str) -> bytes:
        span = self._directory.span(name)
        if isinstance(span, str):
            raise Refused(span)
        start, stop = span
        while True:
            data, _ = self._objects.part(self._path, (start, stop), self.stamp, self._mark)
            found = self._directory.unpack(name, data, _MOST_MB)
            if not isinstance(found, int):
                return _content(found)
            if start + found <= stop or start + found > self.stamp.size:
                raise Refused("cut off by the end of the archive: download or copy it again")
            stop = start + found


class Copy:
    """A whole container (a tar file unpacked) in a file without a name."""

    def __init__(self, objects: Store, path: str, stamp: Stamp, kind: str) -> None:
        self.stamp = stamp
        self._stored = _unpacked(objects, path, stamp, kind)
        self._nested = _Nested(self._member)

    def size(self, name: str) -> int | None:
        """Size of a member; None if it lies in an inner container or does not exist."""
        return self._stored.size(name)

    def read(self, name: str) -> bytes:
        """Content of a member, which may lie in an inner container."""
        if self.size(name) is None:
            for outer, inner in splits(name):
                if self.size(outer) is not None:
                    return self._nested.read(outer, inner)
        return self._member(name)

    def names(self) -> list[str]:
        """Names of all members."""
        return self._stored.names()

    def _member(self, name: str) -> bytes:
        return _content(self._stored.read(name, _MOST_MB))


class _Nested:
    """Inner containers of a container, kept open: each is unpacked once, not once for each of its members.

    Args:
        content: Gives the bytes of a member.
    """

    def __init__(self, content: Callable[[str], bytes]) -> None:
        self._content = content
        self._lock = threading.Lock()
        self._opened: OrderedDict[str, _core.StoredContainer] = OrderedDict()

    def read(self, outer: str, inner: str) -> bytes:
        """Content of a member of the inner container named `outer`."""
        with self._lock:
            if outer not in self._opened:
                while len(self._opened) >= COPIES:
                    self._opened.popitem(last=False)
                self._opened[outer] = _opened(self._content(outer), outer)
            self._opened.move_to_end(outer)
            opened = self._opened[outer]
        return _content(opened.read(inner, _MOST_MB))


class _Memory:
    """The bytes of an inner container, as a store of one object."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)

    def stream(self, path: str, stamp: Stamp, give: Callable[[bytes], bool]) -> None:
        """Give all bytes, in order."""
        for start in range(0, len(self._content), _PORTION):
            if not give(bytes(self._content[start : start + _PORTION])):
                return


def _opened(content: bytes, name: str) -> _core.StoredContainer:
    """An inner container, whose members can be read in any order."""
    kind = _core.container_kind_by_head(name_of(name), content[:_HEAD])
    if kind in (None, "zip"):
        return _stored(content, name)
    return _unpacked(_Memory(content), name, Stamp(len(content), 0), str(kind))


def _unpacked(objects: Streaming, path: str, stamp: Stamp, kind: str) -> _core.StoredContainer:
    """A container in a file that nobody else sees; a tar file is unpacked."""
    folder = tempfile.gettempdir()
    most = shutil.disk_usage(folder).free - _LEFT_FREE
    if stamp.size > most:
        raise Refused(
            "the archive is larger than the room for temporary files: set TMPDIR to a folder with more, or "
            "download the archive"
        )
    feed = _core.Feed()
    thread = feeding(objects, path, stamp, feed)
    beside = Path(folder, f"ctprune-{uuid.uuid4().hex}.part")
    try:
        return _core.StoredContainer.of_feed(beside, feed, stamp.size, kind, name_of(path), most)
    except ValueError as error:
        raise Refused(str(error)) from None
    except OSError as error:
        if thread.failure is not None:
            raise thread.failure from None
        raise Refused(f"the archive cannot be copied to {folder}: {error.strerror or error}") from None
    finally:
        feed.close()
        beside.unlink(missing_ok=True)


class Feeding(threading.Thread):
    """Passes all bytes of an object to a feed, in order.

    Attributes:
        failure: The failure that stopped it early: the object cannot be read, or the server is silent.
    """

    def __init__(self, objects: Streaming, path: str, stamp: Stamp, feed: _core.Feed) -> None:
        super().__init__(name="ctprune-feed", daemon=True)
        self._objects, self._path, self._stamp, self._feed = objects, path, stamp, feed
        self.failure: Exception | None = None

    def run(self) -> None:
        """Run to the end of the object, or until the feed takes no more bytes."""
        try:
            self._objects.stream(self._path, self._stamp, self._feed.push)
            self._feed.end()
        except Exception as failure:
            self.failure = failure
            self._feed.fail(str(failure))


def feeding(objects: Streaming, path: str, stamp: Stamp, feed: _core.Feed) -> Feeding:
    """Start passing all bytes of an object to a feed."""
    thread = Feeding(objects, path, stamp, feed)
    thread.start()
    return thread


def splits(path: str) -> Iterator[tuple[str, str]]:
    """All ways to split a path into a container and a member, the outermost container first.

    >>> list(splits("a.zip!/b.tar!/c"))
    [('a.zip', 'b.tar!/c'), ('a.zip!/b.tar', 'c')]
    """
    at = path.find(MARK)
    while at >= 0:
        yield path[:at], path[at + len(MARK) :]
        at = path.find(MARK, at + 1)


def name_of(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


def read_directory(objects: Store, path: str, stamp: Stamp) -> tuple[_core.ZipDirectory, str | None]:
    """The directory of a zip file, and the ETag of its bytes."""
    size = stamp.size
    start = max(0, size - _TAIL)
    data, mark = objects.part(path, (start, size), stamp)
    parts = [(start, data)]
    while True:
        found = _core.ZipDirectory.of(size, parts)
        if isinstance(found, str):
            raise Broken(found)
        if not isinstance(found, int):
            return found, mark
        stop = min((at for at, _ in parts if at > found), default=size)
        if found >= stop or sum(len(part) for _, part in parts) + stop - found > _LONGEST_DIRECTORY:
            raise Refused(f"the archive's directory takes more than {_LONGEST_DIRECTORY >> 20} MiB: download it")
        data, _ = objects.part(path, (found, stop), stamp, mark)
        parts.append((found, data))


def _stored(content: bytes, name: str) -> _core.StoredContainer:
    try:
        return _core.StoredContainer.of_bytes(content, name)
    except ValueError as error:
        raise Refused(str(error)) from None


def _content(found: bytes | str) -> bytes:
    if isinstance(found, str):
        raise NoMember(found) if found == NO_MEMBER else Refused(found)
    return found
