"""Objects of a listing, and the stamps that show whether they have changed."""

from __future__ import annotations

from typing import NamedTuple


class Stamp(NamedTuple):
    """Size and version of an object, as they stand in the manifest.

    Attributes:
        size: Bytes; 0 if the server does not say.
        version: 63 bits that change when the object does.
    """

    size: int
    version: int


class Found(NamedTuple):
    """One object of a listing.

    Attributes:
        path: Relative to the source.
        stamp: Its size and version.
    """

    path: str
    stamp: Stamp


def version_of(*marks: str) -> int:
    """63 bits that identify a state of an object, from its ETag or what a server gives instead.

    >>> version_of('"abc"') == version_of('"abc"') != version_of('"abd"')
    True
    """
    import hashlib

    digest = hashlib.blake2b("\0".join(marks).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
