"""One writer at a time: a lock of the operating system on a folder, which ends with the process however that ends.

The package filelock could replace `take`, the few lines that differ between systems. It does not: tried with
version 4.3, it

- leaves its file behind when a lock is released. To remove it, and to notice that another process has removed it,
  would still be done here;
- falls back, where the file system has no locks (ENOSYS), to a file with the number of the process and the name of
  the machine that stays after SIGKILL. Other such answers (ENOLCK, EOPNOTSUPP) raise an error: nothing is written;
- adds 30 ms of imports to each command that writes.

Over NFS it calls the same `flock`, which Linux maps to a lock of the server since 2.6.12.
Source: the manual page flock(2), "NFS details".
"""

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
        """Lock an open file for this process. Raises PermissionError where another holds it, else OSError."""
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def take(descriptor: int) -> None:
        """Lock an open file for this process. Raises BlockingIOError where another holds it, else OSError."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold a folder for this process while the block runs; afterwards the lock's file is gone.

    Where the file system has no locks, as on some networks, the block runs without one.

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
        # The file was removed by its last holder in between: nobody else sees this lock.
        os.close(descriptor)


def _release(descriptor: int, file: Path) -> None:
    if sys.platform == "win32":
        # An open file cannot be removed. If another process has opened it by now, it stays and is that one's.
        os.close(descriptor)
        with suppress(OSError):
            file.unlink()
    else:
        # In the other order, this could remove a file that another process holds by then.
        with suppress(OSError):
            file.unlink()
        os.close(descriptor)


def _is_there(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except OSError:
        return False
