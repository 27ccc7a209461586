"""Sets of slices that a user can name: a run, images of any kind, a MedMNIST file, a list of labels."""

from __future__ import annotations

import os
import tempfile
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctprune import _core
from ctprune.errors import ManifestError, SourceError
from ctprune.manifest.local_run import is_remote_run
from ctprune.manifest.manifest import FILE_NAME, Manifest
from ctprune.manifest.slices import Slices, path_of
from ctprune.reduction.reduce import reduce
from ctprune.sources.addresses import as_address
from ctprune.tasks import list_task
from ctprune.tasks.label_table import SUFFIXES
from ctprune.tasks.listing import SPLIT_NAMES, Listing

PathLike = str | os.PathLike[str]

#: Options that decide a fingerprint, and their names in sentences.
_DECIDING = {"fingerprint": "kind", "hash_size": "hash_size", "intensity": "intensity"}


@dataclass(frozen=True, eq=False)
class SliceSet:
    """Slices to compare with others.

    Attributes:
        slices: The slices, kept or dropped: a copy of either counts.
        split: `train`, `val` or `test` of each slice; empty if the set names none.
        label: Class of each slice; empty if the set names none.
        failed: Number of the set's files that could not be read, whose slices are missing here.
    """

    slices: Slices
    split: list[str]
    label: list[str]
    failed: int = 0

    def part(self, split: str) -> SliceSet:
        """The slices of one split."""
        chosen = np.array([name == split for name in self.split], np.bool_)
        at = np.flatnonzero(chosen).tolist()
        return SliceSet(
            Slices(self.slices.rows.filter(chosen), self.slices.config),
            [self.split[row] for row in at],
            [self.label[row] for row in at],
            self.failed,
        )


def is_run(source: PathLike) -> bool:
    """Whether this is the folder or address of a reduction, or a manifest's file."""
    if as_address(source) is not None:
        return is_remote_run(source)
    path = Path(source)
    is_file = path.is_file() and path.suffix == ".parquet" and path.name == FILE_NAME
    return is_file or (path / FILE_NAME).is_file()


def open_set(
    stack: ExitStack,
    source: PathLike,
    like: dict[str, Any],
    *,
    labels: PathLike | None = None,
    role: str = "",
    threads: int = 0,
) -> SliceSet:
    """Open or read a set of slices, with fingerprints that can be compared with a run's.

    Args:
        stack: Holds resources that must exist as long as pictures are read.
        source: Folder, zip or tar file of images, MedMNIST file (.npz), table of labels, or a run.
        like: Configuration of the run.
        labels: The part of the set to use, with label and split: for a folder, the folder of lists of names, as in
            COVID-CT; for a run, its table of labels.
        role: The role of the set, before its name in errors.
        threads: Number of threads, 0 for one per core.

    Raises:
        ManifestError: Fingerprints of a run were made differently.
        SourceError: The set does not exist, or has no slice.
        TaskError: The labels do not fit the set.
    """
    path = Path(source)
    options = {name: like[name] for name in _DECIDING} | {"threads": threads}
    if path.suffix == ".npz" and path.is_file():
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ctprune-images-")))
        _write_pictures(path, folder, role)
        return _of_arrays(reduce(folder, method="all", modality="any", **options))
    is_container = path.is_file() and _core.kind_of_container(str(path)) is not None
    if labels is not None or (path.is_file() and path.suffix.lower() in SUFFIXES and not is_run(path)):
        is_lists = labels is not None and Path(labels).is_dir()
        listed = list_task(path, split=labels if is_lists else None, labels=None if is_lists else labels)
        found = _of_listing(path, listed, like, options, role)
    elif is_run(path) or (path.is_file() and not is_container):
        found = _whole(_compatible(Manifest.load(path), path, like, role))
    elif is_container or path.is_dir():
        found = _whole(reduce(path, method="all", modality="any", **options))
    else:
        raise SourceError(f"{role}{path}: no such file or folder")
    if not len(found.slices):
        raise SourceError(f"{role}{path}: expected slices to compare with, found none")
    return found


def _compatible(manifest: Manifest, source: Path, like: dict[str, Any], role: str) -> Manifest:
    for name, word in _DECIDING.items():
        if manifest.config[name] != like[name]:
            raise ManifestError(
                f"{role}{source}: fingerprints of {word} {manifest.config[name]}, expected {like[name]} as in the "
                "reduction: name the folder of images instead"
            )
    return manifest


def _whole(manifest: Manifest) -> SliceSet:
    slices = manifest.slices()
    return SliceSet(slices, [""] * len(slices), [""] * len(slices), manifest.counts()["failed"])


def _of_listing(
    source: Path, listed: Listing, like: dict[str, Any], options: dict[str, Any], role: str
) -> SliceSet:
    """The slices named by a list, in a run or in files."""
    of_file: dict[tuple[str, int | None], Any] = {
        (_absolute(entry.file or ""), entry.frame): entry for entry in listed.entries
    }
    if is_run(source):
        manifest = _compatible(Manifest.load(source), source, like, role)
    else:
        manifest = reduce(
            list(dict.fromkeys(file for file, _ in of_file)), method="all", modality="any", **options
        )
    slices = manifest.slices()
    entries = []
    for rows in slices.dicts(["source", "path", "frame"], 1 << 14):
        for row in rows:
            file = _absolute(path_of(row))
            entries.append(of_file.get((file, row["frame"])) or of_file.get((file, None)))
    chosen = np.array([entry is not None for entry in entries], np.bool_)
    named = [entry for entry in entries if entry is not None]
    return SliceSet(
        Slices(slices.rows.filter(chosen), slices.config),
        [entry.split or "" for entry in named],
        [entry.label for entry in named],
        # Of a run, others than the listed ones may have failed.
        0 if is_run(source) else manifest.counts()["failed"],
    )


def _absolute(file: PathLike) -> str:
    """The same text for a file, however it was named."""
    return as_address(file) or os.path.abspath(file)


def _write_pictures(file: Path, folder: Path, role: str) -> None:
    """Every image of a MedMNIST file as PNG, so that it is fingerprinted like any picture."""
    from PIL import Image

    try:
        with np.load(file, allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files if name.endswith("_images")}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        arrays = {}
    if not arrays or any(images.dtype != np.uint8 or images.ndim not in (3, 4) for images in arrays.values()):
        raise SourceError(f"{role}{file}: expected a MedMNIST file with images of uint8, found another")
    for name, images in arrays.items():
        (folder / name).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / name / f"{number}.png")


def _of_arrays(manifest: Manifest) -> SliceSet:
    """The set, with splits from the names of the arrays."""
    slices = manifest.slices()
    paths, of = slices.labels("path")
    splits = [SPLIT_NAMES.get(path.partition("/")[0].removesuffix("_images"), "") for path in paths]
    return SliceSet(slices, [splits[index] for index in of], [""] * len(slices))
