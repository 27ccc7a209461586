"""Members of zip and tar files that lie in object stores and on web servers.

Of a zip file its directory is read, and then each member by its own bytes. A tar file can only be read from its
start: a reduction does so once, with a feed. Whoever asks for single members of one later gets them from a copy,
unpacked into a file of this process alone, and so does who asks for members of a zip file where a server sends no
parts.
"""

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
from ctprune.sources import failures
from ctprune.sources.addresses import MARK
from ctprune.sources.failures import NO_MEMBER, Broken, Gone, NoMember, NoRanges, Refused
from ctprune.sources.found import Stamp

#: Containers that are kept open, and those of them that are copies on the disk.
_KEPT, _COPIES = 16, 2

#: Bytes of a zip file's end that hold most directories, and of the longest directory that is read.
_TAIL, _LONGEST_DIRECTORY = 1 << 20, 256 << 20

#: As much is left free on the disk of temporary files.
_LEFT_FREE = 1 << 30

#: Limit for one member in MiB, as for an object.
_MOST_MB = 8 << 10


class Store(Protocol):
    """What containers need of a bucket or web server; see `ctprune.sources.objects.Objects`."""

    def look_at(self, path: str) -> Stamp:
        """Size and version of an object."""

    def head(self, path: str, stamp: Stamp) -> bytes:
        """The first bytes of an object."""

    def part(
        self, path: str, part: tuple[int, int], stamp: Stamp, mark: str | None = None
    ) -> tuple[bytes, str | None]:
        """Bytes of an object from one offset to another, and its ETag."""

    def stream(self, path: str, stamp: Stamp, give: Callable[[bytes], bool]) -> None:
        """Give all bytes of an object, in order."""


class Containers:
    """The zip and tar files of one bucket or web server.

    Args:
        objects: The bucket or server.
    """

    def __init__(self, objects: Store) -> None:
        self._objects = objects
        self._lock = threading.Lock()
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._is_container: dict[str, bool] = {}

    def within(self, path: str) -> tuple[str, str] | None:
        """Path of a container and name of a member in it, where a path leads into one.

        Raises:
            Refused: Nobody can say.
            NetworkError: The server no longer answers.
        """
        for container, name in splits(path):
            if self._is_there(container):
                return container, name
        return None

    def is_no_container(self, path: str) -> None:
        """Note that a folder with the mark is what it looks like."""
        self._is_container[path] = False

    def stamp(self, container: str, name: str) -> Stamp:
        """Size of a member, and the version of its container.

        Raises:
            Refused: There is no such member, or it cannot be read.
        """
        opened = self._open(container)
        size = opened.size(name)
        return Stamp(len(opened.read(name)) if size is None else size, opened.stamp.version)

    def read(self, container: str, name: str, version: int | None) -> bytes:
        """The content of a member.

        Args:
            container: Path of the container.
            name: Of the member in it.
            version: The container's when the member was found; None takes any.

        Raises:
            Refused: It cannot be read, or the container has changed.
        """
        opened = self._open(container)
        try:
            if version is not None and version != opened.stamp.version:
                raise Refused(failures.CHANGED)
            return opened.read(name)
        except Refused as refusal:
            if str(refusal) == failures.CHANGED:
                # Who asks again gets it as it is by then.
                with self._lock:
                    self._slots.pop(container, None)
            raise

    def directory(self, path: str, stamp: Stamp) -> _core.ZipDirectory:
        """The directory of a zip file.

        Raises:
            Refused: It is broken, or the server sends no parts.
        """
        return _directory(self._objects, path, stamp)[0]

    def names(self, path: str) -> list[str]:
        """Names of all that a container holds, also in containers in it.

        Raises:
            Refused: It cannot be read.
        """
        return self._open(path).names()

    def _is_there(self, path: str) -> bool:
        known = self._is_container.get(path)
        if known is None:
            try:
                self._objects.look_at(path)
                known = True
            except Gone:
                known = False
            self._is_container[path] = known
        return known

    def _open(self, path: str) -> _Zip | _Copy:
        with self._lock:
            slot = self._slots.pop(path, None) or _Slot()
            self._slots[path] = slot
            while len(self._slots) > _KEPT:
                self._slots.popitem(last=False)
        with slot.lock:
            if slot.opened is None:
                slot.opened = self._opened_anew(path)
            return slot.opened

    def _opened_anew(self, path: str) -> _Zip | _Copy:
        objects = self._objects
        stamp = objects.look_at(path)
        kind = _core.container_kind_by_head(name_of(path), objects.head(path, stamp))
        if kind is None:
            raise Refused("no zip or tar file, so it has no members")
        if kind == "zip":
            try:
                return _Zip(objects, path, stamp)
            except NoRanges:
                pass
        with self._lock:
            # The one that is to be made counts.
            copies = [key for key, slot in self._slots.items() if isinstance(slot.opened, _Copy)]
            for key in copies[: max(0, len(copies) + 1 - _COPIES)]:
                del self._slots[key]
        return _Copy(objects, path, stamp, kind)


class _Slot:
    """A container that is open, or that a thread is opening."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.opened: _Zip | _Copy | None = None


class _Zip:
    """A zip file of which parts can be asked for."""

    def __init__(self, objects: Store, path: str, stamp: Stamp) -> None:
        self._objects, self._path, self.stamp = objects, path, stamp
        self._directory, self._mark = _directory(objects, path, stamp)
        self._lock = threading.Lock()
        #: The container in it that was asked for last.
        self._nested: tuple[str, _core.StoredContainer] | None = None

    def size(self, name: str) -> int | None:
        """Size of a member; None where it is in a container in this one, or not there."""
        return self._directory.size(name)

    def read(self, name: str) -> bytes:
        """Content of a member, or of one in a container in it."""
        if self._directory.size(name) is not None:
            return self._member(name)
        found = self._directory.outer(name)
        if found is None:
            raise NoMember(NO_MEMBER)
        outer, inner = found
        with self._lock:
            if self._nested is None or self._nested[0] != outer:
                self._nested = outer, _stored(self._member(outer), outer)
            nested = self._nested[1]
        return _content(nested.read(inner, _MOST_MB))

    def names(self) -> list[str]:
        """Names of all that it holds."""
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
                raise Refused("cut off with the end of the archive: get it anew from where it came")
            stop = start + found


class _Copy:
    """A container as a whole, a tar file unpacked, in a file without a name."""

    def __init__(self, objects: Store, path: str, stamp: Stamp, kind: str) -> None:
        self.stamp = stamp
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
            self._stored = _core.StoredContainer.of_feed(beside, feed, stamp.size, kind, name_of(path), most)
        except ValueError as error:
            raise Refused(str(error)) from None
        except OSError as error:
            if thread.failure is not None:
                raise thread.failure from None
            raise Refused(f"the archive cannot be copied to {folder}: {error.strerror or error}") from None
        finally:
            feed.close()
            beside.unlink(missing_ok=True)

    def size(self, name: str) -> int | None:
        """Size of a member; None where it is in a container in this one, or not there."""
        return self._stored.size(name)

    def read(self, name: str) -> bytes:
        """Content of a member, or of one in a container in it."""
        return _content(self._stored.read(name, _MOST_MB))

    def names(self) -> list[str]:
        """Names of all that it holds."""
        return self._stored.names()


class Feeding(threading.Thread):
    """Gives a feed all bytes of an object, in order.

    Attributes:
        failure: What ended it before the end: that nobody can read the object, or that the server is silent.
    """

    def __init__(self, objects: Store, path: str, stamp: Stamp, feed: _core.Feed) -> None:
        super().__init__(name="ctprune-feed", daemon=True)
        self._objects, self._path, self._stamp, self._feed = objects, path, stamp, feed
        self.failure: Exception | None = None

    def run(self) -> None:
        """Until the end, or until nobody takes bytes."""
        try:
            self._objects.stream(self._path, self._stamp, self._feed.push)
            self._feed.end()
        except Exception as failure:
            self.failure = failure
            self._feed.fail(str(failure))


def feeding(objects: Store, path: str, stamp: Stamp, feed: _core.Feed) -> Feeding:
    """Begin to give a feed all bytes of an object."""
    thread = Feeding(objects, path, stamp, feed)
    thread.start()
    return thread


def splits(path: str) -> Iterator[tuple[str, str]]:
    """The ways in which a path may lead into a container, the outermost first.

    >>> list(splits("a.zip!/b.tar!/c"))
    [('a.zip', 'b.tar!/c'), ('a.zip!/b.tar', 'c')]
    """
    at = path.find(MARK)
    while at >= 0:
        yield path[:at], path[at + len(MARK) :]
        at = path.find(MARK, at + 1)


def name_of(path: str) -> str:
    """The last name of a path."""
    return path.rpartition("/")[2]


def _directory(objects: Store, path: str, stamp: Stamp) -> tuple[_core.ZipDirectory, str | None]:
    """The directory of a zip file, and the ETag that its bytes had."""
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
