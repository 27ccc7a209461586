"""A checksum inside a Parquet file: one flipped bit anywhere, the footer included, is noticed when it is read.

Parquet's own checksums leave out the footer and the headers of pages. Readers find everything by the footer at
the end of a file, so a few bytes right before it disturb none of them: a mark, and the SHA-256 of all other bytes.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

_MARK = b"ctprune sha-256:"

_SEAL_BYTES = len(_MARK) + hashlib.sha256().digest_size

#: The length of the footer, and Parquet's magic.
_TAIL_BYTES = 8

_BLOCK = 1 << 20


def seal(file: Path) -> None:
    """Put the checksum into a Parquet file that has none.

    Raises:
        ValueError: It is no Parquet file.
        OSError: It cannot be written.
    """
    with file.open("r+b") as opened:
        start = _footer_start(opened)
        if start is None:
            raise ValueError(f"{file}: expected a Parquet file")
        opened.seek(start)
        footer = opened.read()
        digest = _digest(opened, [(0, start), (start, start + len(footer))])
        opened.seek(start)
        opened.write(_MARK + digest + footer)


def is_sealed(file: Path) -> bool:
    """Whether a file has the mark of a checksum, right or wrong.

    Raises:
        OSError: It cannot be read.
    """
    with file.open("rb") as opened:
        return _sealed_from(opened) is not None


def is_intact(file: Path) -> bool:
    """Whether a file has a checksum, and all its bytes are those that were sealed.

    Raises:
        OSError: It cannot be read.
    """
    with file.open("rb") as opened:
        start = _sealed_from(opened)
        if start is None:
            return False
        opened.seek(start + len(_MARK))
        expected = opened.read(_SEAL_BYTES - len(_MARK))
        size = opened.seek(0, os.SEEK_END)
        return _digest(opened, [(0, start), (start + _SEAL_BYTES, size)]) == expected


def _footer_start(opened: BinaryIO) -> int | None:
    size = opened.seek(0, os.SEEK_END)
    if size < _TAIL_BYTES:
        return None
    opened.seek(size - _TAIL_BYTES)
    tail = opened.read(_TAIL_BYTES)
    start = size - _TAIL_BYTES - int.from_bytes(tail[:4], "little")
    return start if tail[4:] == b"PAR1" and start >= 0 else None


def _sealed_from(opened: BinaryIO) -> int | None:
    """Where the mark is, if there is one."""
    footer = _footer_start(opened)
    if footer is None or footer < _SEAL_BYTES:
        return None
    opened.seek(footer - _SEAL_BYTES)
    return footer - _SEAL_BYTES if opened.read(len(_MARK)) == _MARK else None


def _digest(opened: BinaryIO, ranges: list[tuple[int, int]]) -> bytes:
    digest = hashlib.sha256()
    for start, stop in ranges:
        opened.seek(start)
        while start < stop:
            block = opened.read(min(_BLOCK, stop - start))
            if not block:
                break
            digest.update(block)
            start += len(block)
    return digest.digest()
