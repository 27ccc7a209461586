"""Room on a disk, asked for before hours of writing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ctprune.errors import OutputError


def check_space(folder: str | os.PathLike[str], needed: int) -> None:
    """See that the disk of a folder, which need not be there yet, has room for so many bytes.

    A disk that does not say how much is free is taken to have enough.

    Raises:
        OutputError: It has not.

    >>> check_space(".", 1)
    """
    there = Path(folder).absolute()
    while not there.exists():
        there = there.parent
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        return
    if needed > free:
        raise OutputError(
            f"{folder}: {_size(needed)} are needed on this disk, but only {_size(free)} are free: free space, "
            f"or name a folder on another disk"
        )


def _size(count: int) -> str:
    """Bytes as people write them.

    >>> _size(2_500_000), _size(3_210_000_000_000)
    ('2.5 MB', '3,210.0 GB')
    """
    return f"{count / 1e9:,.1f} GB" if count >= 10**9 else f"{count / 1e6:,.1f} MB"
