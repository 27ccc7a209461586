"""What a step depends on, as a digest: its options and the names, sizes and times of its files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def digest_of(*parts: Any) -> str:
    """SHA-256, in hexadecimal, of what JSON can hold; the order of keys does not matter.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def listing_digest(paths: Iterable[Path]) -> str:
    """SHA-256 of the names, sizes and times of change of all files below; where the paths lie does not matter."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0".encode())
        for name, size, changed in sorted(_files(path)):
            digest.update(f"{name}\0{size}\0{changed}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(path: Path) -> Iterator[tuple[str, int, int]]:
    if path.is_file():
        about = path.stat()
        yield "", about.st_size, about.st_mtime_ns
        return
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            try:
                about = file.stat()
            except OSError:
                # A link that leads nowhere is no input.
                continue
            yield os.path.relpath(file, path), about.st_size, about.st_mtime_ns
