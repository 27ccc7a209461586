"""Whether objects are still what they were, many asked for at a time."""

from __future__ import annotations

from collections.abc import Sequence

from ctprune.sources.addresses import locate
from ctprune.sources.connections import OBJECTS_IN_FLIGHT, connection_of
from ctprune.sources.crew import in_order
from ctprune.sources.failures import Gone, Refused
from ctprune.sources.found import Stamp


def look(addresses: Sequence[str]) -> dict[str, Stamp | str | None]:
    """Size and version of each object as it is now; None where it is gone, a text that says why nobody can say.

    Raises:
        NetworkError: A server no longer answers.
        MissingExtraError: The extra `cloud` or `dicomweb` is not installed.
    """
    found: dict[str, Stamp | str | None] = {}
    for result in in_order(_look, dict.fromkeys(addresses), in_flight=OBJECTS_IN_FLIGHT):
        if result is not None:
            address, stamp = result
            found[address] = stamp
    return found


def _look(address: str) -> Stamp | str | None:
    server, path = locate(address)
    try:
        return connection_of(server).look(path)
    except Gone:
        return None
    except Refused as refusal:
        return str(refusal)
