"""New slices grouped by the unit that the model predicts: image, volume or patient."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ctprune.errors import SourceError
from ctprune.finetuning.channels import FoundSlice
from ctprune.finetuning.saved_model import SavedModel
from ctprune.manifest.slices import path_of
from ctprune.tasks.listing import patient_of

Bag = list[FoundSlice]


def bags_in(found: list[FoundSlice], saved: SavedModel) -> list[Bag]:
    """The slices of each unit, in order of first appearance.

    Raises:
        SourceError: The model predicts patients, but a slice's patient is not known.
    """
    if saved.unit == "image":
        return [[one] for one in found]
    bags: dict[str, Bag] = {}
    # Frames of a file follow each other: a file with several counts as a patient.
    files = [path_of(one.line) for one in found]
    several = {file for file, after in itertools.pairwise(files) if file == after}
    for one, file in zip(found, files, strict=True):
        key = one.scan if saved.unit == "volume" else _patient(one, file, saved, file in several)
        bags.setdefault(key, []).append(one)
    return list(bags.values())


def together(bags: list[Bag], size: int) -> Iterator[list[Bag]]:
    """Units in parts of about this many slices; no unit is cut.

    >>> [[len(bag) for bag in part] for part in together([[None] * 3, [None] * 2, [None]], 4)]
    [[3], [2, 1]]
    """
    part: list[Bag] = []
    for bag in bags:
        if part and sum(map(len, part)) + len(bag) > size:
            yield part
            part = []
        part.append(bag)
    if part:
        yield part


def readable_bags(bags: list[Bag], readable: npt.NDArray[np.bool_]) -> list[Bag]:
    """The units with their readable slices, from whether each slice could be read; empty units are left out."""
    ends = np.cumsum([0, *map(len, bags)])
    left = [
        [one for one, good in zip(bag, readable[start : start + len(bag)], strict=True) if good]
        for bag, start in zip(bags, ends[:-1], strict=True)
    ]
    return [bag for bag in left if bag]


def _patient(one: FoundSlice, file: str, saved: SavedModel, several: bool) -> str:
    """As in the training, except for patients that a table named, which is not at hand here."""
    named = patient_of(file.replace("\\", "/"), saved.patient_pattern)
    found = named or one.study or (f"file {file}" if several else None)
    if found is None:
        mend = "" if saved.patient_pattern is None else f", and its name does not match {saved.patient_pattern}"
        raise SourceError(
            f"{file}: the model predicts patients, but nothing says whose image this is: it names no study{mend}"
        )
    return found
