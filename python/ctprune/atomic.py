"""Write beside and rename into place: a result is there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ctprune.errors import CtpruneError, OutputError


@contextmanager
def replace_file(file: Path) -> Iterator[Path]:
    """Yield a path beside `file` to write to; it takes the place of `file` when the block ends well.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        os.replace(beside, file)
    except OSError as error:
        raise OutputError(f"{file}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


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
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    replaced = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        beside.mkdir(parents=True)
        yield beside
        if folder.exists():
            os.replace(folder, replaced)
        os.replace(beside, folder)
    except OutputError as error:
        # What lies below is named by where it would have gone.
        raise OutputError(str(error).replace(str(beside), str(folder))) from None
    except CtpruneError:
        raise
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def check_free(folder: Path) -> None:
    """Refuse a folder that holds something, or something else of its name."""
    if folder.is_dir():
        if any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty and nothing is overwritten: choose a new or an empty folder")
    elif folder.exists() or folder.is_symlink():
        raise OutputError(f"{folder} is not a folder: choose a new or an empty folder")


def check_writable(folder: Path) -> None:
    """Make a folder if need be and try to write to it: better now than after hours of work."""
    probe = folder / f".{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from None
