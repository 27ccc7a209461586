"""The bytes behind addresses: files, members of containers (`download.zip!/series/1.dcm`), objects elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ctprune import _core
from ctprune.errors import SourceError
from ctprune.sources.addresses import as_address, is_address

#: Ends the name of a container; what follows is the path of a member.
MARK = "!"


def container_of(address: str | os.PathLike[str]) -> str | None:
    """The file of the container that an address leads into.

    Returns:
        None for the address of a file.

    >>> container_of("/data/series/1.dcm") is None
    True
    """
    text = os.fspath(address)
    # Nearly all addresses have no mark, and Rust looks at the file system where one has.
    found = _core.container_of(text) if MARK in text else None
    return None if found is None else os.fspath(found)


def is_there(address: str | os.PathLike[str]) -> bool:
    """Whether there is a file or folder, or the container of a member."""
    return container_of(address) is not None or os.path.exists(address)


def opens(address: str | os.PathLike[str]) -> bool:
    """Whether an address is a path of this machine, which can be opened: no member, and no object elsewhere."""
    return container_of(address) is None and as_address(address) is None


def visit_bytes(
    addresses: Sequence[str | os.PathLike[str]],
    take: Callable[[int, bytes | str], object],
    *,
    max_slice_mb: int = 512,
) -> None:
    """Read files, or members of containers, and hand each over; a tar file that is packed is read once for all.

    Args:
        addresses: Where they are.
        take: Called with the index of an address and the file's bytes, or the reason why it cannot be read.
            Members of one container come in its order.
        max_slice_mb: Limit for one file in MiB.

    Raises:
        KeyboardInterrupt: The user stopped it.
    """
    texts = [as_address(address) or os.fspath(address) for address in addresses]
    here = [index for index, text in enumerate(texts) if not is_address(text)]
    elsewhere = [index for index, text in enumerate(texts) if is_address(text)]
    if elsewhere:
        # Not before there is an address: what asks servers takes time to load.
        from ctprune.sources.contents import fetch_each

        fetch_each([texts[index] for index in elsewhere], lambda number, content: take(elsewhere[number], content))
    if here:
        _core.visit_bytes(
            [texts[index] for index in here], max_slice_mb, lambda number, content: take(here[number], content)
        )


def each_content(
    addresses: Sequence[str | os.PathLike[str]],
    act: Callable[[int, bytes | None], object],
    *,
    max_slice_mb: int = 512,
) -> None:
    """Call `act` for each file, in order, and for each member of a container with its bytes.

    Args:
        addresses: Where they are.
        act: Called with the index of an address, and None for a file, which can be opened. A member that cannot be
            read has no bytes: b"".
        max_slice_mb: Limit for one member in MiB.
    """
    members = []
    for index, address in enumerate(addresses):
        if opens(address):
            act(index, None)
        else:
            members.append(index)
    if members:
        visit_bytes(
            [addresses[index] for index in members],
            lambda index, content: act(members[index], b"" if isinstance(content, str) else content),
            max_slice_mb=max_slice_mb,
        )


def read_bytes(address: str | os.PathLike[str], *, max_slice_mb: int = 512) -> bytes:
    """The bytes of one file, or member of a container.

    Raises:
        SourceError: It cannot be read.
    """
    found: list[bytes | str] = []
    visit_bytes([address], lambda _, content: found.append(content), max_slice_mb=max_slice_mb)
    content = found[0] if found else "it is gone"
    if isinstance(content, str):
        raise SourceError(f"{os.fspath(address)}: {content}")
    return content
