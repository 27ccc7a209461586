"""A remote DICOMDIR and the files that it may list: in a bucket, on a web server or in a container there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from ctprune import _core
from ctprune.sources.addresses import BUCKETS, MARK, Address
from ctprune.sources.connections import OBJECTS_IN_FLIGHT, Connection
from ctprune.sources.crew import Crew, in_order
from ctprune.sources.failures import Gone, Refused
from ctprune.sources.found import Found, Stamp

if TYPE_CHECKING:
    from ctprune.sources.objects import Objects

#: Threads of its own: whoever waits for all of them may itself be a thread of the crew.
_LOOKING = Crew()

#: Endings that files may have received since they were listed; on a web server, names can only be tried.
_ENDINGS = ("", ".dcm", ".DCM")


class Dicomdir(NamedTuple):
    """A DICOMDIR and what lies beside it.

    Attributes:
        path: Below the bucket or server.
        content: Its bytes; empty if they cannot be read.
        beside: The files that it may list.
    """

    path: str
    content: bytes
    beside: list[Found]


def dicomdir_of(connection: Connection, address: Address, found: Sequence[Found]) -> Dicomdir | None:
    """The DICOMDIR that an address names; None if it names something else.

    Args:
        connection: To its bucket or server.
        address: The named address.
        found: The objects that it means.

    Raises:
        SourceError: The files beside it may not be listed.
        NetworkError: The server no longer answers.
    """
    path = address.path
    is_one = [one.path for one in found] == [path] and _core.is_dicomdir(path.rpartition("/")[2])
    if not is_one or connection.containers is None:
        return None
    objects = cast("Objects", connection)
    try:
        content = objects.read(path, None)
        return Dicomdir(path, content, list(_beside(objects, address, content)))
    except Refused:
        # The file becomes a row that says so.
        return Dicomdir(path, b"", [])


def _beside(objects: Objects, address: Address, content: bytes) -> Sequence[Found]:
    path = address.path
    inside = objects.containers.within(path) if MARK in path else None
    if inside is not None:
        container, _ = inside
        return objects.containers.members(container)
    folder = path[: len(path) - len(path.rpartition("/")[2])]
    if address.scheme in BUCKETS:
        pages = objects.find(Address(address.scheme, address.host, folder, True))
        return [one for page in pages for one in page]
    try:
        listed = _core.dicomdir_files(content)
    except ValueError:
        return []

    def look(names: list[str]) -> Found | None:
        exact = "/".join(names)
        for name in dict.fromkeys(f"{name}{ending}" for name in (exact, exact.lower()) for ending in _ENDINGS):
            try:
                return Found(f"{folder}{name}", objects.look_at(f"{folder}{name}"))
            except Gone:
                continue
            except Refused:
                # The file is there; reading it gives the reason why it cannot be read.
                return Found(f"{folder}{name}", Stamp(0, 0))
        return None

    looked = in_order(look, listed, in_flight=OBJECTS_IN_FLIGHT, threads=_LOOKING)
    return [result[1] for result in looked if result is not None and result[1] is not None]
