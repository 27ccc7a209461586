"""The folder of a reduction on this machine, wherever the reduction is."""

from __future__ import annotations

import os
from pathlib import Path

from ctprune.errors import ConfigError, ManifestError
from ctprune.manifest.run_address import MANIFEST_NAME, prefix_of, run_address
from ctprune.sources.addresses import BUCKETS, as_address, parse_address

#: Copies of this process, by address and by what the store says of the manifest there.
_COPIES: dict[tuple[str, str], Path] = {}


def is_remote_run(path: str | os.PathLike[str]) -> bool:
    """Whether this is an address below which there is a reduction."""
    text = as_address(path)
    if text is None:
        return False
    address = parse_address(text)
    if address.scheme not in BUCKETS or not address.path.strip("/") or text.endswith("*"):
        return False
    return prefix_of(text).entry(MANIFEST_NAME) is not None


def local_run(path: str | os.PathLike[str], *, parts: bool = False) -> Path:
    """The folder of a reduction on this machine: the one that is named, or a copy of one in an object store.

    A copy is kept while the process lives, and made anew when the reduction has changed.

    Args:
        path: Folder or address.
        parts: Whether a copy has what was read and is not in the manifest yet, and embeddings; else there must be
            a manifest.

    Raises:
        ConfigError: It is an address of something else.
        ManifestError: There is no reduction at the address, or it is not whole.
        SourceError: It may not be read.
        NetworkError: The store no longer answers.
    """
    text = as_address(path)
    if text is None:
        return Path(path)
    # Not before there is an address.
    from ctprune.manifest.remote_run import RemoteRun

    if parts:
        run = RemoteRun(text)
        run.fetch(heals=False)
        return run.folder
    found = prefix_of(text).entry(MANIFEST_NAME)
    if found is None:
        raise ManifestError(f"{text}: expected the address of a reduction with {MANIFEST_NAME}, found none")
    key = str(run_address(text)), repr(found.version)
    if key not in _COPIES:
        run = RemoteRun(text)
        run.fetch(parts=False, embeddings=False, heals=False)
        _COPIES[key] = run.folder
    return _COPIES[key]


def folder_to_write(path: str | os.PathLike[str], out: str | os.PathLike[str] | None, example: str) -> Path:
    """Where a command writes: what it was told, or the reduction's folder.

    Args:
        path: Folder or address of the reduction, or its manifest.
        out: What the command was told.
        example: What it could be told, such as `sweep/`.

    Raises:
        ConfigError: The reduction is in an object store, where only reductions are published.
    """
    if out is not None:
        return Path(out)
    text = as_address(path)
    if text is not None:
        raise ConfigError(
            f"out is missing: {text} is not on this machine: name where to write, such as `out` {example}",
            field="out",
        )
    return Path(path) if Path(path).is_dir() else Path(path).parent
