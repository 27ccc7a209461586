"""A folder per class, directly or below `train`, `val` and `test`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ctprune.errors import SourceError, TaskError
from ctprune.tasks.listing import SPLIT_NAMES, Entry, Listing, listing, patient_of
from ctprune.tasks.patient_folders import check_no_patient_folders


def list_class_folders(root: Path, patient_pattern: str | None) -> Listing:
    """Every file below a class's folder is an image of it; hidden files are passed over.

    Raises:
        SourceError: There is no folder in it.
        TaskError: A class without an image, a folder beside the splits, or folders that are patients, not classes.
    """
    folders = subfolders(root)
    if not folders:
        raise SourceError(f"{root}: expected a folder per class, found no folder in it")
    splits = {folder: SPLIT_NAMES.get(folder.name.lower()) for folder in folders}
    if not any(splits.values()):
        entries = _entries(root, folders, None, patient_pattern)
        return _listing(root, "a folder per class", entries, names(folders))
    for folder, split in splits.items():
        if split is None:
            raise TaskError(f"{root}: expected folders train, val and test only, also found {folder.name}")
    classes = sorted({name for folder in folders for name in names(subfolders(folder))})
    entries = [
        entry
        for folder, split in splits.items()
        for entry in _entries(root, subfolders(folder), split, patient_pattern)
    ]
    return _listing(root, "a folder per split and class", entries, classes)


def subfolders(root: Path) -> list[Path]:
    """Folders in this one, by name; hidden ones are passed over."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def names(folders: list[Path]) -> list[str]:
    """Their names."""
    return [folder.name for folder in folders]


def files_below(folder: Path) -> Iterator[Path]:
    """All files, in order; hidden ones and what is below hidden folders are passed over."""
    for current, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(current, name) for name in sorted(files) if not name.startswith("."))


def _listing(root: Path, kind: str, entries: list[Entry], classes: list[str]) -> Listing:
    found = listing(root, kind, entries, classes)
    return replace(found, notes=tuple(check_no_patient_folders(root, entries)))


def _entries(root: Path, folders: list[Path], split: str | None, pattern: str | None) -> list[Entry]:
    return [
        Entry(
            name=file.relative_to(root).as_posix(),
            label=folder.name,
            split=split,
            patient=patient_of(file.name, pattern),
            file=file,
        )
        for folder in folders
        for file in files_below(folder)
    ]
