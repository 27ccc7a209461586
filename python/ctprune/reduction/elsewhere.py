"""The remote part of a reduction: listed and fetched here, decoded by the Rust core."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from ctprune import _core
from ctprune.errors import NetworkError
from ctprune.sources.addresses import MARK, locate
from ctprune.sources.ahead import MOST_BYTES
from ctprune.sources.connections import Connection, connect, connection_of
from ctprune.sources.crew import crew, finished, in_order
from ctprune.sources.dicomdir import Dicomdir, dicomdir_of
from ctprune.sources.failures import Broken, NoRanges, Refused, TooLarge
from ctprune.sources.found import Found, Stamp
from ctprune.sources.header_first import HeaderFirst
from ctprune.sources.plan import Elsewhere

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ctprune.reduction.config import ReduceConfig
    from ctprune.sources.objects import Objects
    from ctprune.sources.opened import Feeding

#: Objects that the core decodes together, per thread.
_TOGETHER = 8

#: Objects that are taken from the queue together.
_QUEUED_TOGETHER = 1 << 12

#: Range of the assumed size of an instance of unknown size. Larger instances are read alone when it is their turn.
#: The more requests run at a time, the smaller the assumed size, so that all of them find room.
_LARGEST_GUESS, _SMALLEST_GUESS = 16 << 20, 4 << 20

#: Bytes that a file may have besides the pixels of a slice, as for members of containers.
_BESIDE_PIXELS = 64 << 20

#: Tar files that are in flight at a time, including the one being read.
_STREAMS = 2

#: Seconds that a portion of reading takes while a tar file arrives.
_PORTION = 0.2

#: Number, address, size and version of an object.
Queued = tuple[int, str, int, int]

#: From this many addresses on, each is listed as a whole, many at a time, instead of page by page.
_MANY = 16


class Fetching:
    """Lists and fetches remote objects of a reduction, and passes them to the core in order.

    Args:
        archive: The reduction in progress.
        sources: The remote sources.
        config: The reduction's options. A file is held in memory as a whole and may have 64 MiB more than
            `max_slice_mb`; `io` requests run at a time, and 0 chooses by the kind of server.
        threads: Threads of the core.
    """

    def __init__(
        self,
        archive: _core.Archive,
        sources: Sequence[Elsewhere],
        config: ReduceConfig,
        threads: int,
    ) -> None:
        self._archive = archive
        self._sources = sources
        self._together = _TOGETHER * threads
        self._connections: dict[str, Connection] = {}
        for one in sources:
            if one.address.server not in self._connections:
                connection = connect(one.address)
                if config.io:
                    connection.server.limit(config.io)
                self._connections[one.address.server] = connection
        self._seen: set[tuple[str, str]] = set()
        self._queued = 0
        #: Folders whose names look like a container with its mark.
        self._folders: set[tuple[str, str]] = set()
        self._tars: list[tuple[Objects, str, Stamp, _core.Feed]] = []
        self._in_flight = sum(one.server.in_flight for one in self._connections.values())
        self._most = (config.max_slice_mb << 20) + _BESIDE_PIXELS
        fair = MOST_BYTES // (2 * self._in_flight)
        self._guess = min(self._most, max(_SMALLEST_GUESS, min(_LARGEST_GUESS, fair)))
        self._header_first = HeaderFirst(partial(_core.header_decides, modality=config.modality))

    def find(self) -> Iterator[None]:
        """List all sources into the archive; yields a few times a second.

        Raises:
            SourceError: An address means nothing, or may not be listed.
            NetworkError: A server no longer answers.
        """
        if len(self._sources) < _MANY:
            for one in self._sources:
                yield from self._find_by_pages(one)
        else:
            for result in in_order(self._find_all, self._sources, in_flight=self._in_flight):
                if result is not None:
                    self._add(result[0], *result[1])
                yield
        yield from self._open_containers()

    def read(self) -> Iterator[None]:
        """Have the archive read all remote objects; yields a few times a second.

        Raises:
            NetworkError: A server no longer answers.
        """
        yield from self._read_queue()
        # Objects that turned out to be containers have members to read.
        while (yield from self._open_containers()):
            yield from self._read_queue()
        yield from self._read_streams()

    def _read_queue(self) -> Iterator[None]:
        ready: list[tuple[int, bytes | str]] = []
        fetched = in_order(
            self._fetch, self._queue(), in_flight=self._in_flight, weigh=self._weight, most=MOST_BYTES
        )
        try:
            for result in fetched:
                if result is not None:
                    queued, data = result
                    if isinstance(data, TooLarge) and not queued[2]:
                        data = yield from self._fetch_alone(queued)
                    if isinstance(data, TooLarge):
                        self._archive.refuse_remote(queued[0], f"{data}, or raise `max_slice_mb`", "E-TOO-LARGE")
                    else:
                        ready.append((queued[0], data))
                if ready and (result is None or len(ready) >= self._together):
                    self._archive.read_remote(ready)
                    ready = []
                yield
        except NetworkError:
            # So the next run need not fetch these again.
            self._archive.read_remote(ready)
            raise
        if ready:
            self._archive.read_remote(ready)
            yield

    def _open_containers(self) -> Generator[None, None, bool]:
        """List the members of containers into the archive; returns whether there were any containers."""
        found = self._archive.take_remote_containers()
        opened = in_order(self._open, found, in_flight=self._in_flight)
        for result in opened:
            if result is not None:
                self._take_in(*result)
            yield
        return bool(found)

    def _open(self, queued: Queued) -> _core.ZipDirectory | bytes | Refused | None:
        """A zip file's directory, a tar file's first bytes, or why there is neither; None for other files."""
        _, address, size, version = queued
        server, path = locate(address)
        objects = _objects(server)
        if objects is None:
            return Refused("a container, where instances of DICOM belong")
        if (server, path) in self._folders:
            return Refused("")
        stamp = Stamp(size, version)
        try:
            head = objects.head(path, stamp)
            kind = _core.container_kind_by_head(path.rpartition("/")[2], head)
            return objects.containers.directory(path, stamp) if kind == "zip" else head if kind else None
        except NoRanges:
            return NoRanges("the server sends no parts of files, which reading a zip file requires: download it")
        except Refused as refusal:
            return refusal

    def _take_in(self, queued: Queued, opened: _core.ZipDirectory | bytes | Refused | None) -> None:
        file, address, size, version = queued
        if opened is None:
            self._archive.put_back_remote(file)
        elif isinstance(opened, Refused):
            self._archive.refuse_remote(file, str(opened) or None, _code_of(opened))
        elif isinstance(opened, bytes):
            server, path = locate(address)
            objects, feed = _objects(server), _core.Feed()
            assert objects is not None
            self._tars.append((objects, path, Stamp(size, version), feed))
            self._archive.open_remote_tar(file, feed, opened)
        else:
            self._archive.open_remote_zip(file, opened)

    def _read_streams(self) -> Iterator[None]:
        """Read tar files as they arrive, the last one first, in the order in which the archive opens them."""
        from ctprune.sources.opened import feeding

        feeds = [feed for *_, feed in self._tars]
        running: list[tuple[Feeding, _core.Feed]] = []
        try:
            while self._tars or running:
                while self._tars and len(running) < _STREAMS:
                    objects, path, stamp, feed = self._tars.pop()
                    running.append((feeding(objects, path, stamp, feed), feed))
                more = self._archive.read(_PORTION)
                for thread, _ in running:
                    # A file that the archive cannot read becomes a row; a silent server ends the run.
                    if thread.failure is not None and not isinstance(thread.failure, Refused):
                        raise thread.failure
                running = [(thread, feed) for thread, feed in running if more and not feed.is_closed()]
                yield
        finally:
            for feed in feeds:
                feed.close()

    def facts(self) -> dict[str, int]:
        """Numbers for the summary: retries, and bytes that were not read."""
        return {
            "retries": sum(one.server.retries for one in self._connections.values()),
            "bytes_not_read": self._header_first.bytes_saved,
        }

    def notes(self) -> list[str]:
        """Sentences for the user about how servers are read."""
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
            looked: Future[Dicomdir | None] = crew(1).submit(partial(self._dicomdir, one, found))
            while not finished(looked, 0.2):
                yield
            self._add(one, found, looked.result())
            yield

    def _find_all(self, one: Elsewhere) -> tuple[list[Found], Dicomdir | None]:
        pages = self._connections[one.address.server].find(one.address)
        found = [found for page in pages for found in page]
        return found, self._dicomdir(one, found)

    def _dicomdir(self, one: Elsewhere, found: list[Found]) -> Dicomdir | None:
        return dicomdir_of(self._connections[one.address.server], one.address, found)

    def _add(self, one: Elsewhere, found: list[Found], dicomdir: Dicomdir | None) -> None:
        if dicomdir is not None:
            source, path = one.source_and_path(dicomdir.path)
            beside = [(one.source_and_path(below)[1], *stamp) for below, stamp in dicomdir.beside]
            self._archive.add_found_dicomdir(source, path, dicomdir.content, beside)
            return
        if one.address.is_dicomweb and len(self._sources) > 1:
            # Two searches may find the same object.
            found = [instance for instance in found if (one.address.server, instance.path) not in self._seen]
            self._seen.update((one.address.server, instance.path) for instance in found)
        for path, _ in found:
            if MARK in path and path != one.address.path:
                self._note_folder(one.address.server, path)
        by_source: dict[str, list[tuple[str, int, int]]] = {}
        for path, stamp in found:
            source, below = one.source_and_path(path)
            by_source.setdefault(source, []).append((below, *stamp))
        for source, those in by_source.items():
            self._archive.add_found(source, those)

    def _note_folder(self, server: str, path: str) -> None:
        """Note that a listing has found something in a folder whose name ends in a container's mark."""
        containers = self._connections[server].containers
        at = path.find(MARK)
        while containers is not None and at >= 0:
            containers.is_no_container(path[:at])
            self._folders.add((server, path[:at]))
            at = path.find(MARK, at + 1)

    def _queue(self) -> Iterator[Queued]:
        while queued := self._archive.remote(self._queued, self._queued + _QUEUED_TOGETHER):
            self._queued += len(queued)
            yield from queued

    def _weight(self, queued: Queued) -> int:
        return queued[2] or self._guess

    def _fetch(self, queued: Queued) -> bytes | str | TooLarge:
        """Bytes of an object, or why there are none; only the first bytes if these are enough to refuse it."""
        return self._read(queued, self._most if queued[2] else self._guess)

    def _fetch_alone(self, queued: Queued) -> Generator[None, None, bytes | str | TooLarge]:
        """The bytes of an instance that is larger than assumed, fetched alone."""
        found = crew(1).submit(partial(self._read, queued, self._most))
        while not finished(found, 0.2):
            yield
        return found.result()

    def _read(self, queued: Queued, most: int) -> bytes | str | TooLarge:
        _, address, size, version = queued
        server, path = locate(address)
        try:
            decides = self._header_first.deciding(path, size)
            data = connection_of(server).read(path, Stamp(size, version), decides, most=most)
        except TooLarge as refusal:
            return refusal
        except Refused as refusal:
            return str(refusal)
        if decides is None:
            self._header_first.learn(path, data)
        return data


def _code_of(refused: Refused) -> str:
    """The code of a container that cannot be read."""
    if isinstance(refused, Broken):
        return "E-CORRUPT"
    return "E-ARCHIVE" if isinstance(refused, NoRanges) or not str(refused) else "E-NETWORK"


def _objects(server: str) -> Objects | None:
    """The connection to a bucket or web server; None for other servers."""
    connection = connection_of(server)
    return None if connection.containers is None else cast("Objects", connection)
