"""Addresses of reductions in object stores."""

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
        ConfigError: It is no such address.

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
    """What lies below the address of a reduction; raises as `run_address` does."""
    address = run_address(text)
    with extra("cloud", f"a reduction at {address.scheme}://"):
        from ctprune.sources.prefix import Prefix
    return Prefix(address)


@contextmanager
def speaking_of(names: Mapping[Path, str]) -> Iterator[None]:
    """Errors of the block name what the user has named, in place of its copy on this machine."""
    try:
        yield
    except CtpruneError as error:
        error.args = tuple(said(part, names) if isinstance(part, str) else part for part in error.args)
        raise


def said(sentence: str, names: Mapping[Path, str]) -> str:
    """A sentence with other names for these folders.

    >>> said("copy/summary.json is damaged", {Path("copy"): "s3://bucket/run"})
    's3://bucket/run/summary.json is damaged'
    """
    for folder, name in names.items():
        sentence = sentence.replace(str(folder), name)
    return sentence


def temporary_folder(name: str) -> Path:
    """A new folder for this user alone.

    Args:
        name: Of what it is to hold a copy of.

    Raises:
        OutputError: No folder for temporary files can be written.
    """
    with writing_copy(name):
        return Path(tempfile.mkdtemp(prefix="ctprune-run-"))


def remove_temporary(folder: Path, owner: int) -> None:
    """Remove a temporary folder, if this is the process that made it: a fork's copies are its parent's."""
    if os.getpid() != owner:
        return
    gone = folder.with_name(f"{folder.name}.gone")
    # Renamed first, so that what is still being fetched after an error finds nowhere to write.
    with suppress(OSError):
        folder.rename(gone)
    for left in (folder, gone):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def writing_copy(name: str) -> Iterator[None]:
    """What keeps the block from writing a copy on this machine is one sentence.

    Args:
        name: Of what is copied.

    Raises:
        OutputError: The copy cannot be written.
    """
    try:
        yield
    except CtpruneError:
        # Some are errors of the system as well.
        raise
    except OSError as error:
        where = tempfile.tempdir or "any folder for temporary files"
        raise OutputError(f"{name}: cannot be copied to {where}: {error.strerror or error}: {_REMEDY}") from None


@contextmanager
def speaking_of_copy(folder: Path, name: str) -> Iterator[None]:
    """Errors of the block name a run in place of its copy, and say what to do where that cannot be written."""
    with speaking_of({folder: name}):
        try:
            yield
        except InUseError:
            raise
        except OutputError as error:
            # What cannot be put into the store is named by its address.
            if str(folder) in str(error):
                error.args = (f"{error}: its copy is in {folder.parent}: {_REMEDY}", *error.args[1:])
            raise
