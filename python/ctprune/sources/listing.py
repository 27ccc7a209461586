"""Listings of remote sources."""

from __future__ import annotations

from collections.abc import Sequence

from ctprune.errors import SourceError
from ctprune.sources.addresses import joined, locate, parse_address
from ctprune.sources.connections import OBJECTS_IN_FLIGHT, connect, connection_of
from ctprune.sources.crew import in_order
from ctprune.sources.dicomdir import dicomdir_of
from ctprune.sources.failures import Refused
from ctprune.sources.found import Stamp
from ctprune.sources.plan import Elsewhere


def listed(sources: Sequence[Elsewhere]) -> dict[str, list[str]]:
    """Paths of all objects of these addresses, by the manifest's `source` that they are relative to.

    Raises:
        SourceError: An address means nothing, or may not be listed.
        NetworkError: A server no longer answers.
    """
    found: dict[str, list[str]] = {}
    for result in in_order(_find, sources, in_flight=OBJECTS_IN_FLIGHT):
        for source, path in result[1] if result is not None else ():
            found.setdefault(source, []).append(path)
    return found


def found_at(address: str) -> list[tuple[str, Stamp]]:
    """All objects of an address: paths relative to its source, sizes and versions.

    Raises:
        ConfigError: The address cannot be used.
        SourceError: It means nothing, or may not be listed.
        NetworkError: The server no longer answers.
    """
    one = Elsewhere(parse_address(address))

    def find(_: Elsewhere) -> list[tuple[str, Stamp]]:
        pages = connect(one.address).find(one.address)
        return [(one.source_and_path(found.path)[1], found.stamp) for page in pages for found in page]

    results = in_order(find, [one], in_flight=1)
    return [found for result in results if result is not None for found in result[1]]


def members_of(source: str, path: str) -> list[str]:
    """Paths of all members of a remote container, relative to the same source as its own path.

    Empty if it is no container or cannot be read.

    Raises:
        NetworkError: The server no longer answers.
    """
    server, below = locate(joined(source, path))
    containers = connection_of(server).containers
    if containers is None:
        return []
    results = in_order(containers.names, [below], in_flight=1)
    try:
        return [f"{path}!/{name}" for result in results if result is not None for name in result[1]]
    except (Refused, SourceError):
        return []


def _find(one: Elsewhere) -> list[tuple[str, str]]:
    connection = connect(one.address)
    found = [found for page in connection.find(one.address) for found in page]
    dicomdir = dicomdir_of(connection, one.address, found)
    return [one.source_and_path(found.path) for found in (*found, *(dicomdir.beside if dicomdir else ()))]
