"""Digests of the inputs of a step: its options and the content of its files.

Paths and times of files do not matter, except for files on a server, whose version the server names. Of a task's
folder, only the images that the task lists count.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any

from ctprune.environment.progress import Count, Operation
from ctprune.files.contents import Contents
from ctprune.files.members import container_of
from ctprune.manifest.manifest import FILE_NAME
from ctprune.options.shared import CLASSES
from ctprune.sources.addresses import as_address
from ctprune.tasks import list_task
from ctprune.tasks.columns import columns_of

#: The file of weights in a pre-training's folder.
_BACKBONE = "backbone.safetensors"

#: Names of weights that are not paths.
NAMED_WEIGHTS = ("none", "imagenet")


def digest_of(*parts: Any) -> str:
    """SHA-256, in hexadecimal, of a value that fits JSON; the order of keys does not matter.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Inputs:
    """Digests of what the steps read.

    Args:
        contents: Digests of the files' contents. None reads no file: the digests cover options alone.
        operation: Told how many files of an input are read.
    """

    def __init__(self, contents: Contents | None, *, operation: Operation | None = None) -> None:
        self._contents = contents
        self._operation = operation or Operation()
        self._known: dict[Path, list[tuple[str, str]]] = {}

    def sources(self, paths: Iterable[Path]) -> str:
        """Digest of all files below folders, by their names there, and of single files."""
        return digest_of(*(self._below(path) for path in paths))

    def runs(self, paths: Iterable[Path]) -> str:
        """Digest of sets that slices are compared with; of a reduction, only the manifest counts."""
        return self.sources(path / FILE_NAME if (path / FILE_NAME).is_file() else path for path in paths)

    def weights(self, given: Any) -> str | None:
        """Digest of a file of weights, or of the backbone in a pre-training's folder; names stay as they are."""
        if given in (None, *NAMED_WEIGHTS):
            return None if given in (None, "none") else str(given)
        path = Path(str(given))
        if self._contents is None:
            return ""
        return self._contents.digest(path / _BACKBONE if path.is_dir() else path)

    def task(self, options: dict[str, Any]) -> str:
        """Digest of the images that a task lists, with their labels, splits and patients.

        Raises:
            CtpruneError: The task cannot be listed, as `ctprune.tasks.list_task` says.
        """
        if self._contents is None:
            return ""
        data = Path(str(options["data"]))
        if data.suffix.lower() == ".npz":
            return self._contents.digest(data)
        listed = list_task(
            data,
            split=options.get("split"),
            labels=options.get("labels"),
            patient_pattern=options.get("patient_pattern"),
            columns=columns_of(options),
            subgroups=options.get("subgroup_columns", ()),
            target=options.get("target", CLASSES),
            levels=options.get("levels", ()),
        )
        files = list(dict.fromkeys(entry.file for entry in listed.entries if entry.file is not None))
        content = dict(zip(files, self._contents.digests(files, progress=self._counter(files)), strict=True))
        images = [
            (
                *(entry.name, entry.label, entry.split, entry.patient, entry.frame),
                *(entry.file and content[entry.file], *entry.subgroups),
            )
            for entry in listed.entries
        ]
        return digest_of(listed.classes, listed.reading, images)

    def _below(self, path: Path) -> list[tuple[str, str]]:
        if self._contents is None:
            return []
        if path not in self._known:
            self._known[path] = self._read_below(path, self._contents)
        return self._known[path]

    def _counter(self, files: Sized) -> Count:
        return self._operation.counter("reading inputs", len(files), "files")

    def _read_below(self, path: Path, contents: Contents) -> list[tuple[str, str]]:
        address = as_address(path)
        if address is not None:
            return _found_at(address)
        if path.is_file() or container_of(path) is not None:
            return [(path.name, contents.digest(path))]
        names = sorted(_files_below(str(path), ""))
        # A reduction reports what it cannot read and continues.
        files = [path / name for name in names]
        digests = contents.digests(files, unreadable="", progress=self._counter(files))
        # JSON cannot hold names that are not Unicode.
        return [(os.fsencode(name).hex(), digest) for name, digest in zip(names, digests, strict=True)]


def _found_at(address: str) -> list[tuple[str, str]]:
    """All files at an address by name, with the sizes and versions that the server names."""
    from ctprune.sources.listing import found_at

    found = sorted((os.fsencode(path).hex(), *stamp) for path, stamp in found_at(address))
    return [(path, f"{size} {version}") for path, size, version in found]


def _files_below(folder: str, relative: str, entered: tuple[Path, ...] = ()) -> Iterator[str]:
    """Names of the files that a reduction would read; links to folders are followed, but never in a circle."""
    entered = (*entered, Path(os.path.realpath(folder)))
    try:
        entries = list(os.scandir(folder))
    except OSError:
        # A reduction reports it and continues.
        return
    for entry in entries:
        name = os.path.join(relative, entry.name)
        if entry.is_file():
            yield name
        elif entry.is_dir():
            real = Path(os.path.realpath(entry.path))
            if not entry.is_symlink() or not any(path.is_relative_to(real) for path in entered):
                yield from _files_below(entry.path, name, entered)
