"""Images that belong together: the slices of a volume, or the images of a patient, with one label for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctprune.errors import TaskError
from ctprune.finetuning.images import LabeledImages
from ctprune.finetuning.sampling import numbers_of
from ctprune.options.shared import MULTI_LABEL, REGRESSION
from ctprune.tasks.listing import Entry

Rows = npt.NDArray[np.int64]

#: For each unit the rows of its images, ascending.
Bags = list[Rows]

_HINTS = {
    "volume": " (a DICOM series; or pictures of a folder, unless `volume_pattern` says otherwise)",
    "patient": "",
}


@dataclass(frozen=True, eq=False)
class Units:
    """The units that labels and predictions belong to.

    Attributes:
        unit: Their kind: `image`, `volume` or `patient`.
        entries: An entry for each unit, named by number: names of series and patients go into no result.
        labels: Index of each unit's class, int64 of shape (units,), see `LabeledImages.labels`.
        strata: Groups of which each split has an equal share, see `ctprune.finetuning.labeled.Labeled`.
        classes: Names of the classes; one for all units where labels are numbers, or a unit can have several.
        target: What labels are, see `ctprune.tasks.targets`.
        class_names: Names of classes, labels or levels; none where labels are numbers.
        of_image: Unit of each image, int64 of shape (images,); numbered in order of first appearance.
    """

    unit: str
    entries: list[Entry]
    labels: npt.NDArray[np.int64]
    strata: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    target: str
    class_names: tuple[str, ...]
    of_image: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Number of units."""
        return len(self.entries)

    @cached_property
    def bags(self) -> Bags:
        """Rows of each unit's images."""
        return bags_of(self.of_image)

    def images_of(self, units: Rows) -> Rows:
        """Rows of the images of these units, in the order of the units."""
        return joined([self.bags[unit] for unit in units])


def bags_of(of_image: npt.NDArray[np.int64]) -> Bags:
    """Rows of each unit's images, from the unit of each image; every unit from 0 on has one.

    >>> [rows.tolist() for rows in bags_of(np.array([0, 1, 0]))]
    [[0, 2], [1]]
    """
    order = np.argsort(of_image, kind="stable")
    return np.split(order, np.cumsum(np.bincount(of_image))[:-1])


def joined(bags: Sequence[Rows]) -> Rows:
    """The rows of all bags, one after the other."""
    return np.concatenate([np.zeros(0, np.int64), *bags])


def renumbered(bags: Sequence[Rows]) -> Bags:
    """The bags of the rows that `joined` gives, which count from 0.

    >>> [rows.tolist() for rows in renumbered([np.array([4, 7]), np.array([2])])]
    [[0, 1], [2]]
    """
    sizes = np.array([len(rows) for rows in bags], np.int64)
    return np.split(np.arange(sizes.sum()), np.cumsum(sizes)[:-1])


def units_of(images: LabeledImages, unit: str, source: Path) -> Units:
    """Put images together that belong to one unit.

    Args:
        images: Images of the task.
        unit: `image`, `volume` or `patient`.
        source: Name of the data, for sentences.

    Raises:
        TaskError: An image's unit is not known, or images of one unit differ in label, split, patient or subgroup.
    """
    if unit == "image":
        what = images.classes, images.target, images.class_names
        return Units(unit, images.entries, images.labels, images.strata, *what, np.arange(len(images)))
    keys = [entry.volume if unit == "volume" else entry.patient for entry in images.entries]
    if None in keys:
        raise TaskError(f"{source}: {_unknown(images.entries[keys.index(None)], unit)}")
    of_image = numbers_of(keys)
    entries = []
    for number, rows in enumerate(bags_of(of_image)):
        members = [images.entries[row] for row in rows]
        _check_one(members, unit, source, images.target)
        name = unit_name(unit, number)
        entries.append(replace(members[0], name=name, frame=None))
    first = [rows[0] for rows in bags_of(of_image)]
    classes = (f"{unit}s",) if images.target in (MULTI_LABEL, REGRESSION) else images.classes
    what = classes, images.target, images.class_names
    return Units(unit, entries, images.labels[first], images.strata[first], *what, of_image)


def unit_name(unit: str, number: int) -> str:
    """The name of a unit in results, from its number, which counts from 0.

    >>> unit_name("volume", 0)
    'volume-0001'
    """
    return f"{unit}-{number + 1:04d}"


def _check_one(members: list[Entry], unit: str, source: Path, target: str) -> None:
    """Refuse members of one unit that contradict each other."""
    facts: tuple[tuple[Callable[[Entry], object], str], ...] = (
        (
            lambda entry: _said(entry.label, target),
            "have different labels, {} and {}: give all images of a {} one label",
        ),
        (lambda entry: entry.split, "are in different splits, {} and {}: put all images of a {} into one split"),
        # An id of a patient is shown to nobody.
        (lambda entry: entry.patient, "are of different patients: give all images of a {} one patient"),
        # Nor is what a table says of one.
        (
            lambda entry: entry.subgroups,
            "have different values in a subgroup column: give all images of a {} the same",
        ),
    )
    for value, sentence in facts:
        odd = next((entry for entry in members if value(entry) != value(members[0])), None)
        if odd is not None:
            shown = [] if sentence.count("{}") == 1 else [value(members[0]), value(odd)]
            raise TaskError(
                f"{source}: {members[0].name} and {odd.name} belong to one {unit}{_HINTS[unit]}, but "
                f"{sentence.format(*shown, unit)}, or take another `unit`"
            )


def _said(label: str, target: str) -> object:
    """A label for comparison and for a sentence: 1 and 1.0 are one number."""
    return float(label) if target == REGRESSION else label or "none"


def _unknown(entry: Entry, unit: str) -> str:
    if unit == "patient":
        mend = "" if entry.file is None else ": name the patients with `patient_pattern` or a column patient"
        return f"`unit` patient: the patient of {entry.name} is not known{mend}"
    return "`unit` volume: nothing says which images belong to one volume"
