"""Addresses of reductions in object stores."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ctprune.environment.extras import extra
from ctprune.errors import ConfigError, CtpruneError
from ctprune.sources.addresses import BUCKETS, Address, parse_address

if TYPE_CHECKING:
    from ctprune.sources.prefix import Prefix

#: The table in the folder of a reduction, or below its address.
MANIFEST_NAME = "manifest.parquet"


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


def temporary_folder() -> Path:
    """A new folder for this user alone, which is removed when the process ends."""
    folder, owner = Path(tempfile.mkdtemp(prefix="ctprune-run-")), os.getpid()

    def remove() -> None:
        # What a process that forked leaves is its parent's.
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
