"""Whether objects have changed, with many requests at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ctprune.sources.addresses import MARK, locate
from ctprune.sources.connections import OBJECTS_IN_FLIGHT, connection_of
from ctprune.sources.crew import in_order
from ctprune.sources.failures import Gone, Refused
from ctprune.sources.found import Stamp


def look(addresses: Sequence[str]) -> dict[str, Stamp | str | None]:
    """Current size and version of each object; None if it is gone, or the reason if the server does not say.

    For a member of a container, the version is the container's, and there is no size.

    Raises:
        NetworkError: A server no longer answers.
        MissingExtraError: The extra `cloud` or `dicomweb` is not installed.
    """
    # One request for all members of a container.
    whole = {address: address.partition(MARK)[0] for address in addresses}
    found = _looked_at(whole.values())
    # Unless it is no container.
    alone = [address for address, container in whole.items() if address != container and found[container] is None]
    found |= _looked_at(alone)
    for address, container in whole.items():
        if address not in found:
            stamp = found[container]
            found[address] = Stamp(0, stamp.version) if isinstance(stamp, Stamp) else stamp
    return {address: found[address] for address in addresses}


def _looked_at(addresses: Iterable[str]) -> dict[str, Stamp | str | None]:
    found = in_order(_look, dict.fromkeys(addresses), in_flight=OBJECTS_IN_FLIGHT)
    return dict(result for result in found if result is not None)


def _look(address: str) -> Stamp | str | None:
    server, path = locate(address)
    try:
        return connection_of(server).look(path)
    except Gone:
        return None
    except Refused as refusal:
        return str(refusal)
