"""The part of a reduction that is not on this machine: listed and fetched here, read by the Rust core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ctprune import _core
from ctprune.sources.addresses import locate
from ctprune.sources.ahead import MOST_BYTES
from ctprune.sources.connections import Connection, connect, connection_of
from ctprune.sources.crew import crew, finished, in_order
from ctprune.sources.failures import Refused
from ctprune.sources.found import Found, Stamp
from ctprune.sources.header_first import HeaderFirst
from ctprune.sources.plan import Elsewhere

if TYPE_CHECKING:
    from concurrent.futures import Future

#: Objects that the core reads together, for each thread.
_TOGETHER = 8

#: Objects of the queue that are looked at together.
_QUEUED_TOGETHER = 1 << 12

#: What an object of unknown size is taken for.
_GUESS = 1 << 20

#: Addresses from which on each is listed as a whole, many at a time, in place of page by page.
_MANY = 16


class Fetching:
    """Lists and fetches what a reduction reads of other machines, and hands it to the core in order.

    Args:
        archive: The reduction in progress.
        sources: What is to be found.
        modality: DICOM Modality to read.
        io: Requests at a time; 0 leaves it to the kind of server.
        threads: Threads of the core.
    """

    def __init__(
        self,
        archive: _core.Archive,
        sources: Sequence[Elsewhere],
        *,
        modality: str,
        io: int,
        threads: int,
    ) -> None:
        self._archive = archive
        self._sources = sources
        self._together = _TOGETHER * threads
        self._connections: dict[str, Connection] = {}
        for one in sources:
            if one.address.server not in self._connections:
                connection = connect(one.address)
                if io:
                    connection.server.limit(io)
                self._connections[one.address.server] = connection
        self._seen: set[tuple[str, str]] = set()
        self._in_flight = sum(one.server.in_flight for one in self._connections.values())
        self._header_first = HeaderFirst(partial(_core.header_decides, modality=modality))

    def find(self) -> Iterator[None]:
        """Give the archive all that is found; yields a few times a second.

        Raises:
            SourceError: An address means nothing, or may not be listed.
            NetworkError: A server no longer answers.
        """
        if len(self._sources) < _MANY:
            for one in self._sources:
                yield from self._find_by_pages(one)
            return
        for result in in_order(self._find_all, self._sources, in_flight=self._in_flight):
            if result is not None:
                self._add(*result)
            yield

    def read(self) -> Iterator[None]:
        """Have the archive read it all; yields a few times a second.

        Raises:
            NetworkError: A server no longer answers.
        """
        ready: list[tuple[int, bytes | str]] = []
        fetched = in_order(self._fetch, self._queue(), in_flight=self._in_flight, weigh=_weight, most=MOST_BYTES)
        for result in fetched:
            if result is not None:
                (file, *_), data = result
                ready.append((file, data))
            if ready and (result is None or len(ready) >= self._together):
                self._archive.read_remote(ready)
                ready = []
            yield
        if ready:
            self._archive.read_remote(ready)
            yield

    def facts(self) -> dict[str, int]:
        """Numbers for the summary: how often something was tried again, and bytes that were not read."""
        return {
            "retries": sum(one.server.retries for one in self._connections.values()),
            "bytes_not_read": self._header_first.bytes_saved,
        }

    def notes(self) -> list[str]:
        """Sentences on how servers are read that the user should know."""
        return [note for one in self._connections.values() for note in one.notes]

    def _find_by_pages(self, one: Elsewhere) -> Iterator[None]:
        pages = self._connections[one.address.server].find(one.address)
        while True:
            page: Future[list[Found] | None] = crew(1).submit(partial(next, pages, None))
            while not finished(page, 0.2):
                yield
            found = page.result()
            if found is None:
                return
            self._add(one, found)
            yield

    def _find_all(self, one: Elsewhere) -> list[Found]:
        pages = self._connections[one.address.server].find(one.address)
        return [found for page in pages for found in page]

    def _add(self, one: Elsewhere, found: list[Found]) -> None:
        if one.address.is_dicomweb and len(self._sources) > 1:
            # Two searches may find the same.
            found = [instance for instance in found if (one.address.server, instance.path) not in self._seen]
            self._seen.update((one.address.server, instance.path) for instance in found)
        by_source: dict[str, list[tuple[str, int, int]]] = {}
        for path, stamp in found:
            source, below = one.source_and_path(path)
            by_source.setdefault(source, []).append((below, *stamp))
        for source, those in by_source.items():
            self._archive.add_found(source, those)

    def _queue(self) -> Iterator[tuple[int, str, int, int]]:
        start = 0
        while queued := self._archive.remote(start, start + _QUEUED_TOGETHER):
            yield from queued
            start += len(queued)

    def _fetch(self, queued: tuple[int, str, int, int]) -> bytes | str:
        """Bytes of an object, or why there are none; only its beginning where that is enough to refuse it."""
        _, address, size, version = queued
        server, path = locate(address)
        try:
            decides = self._header_first.deciding(path, size)
            data = connection_of(server).read(path, Stamp(size, version), decides)
        except Refused as refusal:
            return str(refusal)
        if decides is None:
            self._header_first.learn(path, data)
        return data


def _weight(queued: tuple[int, str, int, int]) -> int:
    return queued[2] or _GUESS
