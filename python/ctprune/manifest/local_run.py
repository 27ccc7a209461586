"""The folder of a reduction on this machine: its own, or a copy of a remote one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ctprune.errors import ConfigError, ManifestError, SourceError
from ctprune.manifest.run_address import MANIFEST_NAME, prefix_of, run_address
from ctprune.sources.addresses import BUCKETS, as_address, parse_address

if TYPE_CHECKING:
    from ctprune.manifest.remote_run import RemoteRun

#: Runs that this process has copied, by address and by the store's version of the manifest.
_COPIES: dict[tuple[str, str], RemoteRun] = {}


def is_remote_run(path: str | os.PathLike[str]) -> bool:
    """Whether this is an address with a readable reduction below it."""
    text = as_address(path)
    if text is None:
        return False
    address = parse_address(text)
    if address.scheme not in BUCKETS or not address.path.strip("/") or text.endswith("*"):
        return False
    try:
        return prefix_of(text).entry(MANIFEST_NAME) is not None
    except SourceError:
        # To a user who may read objects but not list them, a missing object looks like a denied one.
        return False


def local_run(path: str | os.PathLike[str]) -> Path:
    """The folder of a finished reduction: the named one, or a copy of one in an object store.

    A copy exists while the process lives, and is renewed if the reduction has changed. It has no embeddings until
    `add_embeddings` is called.

    Args:
        path: Folder or address.

    Raises:
        ConfigError: It is an address of something else.
        ManifestError: There is no reduction at the address, or it is not whole.
        SourceError: It may not be read.
        NetworkError: The store no longer answers.
        OutputError: The copy cannot be written.
    """
    text = as_address(path)
    if text is None:
        return Path(path)
    # Imported only for an address.
    from ctprune.manifest.remote_run import RemoteRun

    found = prefix_of(text).entry(MANIFEST_NAME)
    if found is None:
        raise ManifestError(f"{text}: expected the address of a reduction with {MANIFEST_NAME}, found none")
    key = str(run_address(text)), repr(found.version)
    if key not in _COPIES:
        run = RemoteRun(text)
        try:
            run.fetch(parts=False, embeddings=False, heals=False)
        except BaseException:
            # Now, not only when nothing refers to the error any more.
            run.remove_copy()
            raise
        # If another thread was faster, all use its copy.
        _COPIES.setdefault(key, run)
    return _COPIES[key].folder


def add_embeddings(folder: Path) -> None:
    """Add the reduction's embeddings to the folder that `local_run` gave; raises as `local_run` does."""
    for run in list(_COPIES.values()):
        if run.folder == folder:
            run.fetch_embeddings()


@contextmanager
def whole_run(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The folder of a reduction, finished or not, with all its files; a copy is removed after the block.

    Args:
        path: Folder or address.

    Raises:
        ConfigError: It is an address of something else.
        ManifestError: The reduction is incomplete.
        SourceError: It may not be read or listed.
        NetworkError: The store no longer answers.
        OutputError: The copy cannot be written.
    """
    with _copied(path, lambda run: run.fetch(heals=False)) as folder:
        yield folder


@contextmanager
def stages_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder with the current stage of each shard: the reduction's own, or a copy of a remote one.

    Args:
        path: Folder or address; raises as `whole_run`.
    """
    with _copied(path, lambda run: run.fetch_stages()) as folder:
        yield folder


@contextmanager
def _copied(path: str | os.PathLike[str], fetch: Callable[[RemoteRun], object]) -> Iterator[Path]:
    text = as_address(path)
    if text is None:
        yield Path(path)
        return
    # Imported only for an address, since it needs an extra.
    from ctprune.manifest.remote_run import RemoteRun

    run = RemoteRun(text)
    try:
        with run.speaking_of_it():
            fetch(run)
        yield run.folder
    finally:
        run.remove_copy()


def folder_to_write(path: str | os.PathLike[str], out: str | os.PathLike[str] | None, example: str) -> Path:
    """The folder to which a command writes: the given one, or the reduction's.

    Args:
        path: Folder or address of the reduction, or its manifest.
        out: The folder that the command was given, if any.
        example: An example of a folder, such as `sweep/`, for the error.

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
