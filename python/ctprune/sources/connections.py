"""Connections, one for each bucket or server, kept for the life of the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from ctprune.environment.extras import extra
from ctprune.sources.addresses import Address
from ctprune.sources.failures import MOST_BYTES
from ctprune.sources.found import Found, Stamp

if TYPE_CHECKING:
    from ctprune.sources.containers import Containers
    from ctprune.sources.retries import Server

#: Requests at a time: object stores are made for hundreds, a hospital's archive is not.
OBJECTS_IN_FLIGHT, INSTANCES_IN_FLIGHT = 128, 16


class Connection(Protocol):
    """A bucket, a web server or a DICOMweb server; see `Objects`."""

    server: Server
    notes: list[str]

    @property
    def containers(self) -> Containers | None:
        """The zip and tar files there; None if there can be none."""

    def find(self, address: Address) -> Iterator[list[Found]]:
        """The objects of an address, some at a time."""

    def look(self, path: str) -> Stamp:
        """Current size and version of an object."""

    def read(
        self,
        path: str,
        stamp: Stamp | None,
        decides: Callable[[bytes], bool] | None = None,
        *,
        most: int = MOST_BYTES,
    ) -> bytes:
        """An object's bytes; raises `TooLarge` if there are more than `most`."""


_connections: dict[str, Connection] = {}
_lock = threading.Lock()


def connect(address: Address) -> Connection:
    """The connection to an address's bucket or server.

    Raises:
        MissingExtraError: The extra `cloud` or `dicomweb` is not installed.
        SourceError: The connection fails.
    """
    with _lock:
        if address.server not in _connections:
            _connections[address.server] = _connected(address)
        return _connections[address.server]


def connection_of(server: str) -> Connection:
    """The connection to a bucket or server, by its address without a path; see `connect`."""
    known = _connections.get(server)
    return connect(_server(server)) if known is None else known


def _server(server: str) -> Address:
    scheme, _, rest = server.partition("://")
    host, _, path = rest.partition("/")
    return Address(scheme, host, path)


def _connected(address: Address) -> Connection:
    if address.is_dicomweb:
        with extra("dicomweb", f"an address that begins with {address.scheme}://"):
            from ctprune.sources.dicomweb import Dicomweb
        return Dicomweb(_server(address.server), INSTANCES_IN_FLIGHT)
    with extra("cloud", f"an address that begins with {address.scheme}://"):
        from ctprune.sources.objects import Objects
    return Objects(_server(address.server), OBJECTS_IN_FLIGHT)


def forget() -> None:
    """Forget all connections, since the environment may have changed."""
    _connections.clear()


def _begin_anew() -> None:
    """Forget all connections after a fork: they belong to the parent."""
    global _lock
    forget()
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
