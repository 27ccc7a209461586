"""Write beside and rename into place: a result is there whole or not at all, also after a power cut.

An unfinished result lies in a folder `.NAME.PID-RANDOM.part` beside its target, and its writer holds a lock in it.
The lock ends with the process however that ends, by which the next writer of the target finds what to remove.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ctprune.errors import CtpruneError, OutputError
from ctprune.files.run_lock import NAME as _LOCK
from ctprune.files.run_lock import take

#: How the names of parts end.
_PART = r"\.\d+-[0-9a-f]{8}\.part"

#: Where the old target waits while the new folder moves to its place.
_OLD = ".old"

#: From this number of files on, the whole system writes once, instead of one file after the other.
_MANY = 256

#: How file systems say that they cannot flush, and folders that they cannot be opened for it.
_NO_FLUSH = frozenset(
    {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM}
)


@contextmanager
def replace_file(file: Path) -> Iterator[Path]:
    """Yield a path to write to, of the same name; it takes the place of `file` when the block ends well.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    try:
        make_folder(file.parent)
        with _beside(file) as beside:
            yield beside
            _flush(beside)
            os.replace(beside, file)
            _flush(file.parent)
    except CtpruneError:
        raise
    except OSError as error:
        raise OutputError(f"{file}: cannot be written: {error.strerror or error}") from None


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; it takes that name when the block ends well.

    Raises:
        OutputError: `folder` holds something already, or cannot be written.
    """
    check_free(folder)
    with replace_folder(folder) as beside:
        yield beside


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; it takes the place of `folder` when the block ends well.

    Raises:
        OutputError: `folder` cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    # What lies below is named by where it would have gone.
    beside = folder
    try:
        make_folder(folder.parent)
        with _beside(folder) as beside:
            beside.mkdir()
            yield beside
            _flush_tree(beside)
            _put_in_place(beside, folder)
            _flush(folder.parent)
    except OutputError as error:
        raise OutputError(str(error).replace(str(beside), str(folder))) from None
    except CtpruneError:
        raise
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from None


def check_free(folder: Path) -> None:
    """Refuse a folder that holds something, or something else of its name.

    Locks and unfinished results of dead processes do not count.
    """
    if folder.is_dir():
        if not all(path.name == _LOCK or re.fullmatch(rf"\..+{_PART}", path.name) for path in folder.iterdir()):
            raise OutputError(
                f"{folder} is not empty, and nothing is overwritten: choose a new or an empty folder"
            )
    elif folder.exists() or folder.is_symlink():
        raise OutputError(f"{folder} is not a folder: choose a new or an empty folder")


def check_writable(folder: Path) -> None:
    """Make a folder if it is missing and try to write to it: better now than after hours of work."""
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from None


@contextmanager
def folder_for_results(folder: Path) -> Iterator[None]:
    """Make a folder as `check_writable` does; if nothing has been written to it in the end, remove it again."""
    check_writable(folder)
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()


def make_folder(folder: Path) -> None:
    """Make a folder and those around it that are missing, on the disk: what is put there later needs their names.

    Raises:
        OSError: It cannot be made.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _flush(folder.parent)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A path of the target's name in a locked folder beside it; removes those that dead processes left."""
    _sweep(target)
    part, lock = _locked_part(target)
    try:
        yield part / target.name
    finally:
        _clear(part, target, lock)


def _locked_part(target: Path) -> tuple[Path, int]:
    while True:
        # The process's number is for people: numbers come again, and containers have the same ones.
        part = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
        lock = None
        try:
            part.mkdir()
            lock = os.open(part / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            if _taken(lock) is not False and os.path.samestat(os.fstat(lock), os.stat(part / _LOCK)):
                return part, lock
        except (FileExistsError, FileNotFoundError):
            # The name was taken, or another process took this for a dead one's before it had a lock.
            if not target.parent.is_dir():
                raise
        if lock is not None:
            os.close(lock)


def _sweep(target: Path) -> None:
    """Remove unfinished results of dead processes for a target; those of living ones stay."""
    pattern = re.compile(rf"\.{re.escape(target.name)}{_PART}", re.DOTALL)
    with os.scandir(target.parent) as entries:
        parts = [Path(entry.path) for entry in entries if pattern.fullmatch(entry.name)]
    for part in parts:
        try:
            lock = os.open(part / _LOCK, os.O_RDWR)
        except FileNotFoundError:
            # Its process was killed before it had a lock, or has just begun and will begin again.
            with suppress(OSError):
                part.rmdir()
            continue
        except OSError:
            continue
        if _taken(lock):
            _clear(part, target, lock)
        else:
            os.close(lock)


def _taken(lock: int) -> bool | None:
    """Whether this process now holds the lock; None where the file system has no locks to tell by."""
    try:
        take(lock)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def _clear(part: Path, target: Path, lock: int) -> None:
    """Remove a part whose lock this process holds; an old target that was moved there goes back if none came."""
    try:
        with suppress(OSError):
            if (part / _OLD).exists() and not target.exists():
                os.replace(part / _OLD, target)
        # The lock goes last, or another process could take this for a part without one.
        for name in (target.name, _OLD):
            shutil.rmtree(part / name, ignore_errors=True)
            with suppress(OSError):
                (part / name).unlink(missing_ok=True)
        if os.name == "nt":
            # An open file cannot be removed there.
            os.close(lock)
        shutil.rmtree(part, ignore_errors=True)
    finally:
        if os.name != "nt":
            os.close(lock)


def _put_in_place(beside: Path, folder: Path) -> None:
    """Rename a folder to its target's name; when several writers do so at once, the last one's stays."""
    old = beside.with_name(_OLD)
    while True:
        shutil.rmtree(old, ignore_errors=True)
        try:
            if os.path.lexists(folder):
                with suppress(FileNotFoundError):
                    os.replace(folder, old)
            os.replace(beside, folder)
            return
        except OSError as error:
            # Another writer's folder came there between the two.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def _flush_tree(folder: Path) -> None:
    """Wait until everything in a folder is on the disk, before the folder gets its name."""
    below = list(os.walk(folder, topdown=False))
    paths = [Path(at, name) for at, _, names in below for name in names if not Path(at, name).is_symlink()]
    if len(paths) > _MANY and hasattr(os, "sync"):
        os.sync()
        return
    for path in (*paths, *(Path(at) for at, _, _ in below)):
        _flush(path)


def _flush(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk, where the file system can tell."""
    try:
        # Windows flushes only what is open for writing, and no folders.
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except OSError as error:
        if error.errno in _NO_FLUSH:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)
