"""Checksums of ctprune's own files, so that a damaged disk or copy is told and not computed with.

Large arrays get a CRC-32 per block: it finds every flipped bit and runs at some 4 GB/s on a core, SHA-256 at 2.
What is small, JSON and weights, gets a SHA-256.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

#: Bytes that one CRC-32 is taken of.
BLOCK = 64 << 20

#: Bytes that are read at a time.
_PART = 1 << 20

#: Where sealed JSON has its checksum.
_SEAL = "sha256"


class BlockChecksums:
    """CRC-32 of each block of a file that is written from its beginning to its end.

    >>> checksums = BlockChecksums()
    >>> checksums.update(b"123456789")
    >>> checksums.text()
    'cbf43926'
    """

    def __init__(self) -> None:
        self._blocks: list[int] = []
        self._room = 0

    def update(self, written: bytes | memoryview) -> None:
        """Take these bytes in."""
        left = memoryview(written).cast("B")
        while len(left):
            if not self._room:
                self._blocks.append(0)
                self._room = BLOCK
            part = left[: self._room]
            self._blocks[-1] = zlib.crc32(part, self._blocks[-1])
            self._room -= len(part)
            left = left[len(part) :]

    def replace_first(self, checksum: int) -> None:
        """Say what the first block is after all, when its beginning was written last."""
        self._blocks[0] = checksum

    def text(self) -> str:
        """All of them in hexadecimal."""
        return " ".join(f"{checksum:08x}" for checksum in self._blocks)


def fits(file: Path, expected: str, *, threads: int = 0) -> bool:
    """Whether a file has these checksums (`BlockChecksums.text`) and no byte more; reads all of it.

    Raises:
        OSError: It cannot be read.
    """
    blocks = expected.split()
    size = file.stat().st_size
    if len(blocks) != -(-size // BLOCK):
        return False
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        found = pool.map(lambda number: block_checksum(file, number), range(len(blocks)))
        return all(f"{checksum:08x}" == block for checksum, block in zip(found, blocks, strict=True))


def block_checksum(file: Path, number: int) -> int:
    """CRC-32 of a block, counted from 0."""
    checksum, left = 0, BLOCK
    with file.open("rb") as opened:
        opened.seek(number * BLOCK)
        while part := opened.read(min(_PART, left)):
            checksum = zlib.crc32(part, checksum)
            left -= len(part)
    return checksum


def seal(content: dict[str, Any]) -> str:
    """JSON with a checksum of its own.

    >>> unseal(seal({"mean": 0.1}))
    {'mean': 0.1}
    """
    return json.dumps(content | {_SEAL: _digest(content)}, indent=2) + "\n"


def unseal(text: str) -> dict[str, Any]:
    """The reverse of `seal`.

    Raises:
        ValueError: The text is not what it was.

    >>> unseal(seal({"mean": 0.1}).replace("0.1", "0.3"))
    Traceback (most recent call last):
    ValueError: the checksum does not match
    """
    content = json.loads(text)
    if not isinstance(content, dict) or content.pop(_SEAL, None) != _digest(content):
        raise ValueError("the checksum does not match")
    return content


def _digest(content: dict[str, Any]) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: The file cannot be read.
    """
    import hashlib

    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while part := opened.read(_PART):
            digest.update(part)
    return digest.hexdigest()
