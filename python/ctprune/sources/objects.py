"""Objects in S3, Google Cloud Storage, Azure and on web servers: listings and bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import obstore
from obstore import exceptions

from ctprune.errors import SourceError
from ctprune.sources import failures
from ctprune.sources.addresses import BUCKETS, MARK, Address
from ctprune.sources.containers import Containers
from ctprune.sources.crew import Crew, in_order
from ctprune.sources.failures import (
    MOST_BYTES,
    Denied,
    Exhausted,
    Gone,
    NoMember,
    NoRanges,
    Refused,
    TooLarge,
    Transient,
)
from ctprune.sources.found import Found, Stamp
from ctprune.sources.store_client import FAILURES, StoreClient, stamp_of

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore

_LISTED_TOGETHER = 1000

#: For an object that is read from start to end: bytes per request, and requests at a time.
_PORTION, _PORTIONS_IN_FLIGHT = 4 << 20, 8

#: Threads of its own: whoever waits for a whole object may itself be a thread of the crew.
_STREAMING = Crew()

#: The first bytes of an object, enough for most headers.
HEAD = 64 << 10


class _Pages:
    """The pages of a listing, which continues after a failure where it stopped."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._after: str | None = None
        self._pages: Iterator[Any] | None = None

    def following(self, store: ObjectStore) -> list[Any]:
        """The next page; empty at the end."""
        if self._pages is None:
            found = obstore.list(store, self._folder or None, offset=self._after, chunk_size=_LISTED_TOGETHER)
            self._pages = iter(found)
        try:
            metas = list(next(self._pages, []))
        except FAILURES:
            self._pages = None
            raise
        if metas:
            self._after = metas[-1]["path"]
        return metas


class Objects:
    """One bucket, container or web server.

    Args:
        root: Its address.
        in_flight: Requests at a time.
    """

    def __init__(self, root: Address, in_flight: int) -> None:
        self._root = root
        self.client = StoreClient(root, in_flight)
        self.server, self.notes = self.client.server, self.client.notes
        #: Zip and tar files there.
        self.containers = Containers(self)

    def find(self, address: Address) -> Iterator[list[Found]]:
        """The objects of an address, some at a time, with paths below the bucket or server.

        Raises:
            SourceError: There is nothing, or it may not be listed.
        """
        if address.scheme not in BUCKETS:
            yield [self._one(address)]
            return
        if not address.every:
            try:
                yield [self._one(address)]
                return
            except Gone:
                pass
            address = Address(address.scheme, address.host, address.path + "/", True)
        yield from self._listed(address)

    def look(self, path: str) -> Stamp:
        """Current size and version of an object; for a member the container's version, and no size.

        Raises:
            Refused: It is gone or may not be read.
            NetworkError: The server no longer answers.
        """
        found = self.containers.within(path) if MARK in path else None
        return self.look_at(self._decoded(path)) if found is None else Stamp(0, self.look_at(found[0]).version)

    def look_at(self, path: str) -> Stamp:
        """Size and version of an object, even if its path seems to lead into a container; see `look`."""
        return stamp_of(self.client.ask(lambda store: obstore.head(store, path)))

    def read(
        self,
        path: str,
        stamp: Stamp | None,
        decides: Callable[[bytes], bool] | None = None,
        *,
        most: int = MOST_BYTES,
    ) -> bytes:
        """The bytes of an object, or of a member of a container.

        Args:
            path: Below the bucket or server.
            stamp: Size and version that it had when it was found; None accepts any.
            decides: Called with its first bytes; returns whether these are enough. None reads all at once.
            most: The most bytes that an object may have.

        Raises:
            TooLarge: It has more.
            Refused: It is gone, has changed or may not be read.
            NetworkError: The server no longer answers.
        """
        found = self.containers.within(path) if MARK in path else None
        if found is not None:
            try:
                return self.containers.read(*found, None if stamp is None else stamp.version)
            except NoMember as refusal:
                try:
                    # It may be an object in a folder whose name looks like a container's.
                    self.look_at(self._decoded(path))
                except Gone:
                    raise refusal from None
        path = self._decoded(path)
        if decides is None or stamp is None:
            return self._whole(path, stamp, most)
        try:
            head, mark = self.part(path, (0, HEAD), stamp)
        except NoRanges:
            return self._whole(path, stamp, most)
        if len(head) == stamp.size or decides(head):
            return head
        if stamp.size > most:
            raise TooLarge(most)
        rest, _ = self.part(path, (len(head), stamp.size), stamp, mark)
        return head + rest

    def _whole(self, path: str, stamp: Stamp | None, most: int) -> bytes:
        return self.client.ask(lambda store: self._range(store, path, None, stamp, most=most)[0])

    def part(
        self, path: str, part: tuple[int, int], stamp: Stamp, mark: str | None = None
    ) -> tuple[bytes, str | None]:
        """Bytes of an object from one offset to another, and its ETag, which must be `mark` if that is given.

        Raises:
            NoRanges: The server sends only whole objects.
            Refused: It is gone, has changed or may not be read.
            NetworkError: The server no longer answers.
        """
        return self.client.ask(lambda store: self._range(store, path, part, stamp, mark))

    def head(self, path: str, stamp: Stamp) -> bytes:
        """The first bytes of an object.

        Raises:
            Refused: It is gone, has changed or may not be read.
            NetworkError: The server no longer answers.
        """
        try:
            return self.part(path, (0, HEAD), stamp)[0]
        except NoRanges:
            first: list[bytes] = []

            def take(portion: bytes) -> bool:
                first.append(portion)
                return False

            self._stream_whole(path, stamp, take)
            return first[0] if first else b""

    def stream(self, path: str, stamp: Stamp, give: Callable[[bytes], bool]) -> None:
        """Pass all bytes of an object on, in order and some at a time, until no more are wanted.

        Raises:
            Refused: It is gone, has changed or may not be read.
            NetworkError: The server no longer answers.
        """
        starts = range(0, stamp.size, _PORTION)
        if not starts:
            return
        try:
            first, mark = self.part(path, (0, min(_PORTION, stamp.size)), stamp)
        except NoRanges:
            self._stream_whole(path, stamp, give)
            return

        def portion(start: int) -> bytes:
            part = start, min(start + _PORTION, stamp.size)
            try:
                return self.part(path, part, stamp, mark)[0]
            except Exhausted:
                # A whole archive depends on it, and by now it is known whether the server answers at all.
                return self.part(path, part, stamp, mark)[0]

        if not give(first):
            return
        portions = in_order(portion, starts[1:], in_flight=_PORTIONS_IN_FLIGHT, threads=_STREAMING)
        for result in portions:
            if result is not None and not give(result[1]):
                portions.close()
                return

    def _stream_whole(self, path: str, stamp: Stamp, give: Callable[[bytes], bool]) -> None:
        """Pass on all bytes of an object from a server that sends no parts; a failure does not start it anew."""
        given = 0

        def once(store: ObjectStore) -> None:
            nonlocal given
            result = obstore.get(store, path)
            self.server.is_alive()
            if stamp_of(result.meta) != stamp:
                raise Refused(failures.CHANGED)
            at = 0
            try:
                for chunk in result.stream(min_chunk_size=_PORTION):
                    new = bytes(chunk)[max(0, given - at) :]
                    at += len(chunk)
                    given = max(given, at)
                    if new and not give(new):
                        return
            except exceptions.BaseError:
                raise Transient(failures.CUT_SHORT, alive=True) from None
            if at != stamp.size:
                raise Transient(failures.CUT_SHORT, alive=True)

        self.client.ask(once)

    def _decoded(self, path: str) -> str:
        """The path of an object, with the part after a container's mark decoded."""
        if MARK not in path or self._root.scheme in BUCKETS:
            return path
        before, _, behind = path.partition(MARK)
        return f"{before}{MARK}{unquote(behind)}"

    def _range(
        self,
        store: ObjectStore,
        path: str,
        part: tuple[int, int] | None,
        stamp: Stamp | None,
        mark: str | None = None,
        most: int | None = None,
    ) -> tuple[bytes, str | None]:
        """Bytes of a part of an object, or of the whole object if that has at most `most`, and its ETag."""
        options: GetOptions = {} if part is None else {"range": part}
        if mark is not None:
            options["if_match"] = mark
        result = obstore.get(store, path, options=options)
        self.server.is_alive()
        found = stamp_of(result.meta)
        if stamp is not None and found != stamp:
            raise Refused(failures.CHANGED)
        if most is not None and found.size > most:
            raise TooLarge(most)
        start, stop = part or (0, found.size)
        try:
            data = bytes(result.bytes())
        except exceptions.BaseError:
            raise Transient(failures.CUT_SHORT, alive=True) from None
        if len(data) != min(stop, found.size) - start:
            raise Transient(failures.CUT_SHORT, alive=True)
        return data, result.meta["e_tag"]

    def _one(self, address: Address) -> Found:
        path = address.path
        try:
            found = self.containers.within(path) if MARK in path else None
            if found is not None:
                return Found(path, self.containers.stamp(*found))
            return Found(path, self.look_at(self._decoded(path)))
        except Gone:
            if address.scheme in BUCKETS:
                raise
            raise SourceError(f"{address}: the server has no such file (404)") from None
        except Denied as failure:
            raise self.client.denied(address, failure) from None
        except Refused as failure:
            raise SourceError(f"{address}: {failure}") from None

    def _listed(self, address: Address) -> Iterator[list[Found]]:
        anything = False
        pages = _Pages(address.path.rpartition("/")[0])
        while True:
            try:
                metas = self.client.ask(pages.following)
            except Denied as failure:
                raise self.client.denied(address, failure) from None
            except Gone:
                raise SourceError(f"{address}: {failures.no_bucket(address.root)}") from None
            except Refused as failure:
                raise SourceError(f"{address}: {failure}") from None
            if not metas:
                break
            found = [
                Found(meta["path"], stamp_of(meta))
                for meta in metas
                if meta["path"].startswith(address.path) and not _is_folder(meta)
            ]
            anything = anything or bool(found)
            yield found
        if not anything:
            raise SourceError(f"{address}: no such object, and none below it")


def _is_folder(meta: Any) -> bool:
    """Whether an empty object stands for a folder, as the consoles of object stores create it."""
    return bool(meta["size"] == 0 and meta["path"].endswith("/"))
