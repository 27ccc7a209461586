"""Objects' bytes for readers outside the core, many fetched at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ctprune.sources.addresses import locate
from ctprune.sources.ahead import MOST_BYTES
from ctprune.sources.connections import OBJECTS_IN_FLIGHT, connection_of
from ctprune.sources.crew import in_order
from ctprune.sources.failures import Refused

#: Assumed size of an object before it arrives.
_GUESS = 1 << 20


def fetch_each(addresses: Sequence[str], take: Callable[[int, bytes | str], object]) -> None:
    """Call `take` for each object, in order, with the index of its address and its bytes, or why there are none.

    Raises:
        NetworkError: A server no longer answers.
    """
    fetched = in_order(
        _fetch, addresses, in_flight=OBJECTS_IN_FLIGHT, weigh=lambda address: _GUESS, most=MOST_BYTES
    )
    index = 0
    for result in fetched:
        if result is not None:
            take(index, result[1])
            index += 1


def _fetch(address: str) -> bytes | str:
    server, path = locate(address)
    try:
        return connection_of(server).read(path, None)
    except Refused as refusal:
        return str(refusal)
