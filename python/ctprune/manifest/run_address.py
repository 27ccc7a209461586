"""Addresses of reductions in object stores, and their copies on this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ctprune.environment.extras import extra
from ctprune.errors import ConfigError, CtpruneError, InUseError, OutputError
from ctprune.sources.addresses import BUCKETS, Address, parse_address

if TYPE_CHECKING:
    from ctprune.sources.prefix import Prefix

#: The table in the folder of a reduction, or below its address.
MANIFEST_NAME = "manifest.parquet"

_REMEDY = "set TMPDIR to a folder with more room that can be written"


def run_address(text: str) -> Address:
    """The address of a reduction in an object store.

    Raises:
        ConfigError: The text is not such an address.

    >>> str(run_address("s3://bucket/runs/1/"))
    's3://bucket/runs/1'
    """
    address = parse_address(text)
    if address.scheme not in BUCKETS:
        expected = ", ".join(f"{scheme}://" for scheme in BUCKETS)
        raise ConfigError(
            f"{address}: expected the folder of a reduction, or an address of one that begins with {expected}"
        )
    path = address.path.strip("/")
    if not path or text.endswith("*"):
        raise ConfigError(f"{text}: expected the address of a reduction, such as {address.root}/run/")
    return Address(address.scheme, address.host, path)


def prefix_of(text: str) -> Prefix:
    """The objects below the address of a reduction; raises as `run_address` does."""
    address = run_address(text)
    with extra("cloud", f"a reduction at {address.scheme}://"):
        from ctprune.sources.prefix import Prefix
    return Prefix(address)


@contextmanager
def speaking_of(names: Mapping[Path, str]) -> Iterator[None]:
    """Errors of the block name what the user named, instead of its copy on this machine."""
    try:
        yield
    except CtpruneError as error:
        error.args = tuple(said(part, names) if isinstance(part, str) else part for part in error.args)
        raise


def said(sentence: str, names: Mapping[Path, str]) -> str:
    """A sentence with these folders' other names.

    >>> said("copy/summary.json is damaged", {Path("copy"): "s3://bucket/run"})
    's3://bucket/run/summary.json is damaged'
    """
    for folder, name in names.items():
        sentence = sentence.replace(str(folder), name)
    return sentence


def temporary_folder(name: str) -> Path:
    """A new temporary folder that only this user can read.

    Args:
        name: The name of what it will hold a copy of.

    Raises:
        OutputError: No folder for temporary files can be written.
    """
    with writing_copy(name):
        return Path(tempfile.mkdtemp(prefix="ctprune-run-"))


def remove_temporary(folder: Path, owner: int) -> None:
    """Remove a temporary folder if this process made it; after a fork, copies belong to the parent."""
    if os.getpid() != owner:
        return
    gone = folder.with_name(f"{folder.name}.gone")
    # Renamed first, so that fetches still running after an error find no folder to write to.
    with suppress(OSError):
        folder.rename(gone)
    for left in (folder, gone):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def writing_copy(name: str) -> Iterator[None]:
    """Turn errors of the block that writes a copy on this machine into one sentence.

    Args:
        name: The name of what is copied.

    Raises:
        OutputError: The copy cannot be written.
    """
    try:
        yield
    except CtpruneError:
        # Some of these are also errors of the system.
        raise
    except OSError as error:
        where = tempfile.tempdir or "any folder for temporary files"
        raise OutputError(f"{name}: cannot be copied to {where}: {error.strerror or error}: {_REMEDY}") from None


@contextmanager
def speaking_of_copy(folder: Path, name: str) -> Iterator[None]:
    """Errors of the block name a run instead of its copy, and say what to do if the copy cannot be written."""
    with speaking_of({folder: name}):
        try:
            yield
        except InUseError:
            raise
        except OutputError as error:
            # Errors of writing to the store name the address.
            if str(folder) in str(error):
                error.args = (f"{error}: its copy is in {folder.parent}: {_REMEDY}", *error.args[1:])
            raise
