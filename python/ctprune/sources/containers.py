"""Members of zip and tar files that lie in object stores and on web servers.

For a zip file, the directory is read, then only the bytes of each member. A tar file can only be read from its
start, which a reduction does once, with a feed. Later requests for single members are answered from a copy,
unpacked into a file private to this process. The same holds for a zip file if the server sends no parts.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from ctprune import _core
from ctprune.sources import failures
from ctprune.sources.addresses import MARK
from ctprune.sources.failures import Gone, NoRanges, Refused
from ctprune.sources.found import Found, Stamp
from ctprune.sources.opened import COPIES, Copy, Store, Zip, name_of, read_directory, splits

#: Most containers that are kept open.
_KEPT = 16


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
        """The path of a container and the name of a member, if a path leads into a container.

        Raises:
            Refused: The server does not say.
            NetworkError: The server no longer answers.
        """
        for container, name in splits(path):
            if self._is_there(container):
                return container, name
        return None

    def is_no_container(self, path: str) -> None:
        """Note that a path with a container's mark is really a folder."""
        self._is_container[path] = False

    def stamp(self, container: str, name: str) -> Stamp:
        """The size of a member and the version of its container.

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
            version: The container's version when the member was found; None accepts any.

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
                # The next request gets the container as it is then.
                with self._lock:
                    self._slots.pop(container, None)
            raise

    def directory(self, path: str, stamp: Stamp) -> _core.ZipDirectory:
        """The directory of a zip file.

        Raises:
            Refused: It is broken, or the server sends no parts.
        """
        return read_directory(self._objects, path, stamp)[0]

    def names(self, path: str) -> list[str]:
        """Names of all members of a container, including those of inner containers.

        Raises:
            Refused: It cannot be read.
        """
        return self._open(path).names()

    def members(self, path: str) -> list[Found]:
        """All members of a container, with paths below the bucket or server; raises as `names` does."""
        opened = self._open(path)
        version = opened.stamp.version
        return [Found(f"{path}{MARK}{name}", Stamp(opened.size(name) or 0, version)) for name in opened.names()]

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

    def _open(self, path: str) -> Zip | Copy:
        with self._lock:
            slot = self._slots.pop(path, None) or _Slot()
            self._slots[path] = slot
            while len(self._slots) > _KEPT:
                self._slots.popitem(last=False)
        with slot.lock:
            if slot.opened is None:
                slot.opened = self._opened_anew(path)
            return slot.opened

    def _opened_anew(self, path: str) -> Zip | Copy:
        objects = self._objects
        stamp = objects.look_at(path)
        kind = _core.container_kind_by_head(name_of(path), objects.head(path, stamp))
        if kind is None:
            raise Refused("no zip or tar file, so it has no members")
        if kind == "zip":
            try:
                return Zip(objects, path, stamp)
            except NoRanges:
                pass
        with self._lock:
            # The one about to be opened counts, too.
            copies = [key for key, slot in self._slots.items() if isinstance(slot.opened, Copy)]
            for key in copies[: max(0, len(copies) + 1 - COPIES)]:
                del self._slots[key]
        return Copy(objects, path, stamp, kind)


class _Slot:
    """A container that is open or being opened by a thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.opened: Zip | Copy | None = None
