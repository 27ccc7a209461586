"""The client of a bucket or web server: connecting, retrying, and the meaning of failures.

Requests use obstore's blocking functions: its asynchronous ones can abort the process if it ends while a request
is in flight. obstore's own retries are off: they do not distinguish a failing object from a lost network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from obstore import exceptions
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from ctprune import _core
from ctprune.errors import SourceError
from ctprune.sources import failures
from ctprune.sources.addresses import Address
from ctprune.sources.credentials import ADVICE, credentials
from ctprune.sources.failures import Denied, Exists, Gone, NoRanges, Refused, Transient, of_status
from ctprune.sources.found import Stamp, version_of
from ctprune.sources.retries import Server

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

#: Seconds to wait for a connection, and for the next bytes of an answer.
_CONNECT_SECONDS, _READ_SECONDS = 10, 30

#: Connections that are kept open.
_MOST_IDLE = 512

#: What obstore raises; for a missing object it has no class of its own.
FAILURES = (exceptions.BaseError, FileNotFoundError)


class StoreClient:
    """The client of one bucket, container or web server.

    Attributes:
        root: Its address.
        server: Its health, as seen by all requests.
        notes: Sentences for the user about how it is read.

    Args:
        root: Its address.
        in_flight: Requests at a time.
    """

    def __init__(self, root: Address, in_flight: int) -> None:
        self.root = root
        self.server = Server(root.root, in_flight)
        self.notes: list[str] = []
        self._lock = Lock()
        found = credentials(root.scheme)
        self._has_credentials = found is not None
        self._store = self._connect(found)

    def ask(self, request: Callable[[ObjectStore], T]) -> T:
        """Read something, with retries; if the credentials fail, without them.

        Raises:
            Refused: The failure is final.
            NetworkError: The server no longer answers.
        """
        try:
            return self.change(request)
        except Denied:
            if not self._has_credentials:
                raise
            return self._ask_without_credentials(request)

    def change(self, request: Callable[[ObjectStore], T]) -> T:
        """Read or write with the credentials of this machine; raises as `ask` does."""
        return self.server.ask(lambda: _said(request, self._store))

    def denied(self, address: Address, failure: Denied) -> SourceError:
        """The sentence for a user who may not read an address."""
        return SourceError(f"{address}: {self.denial(failure)}")

    def denial(self, failure: Denied) -> str:
        """What was denied, and what to do."""
        whose = "with the credentials of this machine" if self._has_credentials else "without credentials"
        return f"{failure} {whose}: {ADVICE[self.root.scheme]}"

    def _ask_without_credentials(self, request: Callable[[ObjectStore], T]) -> T:
        """Try again without credentials: public buckets are open to all."""
        anonymous = self._connect(None)
        found = self.server.ask(lambda: _said(request, anonymous))
        with self._lock:
            if self._has_credentials:
                self._store, self._has_credentials = anonymous, False
                self.notes.append(
                    f"{self.root.root}: the credentials of this machine may not read it; it is public and read "
                    "without them"
                )
        return found

    def _connect(self, found: dict[str, Any] | None) -> ObjectStore:
        root = self.root
        client: dict[str, Any] = {
            "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=_READ_SECONDS),
            # For a whole answer, however large.
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


def stamp_of(meta: Any) -> Stamp:
    """Size and version of an object, from obstore's description."""
    mark = meta["e_tag"]
    if mark and not mark.endswith('"'):
        # Azure's listings give the ETag without its quotation marks, all other answers with them.
        mark = f'"{mark}"'
    return Stamp(int(meta["size"]), version_of(mark or str(meta["last_modified"])))


def _said(request: Callable[[ObjectStore], T], store: ObjectStore) -> T:
    try:
        return request(store)
    except FAILURES as error:
        raise _failure(error) from None


def _s3() -> dict[str, Any]:
    """Options that obstore does not take from the environment by itself."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return {"region": region or "us-east-1"} | ({"endpoint": endpoint} if endpoint else {})


def _allows_http(root: Address) -> bool:
    """Whether unencrypted connections are allowed: for http:// addresses, or if the environment says so."""
    names = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP")
    return root.scheme == "http" or any(os.environ.get(name, "").lower() in ("true", "1") for name in names)


def _failure(error: Exception) -> Transient | Refused:
    """What one of obstore's failures means."""
    kinds = {
        FileNotFoundError: Gone(failures.GONE),
        exceptions.PermissionDeniedError: Denied(failures.DENIED),
        exceptions.UnauthenticatedError: Denied(failures.UNKNOWN),
        exceptions.PreconditionError: Refused(failures.CHANGED),
        exceptions.AlreadyExistsError: Exists(failures.THERE),
        exceptions.InvalidPathError: Refused("the object's name cannot be requested"),
    }
    known = kinds.get(type(error))
    if known is not None:
        return known
    text = str(error)
    status = re.search(r"status code: (\d{3})", text) or re.search(r"\bstatus: (\d{3})", text)
    if status:
        return of_status(int(status[1]))
    if "NotPartial" in text or "RangeNotSupported" in text:
        return NoRanges("the server sent more than was requested")
    if "UnexpectedRange" in text:
        return Transient("the server sent a different part than was requested", alive=True)
    if "redirect" in text.lower():
        return Refused("the server redirects to another region: set AWS_REGION to the bucket's region")
    if "URL scheme is not allowed" in text or "builder error" in text:
        return Refused("the connection would be without encryption: set AWS_ALLOW_HTTP=true if you want that")
    if "TimedOut" in text or "timed out" in text:
        return Transient(failures.TIMED_OUT)
    return Transient(failures.NO_CONNECTION)
