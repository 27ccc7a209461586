"""What every task comes down to: images by name, with label, split and patient."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.errors import SourceError, TaskError

TRAIN, VAL, TEST = "train", "val", "test"

#: How splits are called in the wild.
SPLIT_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validation": VAL,
    "dev": VAL,
    "test": TEST,
    "testing": TEST,
}


@dataclass(frozen=True)
class Entry:
    """One labeled file, or one frame of it.

    Attributes:
        name: Name of the image in results: its path below the data, with `/`.
        label: Name of the image's class.
        split: `train`, `val`, `test`, or None where the data name none.
        patient: A text that identifies the patient, or None. It goes into no result.
        file: Path of the image's file; None for arrays.
        frame: Number of the frame, from 0; None for all frames.
        subgroups: Value of each subgroup column, None where it is empty.
        volume: A text that identifies the volume, once the image is read, or None. It goes into no result.
    """

    name: str
    label: str
    split: str | None = None
    patient: str | None = None
    file: Path | None = None
    frame: int | None = None
    subgroups: tuple[str | None, ...] = ()
    volume: str | None = None


@dataclass(frozen=True, eq=False)
class Listing:
    """A task before its images are read.

    Attributes:
        source: File or folder of the data.
        kind: Layout of the data, in words.
        entries: The images.
        classes: Names of the classes, in order; none of numbers.
        arrays: Images that are in memory already, one for each entry: uint8 of shape (rows, cols), or with a last
            axis of three colors.
        reading: How slices of a reduction were read; empty for others.
        volumes: Files of all slices of the volumes that images of a reduction lie in; empty for others.
        notes: Sentences that the reader must know.
        target: What labels are, see `ctprune.tasks.targets`.
    """

    source: Path
    kind: str
    entries: list[Entry]
    classes: tuple[str, ...]
    arrays: list[npt.NDArray[np.uint8]] | None = None
    reading: dict[str, Any] | None = None
    volumes: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    target: str = "classes"


def listing(source: Path, kind: str, entries: Iterable[Entry], classes: Iterable[str], **rest: Any) -> Listing:
    """Check the entries against each other and put them into one order.

    Raises:
        SourceError: There is no image.
        TaskError: A class has no image, a file has two labels or is in two splits, or only some have a split.
    """
    found = list(entries)
    names = tuple(classes)
    if not found:
        raise SourceError(f"{source}: holds no labeled image ({kind})")
    labels = {entry.label for entry in found}
    for name in names:
        if name not in labels:
            raise TaskError(f"{source}: class {name} has no image")
    _refuse_contradictions(source, found)
    return Listing(source, kind, found, names, **rest)


def patient_of(name: str, pattern: str | None) -> str | None:
    r"""The patient in a file's name; None where the pattern does not match.

    >>> patient_of("LIDC-IDRI-0001_12.png", r"^(LIDC-IDRI-\d+)_")
    'LIDC-IDRI-0001'
    """
    if pattern is None:
        return None
    match = re.search(pattern, name.rpartition("/")[2])
    return match.group(1) if match else None


def _refuse_contradictions(source: Path, entries: list[Entry]) -> None:
    seen: dict[tuple[Any, ...], Entry] = {}
    for entry in entries:
        key = (entry.file or entry.name, entry.frame)
        other = seen.setdefault(key, entry)
        if other is entry:
            continue
        if other.split != entry.split:
            raise TaskError(
                f"{source}: {entry.name} is in {other.split} and in {entry.split}: list it in only one of them"
            )
        if other.label != entry.label:
            raise TaskError(f"{source}: {entry.name} is labeled {other.label} and {entry.label}")
        raise TaskError(f"{source}: {entry.name} is listed twice")
    without = [entry.name for entry in entries if entry.split is None]
    if without and len(without) < len(entries):
        raise TaskError(
            f"{source}: {without[0]} has no split, but other images do: give a split to all images or to none"
        )
