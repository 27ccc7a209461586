"""A prefix in an object store, below which results are published with conditional writes.

An object is written only if its name is free, or if the object there has not changed since it was read. So two
writers never mix: if two publish at the same time, one of them fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import obstore

from ctprune.errors import OutputError, SourceError
from ctprune.sources.addresses import Address
from ctprune.sources.connections import OBJECTS_IN_FLIGHT, connect
from ctprune.sources.crew import in_order
from ctprune.sources.failures import CHANGED, THERE, Denied, Exists, Gone, Refused, no_bucket
from ctprune.sources.store_client import stamp_of

if TYPE_CHECKING:
    from obstore import PutMode, UpdateVersion

    from ctprune.sources.objects import Objects

T = TypeVar("T")

#: Object stores accept no more bytes in one request, and only a single request can be conditional.
_MOST_BYTES = 5 << 30

#: A store accepts this many names in one request.
_REMOVED_TOGETHER = 1000


class Entry(NamedTuple):
    """An object below the prefix.

    Attributes:
        name: Its path below the prefix.
        modified: When it was written, in seconds since 1970, by the store's clock.
        version: Identifies its state, for `Prefix.replace`.
        meta: What the store says of it.
    """

    name: str
    modified: float
    version: UpdateVersion
    meta: Any


class Prefix:
    """The objects below an address in an object store.

    Args:
        address: Its bucket and path.
    """

    def __init__(self, address: Address) -> None:
        self.address = Address(address.scheme, address.host, address.path.strip("/"))
        self._objects = cast("Objects", connect(self.address))
        self._client = self._objects.client

    def entries(self, below: str = "") -> list[Entry]:
        """All objects below a path of the prefix, by name.

        Raises:
            SourceError: They may not be listed.
            NetworkError: The store no longer answers.
        """
        start = self._path("")
        path = self._path(below)

        def listing(store: Any) -> list[Any]:
            return [meta for page in obstore.list(store, path or None) for meta in page]

        try:
            metas = self._client.ask(listing)
        except Denied as failure:
            raise self._client.denied(self.address, failure) from None
        except Gone:
            raise SourceError(f"{self.address}: {no_bucket(self.address.root)}") from None
        found = [
            _entry(meta["path"].removeprefix(start), meta) for meta in metas if not meta["path"].endswith("/")
        ]
        return sorted(found, key=lambda entry: entry.name)

    def entry(self, name: str) -> Entry | None:
        """The current object of this name; None if there is none. Raises as `entries` does."""
        path = self._path(name)
        try:
            return _entry(name, self._client.ask(lambda store: obstore.head(store, path)))
        except Gone:
            return None
        except Denied as failure:
            raise self._client.denied(self.address, failure) from None

    def read(self, name: str) -> bytes:
        """The bytes of a small object.

        Raises:
            Refused: It is gone or may not be read.
            NetworkError: The store no longer answers.
        """
        return self._objects.read(self._path(name), None)

    def fetch(self, entry: Entry, file: Path) -> None:
        """Copy an object into a file; raises as `read` does, also if the object has changed."""
        with file.open("wb") as opened:

            def give(data: bytes) -> bool:
                opened.write(data)
                return True

            self._objects.stream(self._path(entry.name), stamp_of(entry.meta), give)

    def create(self, name: str, content: Path | bytes) -> bool:
        """Write an object if its name is free; returns whether it was.

        Raises:
            OutputError: It cannot be put.
            NetworkError: The store no longer answers.
        """
        try:
            self._put(name, content, "create")
        except Exists:
            return False
        return True

    def replace(self, name: str, content: Path | bytes, version: UpdateVersion) -> bool:
        """Replace an object if it has not changed since it was read; returns whether it was replaced.

        Raises:
            OutputError: It cannot be put.
            NetworkError: The store no longer answers.
        """
        try:
            self._put(name, content, version)
        except Exists:
            return False
        return True

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, in order; one that is gone or may not be removed is no error.

        Raises:
            NetworkError: The store no longer answers.
        """
        paths = [self._path(name) for name in names]
        for start in range(0, len(paths), _REMOVED_TOGETHER):
            some = paths[start : start + _REMOVED_TOGETHER]
            try:
                self._client.change(lambda store, some=some: obstore.delete(store, some))  # type: ignore[misc]
            except Refused:
                # Some stores stop at an object that is gone.
                for path in some if len(some) > 1 else ():
                    with suppress(Refused):
                        self._client.change(lambda store, path=path: obstore.delete(store, [path]))  # type: ignore[misc]

    def each(self, work: Callable[[T], Any], items: Iterable[T]) -> None:
        """Work on many items at a time; the first exception ends it."""
        for _ in in_order(work, items, in_flight=OBJECTS_IN_FLIGHT):
            pass

    def _put(self, name: str, content: Path | bytes, mode: PutMode) -> None:
        path = self._path(name)
        if isinstance(content, Path) and content.stat().st_size > _MOST_BYTES:
            raise OutputError(
                f"{self.address}/{name}: object stores take at most {_MOST_BYTES >> 30} GiB in one piece, which "
                "publishing needs: write to a folder (`out`) and upload it"
            )
        try:
            self._client.change(lambda store: obstore.put(store, path, content, mode=mode, use_multipart=False))
        except Exists:
            raise
        except Denied as failure:
            raise OutputError(
                f"{self.address}/{name}: cannot be written: {self._client.denial(failure)}"
            ) from None
        except Refused as failure:
            # If the object to replace was removed, a store may answer that it is gone.
            if str(failure) == CHANGED or (isinstance(failure, Gone) and mode != "create"):
                raise Exists(THERE) from None
            reason = no_bucket(self.address.root) if isinstance(failure, Gone) else failure
            raise OutputError(f"{self.address}/{name}: cannot be written: {reason}") from None

    def _path(self, name: str) -> str:
        return f"{self.address.path}/{name}" if self.address.path else name


def _entry(name: str, meta: Any) -> Entry:
    # A store gives one of the two, or both.
    version = {key: meta[key] for key in ("e_tag", "version") if meta[key] is not None}
    return Entry(name, meta["last_modified"].timestamp(), cast("UpdateVersion", version), meta)
