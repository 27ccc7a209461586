"""One writer at a time: an operating system's lock on a folder, which ends with the process however that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ctprune.errors import InUseError, OutputError

NAME = ".lock"

if sys.platform == "win32":
    import msvcrt

    def take(descriptor: int) -> None:
        """Lock an open file for this process, or raise OSError: PermissionError where another holds it."""
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def take(descriptor: int) -> None:
        """Lock an open file for this process, or raise OSError: BlockingIOError where another holds it."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold a folder for this process while the block runs; the file of the lock is gone afterwards.

    Where the file system knows no locks (some network ones), the block runs without.

    Raises:
        InUseError: Another process, or another thread of this one, holds it.
        OutputError: The folder cannot be written.
    """
    file = folder / NAME
    descriptor = _lock(file)
    try:
        yield
    finally:
        _release(descriptor, file)


def _lock(file: Path) -> int:
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise OutputError(f"{file.parent}: cannot be written: {error.strerror or error}") from None
        try:
            take(descriptor)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            raise InUseError(
                f"{file.parent} is in use by another ctprune: wait until it is done or choose another folder"
            ) from None
        except OSError:
            return descriptor
        if _is_there(file, descriptor):
            return descriptor
        # Whoever held it has removed the file in between: this lock is on one that nobody else sees.
        os.close(descriptor)


def _release(descriptor: int, file: Path) -> None:
    if sys.platform == "win32":
        # An open file cannot be removed; if another process has it open by now, it stays and is theirs.
        os.close(descriptor)
        with suppress(OSError):
            file.unlink()
    else:
        # The other way round would remove a file that another process holds by then.
        with suppress(OSError):
            file.unlink()
        os.close(descriptor)


def _is_there(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except OSError:
        return False
