"""Objects of S3, Google Cloud Storage, Azure and web servers, through obstore.

Requests are made with obstore's blocking functions in the crew's threads: its asynchronous ones can abort the
process when that ends while a request is in flight. Its own retries are off, since it cannot tell an object's
trouble from a lost network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from ctprune import _core
from ctprune.errors import SourceError
from ctprune.sources import failures
from ctprune.sources.addresses import BUCKETS, MARK, Address
from ctprune.sources.containers import Containers
from ctprune.sources.credentials import ADVICE, credentials
from ctprune.sources.crew import Crew, in_order
from ctprune.sources.failures import Denied, Exhausted, Gone, NoMember, NoRanges, Refused, Transient, of_status
from ctprune.sources.found import Found, Stamp, version_of
from ctprune.sources.retries import Server

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore

T = TypeVar("T")

#: Seconds to wait for a connection, and for the next bytes of an answer.
_CONNECT_SECONDS, _READ_SECONDS = 10, 30

#: Connections that are kept open.
_MOST_IDLE = 512

_LISTED_TOGETHER = 1000

#: Objects above are not read: they would have to be in memory as a whole.
MOST_BYTES = 8 << 30

#: Bytes of an object that is read from its start to its end that are asked for together, and how often at a time.
_PORTION, _PORTIONS_IN_FLIGHT = 4 << 20, 8

#: Threads for these: whoever waits for a whole object may be one of the crew.
_STREAMING = Crew()

#: What obstore raises; it has no class of its own for what is not there.
_FAILURES = (exceptions.BaseError, FileNotFoundError)

#: Bytes of an object that hold most headers.
HEAD = 64 << 10


class _Pages:
    """The pages of a listing; after a failure it continues where it stopped."""

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
        except _FAILURES:
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
        self._lock = Lock()
        self.server = Server(root.root, in_flight)
        #: A sentence on how it is read that the user should know.
        self.notes: list[str] = []
        #: Zip and tar files there.
        self.containers = Containers(self)
        found = credentials(root.scheme)
        self._has_credentials = found is not None
        self._store = self._connect(found)

    def find(self, address: Address) -> Iterator[list[Found]]:
        """What an address means, some objects at a time, with paths below the bucket or server.

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
        """Size and version of an object as it is now; of a member the container's version, and no size.

        Raises:
            Refused: It is gone or may not be read.
            NetworkError: The server no longer answers.
        """
        found = self.containers.within(path) if MARK in path else None
        return self.look_at(self._decoded(path)) if found is None else Stamp(0, self.look_at(found[0]).version)

    def look_at(self, path: str) -> Stamp:
        """Size and version of an object, wherever its path seems to lead; see `look`."""
        return _stamp(self._ask(lambda store: obstore.head(store, path)))

    def read(self, path: str, stamp: Stamp | None, decides: Callable[[bytes], bool] | None = None) -> bytes:
        """The bytes of an object, or of a member of a container.

        Args:
            path: Below the bucket or server.
            stamp: Size and version that it had when it was found; None takes any.
            decides: Called with its first bytes: whether nothing else need be read. None reads all at once.

        Raises:
            Refused: It is gone, has changed, is too large or may not be read.
            NetworkError: The server no longer answers.
        """
        found = self.containers.within(path) if MARK in path else None
        if found is not None:
            try:
                return self.containers.read(*found, None if stamp is None else stamp.version)
            except NoMember as refusal:
                try:
                    # It may be an object in a folder of such a name.
                    self.look_at(self._decoded(path))
                except Gone:
                    raise refusal from None
        path = self._decoded(path)
        if decides is None or stamp is None:
            return self._ask(lambda store: self._range(store, path, None, stamp)[0])
        try:
            head, mark = self.part(path, (0, HEAD), stamp)
        except NoRanges:
            return self._ask(lambda store: self._range(store, path, None, stamp)[0])
        if len(head) == stamp.size or decides(head):
            return head
        rest, _ = self.part(path, (len(head), stamp.size), stamp, mark)
        return head + rest

    def part(
        self, path: str, part: tuple[int, int], stamp: Stamp, mark: str | None = None
    ) -> tuple[bytes, str | None]:
        """Bytes of an object from one offset to another, and its ETag; with `mark` only if it still has that one.

        Raises:
            NoRanges: The server sends it as a whole only.
            Refused: It is gone, has changed or may not be read.
            NetworkError: The server no longer answers.
        """
        return self._ask(lambda store: self._range(store, path, part, stamp, mark))

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
        """Give all bytes of an object, in order and some at a time, until nobody wants more.

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
                # A whole archive hangs on it, and by now it can be said whether the server answers anybody.
                return self.part(path, part, stamp, mark)[0]

        if not give(first):
            return
        portions = in_order(portion, starts[1:], in_flight=_PORTIONS_IN_FLIGHT, threads=_STREAMING)
        for result in portions:
            if result is not None and not give(result[1]):
                portions.close()
                return

    def _stream_whole(self, path: str, stamp: Stamp, give: Callable[[bytes], bool]) -> None:
        """Give all bytes of an object of a server that sends no parts; after a failure from where it was."""
        given = 0

        def once(store: ObjectStore) -> None:
            nonlocal given
            result = obstore.get(store, path)
            self.server.is_alive()
            if _stamp(result.meta) != stamp:
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

        self._ask(once)

    def _decoded(self, path: str) -> str:
        """The path of an object of which the part behind a mark may still be escaped."""
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
    ) -> tuple[bytes, str | None]:
        """Bytes of a part of an object, or of all, and its ETag."""
        options: GetOptions = {} if part is None else {"range": part}
        if mark is not None:
            options["if_match"] = mark
        result = obstore.get(store, path, options=options)
        self.server.is_alive()
        found = _stamp(result.meta)
        if stamp is not None and found != stamp:
            raise Refused(failures.CHANGED)
        if found.size > MOST_BYTES:
            raise Refused(f"objects of more than {MOST_BYTES >> 30} GiB are not read: download it")
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
            raise SourceError(f"{address}: {failures.GONE}") from None
        except Denied as failure:
            raise self._denied(address, failure) from None
        except Refused as failure:
            raise SourceError(f"{address}: {failure}") from None

    def _listed(self, address: Address) -> Iterator[list[Found]]:
        anything = False
        pages = _Pages(address.path.rpartition("/")[0])
        while True:
            try:
                metas = self._ask(pages.following)
            except Denied as failure:
                raise self._denied(address, failure) from None
            except Refused as failure:
                raise SourceError(f"{address}: {failure}") from None
            if not metas:
                break
            found = [
                Found(meta["path"], _stamp(meta))
                for meta in metas
                if meta["path"].startswith(address.path) and not _is_folder(meta)
            ]
            anything = anything or bool(found)
            yield found
        if not anything:
            raise SourceError(f"{address}: no such object, and none below it")

    def _ask(self, request: Callable[[ObjectStore], T]) -> T:
        def said() -> T:
            try:
                return request(self._store)
            except _FAILURES as error:
                raise _failure(error) from None

        try:
            return self.server.ask(said)
        except Denied:
            if not self._has_credentials:
                raise
            return self._ask_without_credentials(request)

    def _ask_without_credentials(self, request: Callable[[ObjectStore], T]) -> T:
        """Try what the credentials do not open without any: public buckets are open to all."""
        anonymous = self._connect(None)

        def said() -> T:
            try:
                return request(anonymous)
            except _FAILURES as error:
                raise _failure(error) from None

        found = self.server.ask(said)
        with self._lock:
            if self._has_credentials:
                self._store, self._has_credentials = anonymous, False
                self.notes.append(
                    f"{self._root.root}: the credentials of this machine may not read it; it is public and read "
                    "without them"
                )
        return found

    def _denied(self, address: Address, failure: Denied) -> SourceError:
        whose = "with the credentials of this machine" if self._has_credentials else "without credentials"
        return SourceError(f"{address}: {failure} {whose}: {ADVICE[address.scheme]}")

    def _connect(self, found: dict[str, Any] | None) -> ObjectStore:
        root = self._root
        client: dict[str, Any] = {
            "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=_READ_SECONDS),
            # For an answer as a whole, however large.
            "timeout": timedelta(hours=6),
            "pool_max_idle_per_host": str(_MOST_IDLE),
            "user_agent": f"ctprune/{_core.__version__}",
            "allow_http": _allows_http(root),
        }
        retries: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
        common: dict[str, Any] = {"client_options": client, "retry_config": retries}
        given = {"skip_signature": True} if found is None else found
        try:
            if root.scheme == "s3":
                return S3Store(root.host, **_s3(), **given, **common)
            if root.scheme == "gs":
                return GCSStore(root.host, **given, **common)
            if root.scheme == "az":
                return AzureStore(root.host, **given, **common)
            return HTTPStore(root.root, **common)
        except exceptions.BaseError as error:
            reason = str(error).partition("\n")[0]
            raise SourceError(f"{root.root}: {reason}: {ADVICE[root.scheme]}") from None


def _s3() -> dict[str, Any]:
    """What obstore does not take from the environment by itself."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return {"region": region or "us-east-1"} | ({"endpoint": endpoint} if endpoint else {})


def _allows_http(root: Address) -> bool:
    """Whether to speak without encryption: to who was named so, and where the environment says so."""
    names = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP")
    return root.scheme == "http" or any(os.environ.get(name, "").lower() in ("true", "1") for name in names)


def _stamp(meta: Any) -> Stamp:
    return Stamp(int(meta["size"]), version_of(meta["e_tag"] or str(meta["last_modified"])))


def _is_folder(meta: Any) -> bool:
    """Whether an empty object stands for a folder, as consoles of object stores make them."""
    return bool(meta["size"] == 0 and meta["path"].endswith("/"))


def _failure(error: Exception) -> Transient | Refused:
    """What a failure of obstore's means."""
    kinds = {
        FileNotFoundError: Gone(failures.GONE),
        exceptions.PermissionDeniedError: Denied(failures.DENIED),
        exceptions.UnauthenticatedError: Denied(failures.UNKNOWN),
        exceptions.PreconditionError: Refused(failures.CHANGED),
        exceptions.InvalidPathError: Refused("the object's name cannot be asked for"),
    }
    known = kinds.get(type(error))
    if known is not None:
        return known
    text = str(error)
    status = re.search(r"status code: (\d{3})", text) or re.search(r"\bstatus: (\d{3})", text)
    if status:
        return of_status(int(status[1]))
    if "NotPartial" in text or "RangeNotSupported" in text:
        return NoRanges("the server sends more than was asked for")
    if "UnexpectedRange" in text:
        return Transient("the server sent another part than was asked for", alive=True)
    if "redirect" in text.lower():
        return Refused("the server sends the reader elsewhere: set AWS_REGION to the bucket's region")
    if "URL scheme is not allowed" in text or "builder error" in text:
        return Refused("the server is spoken to without encryption: set AWS_ALLOW_HTTP=true if that is meant")
    if "TimedOut" in text or "timed out" in text:
        return Transient(failures.TIMED_OUT)
    return Transient(failures.NO_CONNECTION)
