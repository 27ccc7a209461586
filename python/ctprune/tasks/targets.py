"""What labels mean: classes, or with `target` several labels at once, levels of an ordered scale, or numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ctprune.errors import TaskError
from ctprune.options.shared import MULTI_LABEL, ORDINAL, REGRESSION
from ctprune.tasks.columns import SEPARATOR
from ctprune.tasks.listing import Entry, Listing

#: Fewest levels, or different numbers: two are classes.
_LEAST = 3


def as_target(listing: Listing, target: str, levels: Sequence[str] = (), labels: Sequence[str] = ()) -> Listing:
    """The same listing for a target.

    Args:
        listing: The images with their labels as they are written.
        target: What labels are.
        levels: For `ordinal`, the levels from the lowest to the highest; by default the numbers that labels are.
        labels: For `multi-label`, the labels; by default those that images have.

    Raises:
        TaskError: Labels that do not fit the target.
    """
    if target == MULTI_LABEL:
        return _as_labels(listing, labels)
    if target == ORDINAL:
        return _as_levels(listing, levels)
    if target == REGRESSION:
        return _as_numbers(listing)
    if len(listing.classes) < 2:
        raise TaskError(f"{listing.source}: expected two classes or more, found only {listing.classes[0]}")
    return listing


def targets_of(entries: Sequence[Entry], target: str, names: Sequence[str] = ()) -> npt.NDArray[np.float64]:
    """What is learned from each image, float64 of shape (n, columns).

    Args:
        entries: The images.
        target: What labels are: of a regression the column is the number, of levels their index, of several labels
            there is a column for each with 1 where the image has it.
        names: Names of labels or levels.

    >>> targets_of([Entry("a.png", "1.5")], REGRESSION).tolist()
    [[1.5]]
    >>> targets_of([Entry("a.png", "edema;nodule"), Entry("b.png", "")], MULTI_LABEL, ["edema", "nodule"]).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    if target == MULTI_LABEL:
        return np.array([[name in labels_in(entry.label) for name in names] for entry in entries], np.float64)
    index = {name: number for number, name in enumerate(names)}
    values = [index[entry.label] if target == ORDINAL else float(entry.label) for entry in entries]
    return np.array(values, np.float64).reshape(len(entries), 1)


def labels_in(text: str) -> list[str]:
    """The labels in a cell, each once, in order.

    >>> labels_in("nodule; edema;"), labels_in("")
    (['edema', 'nodule'], [])
    """
    return sorted({part.strip() for part in text.split(SEPARATOR)} - {""})


def _as_labels(listing: Listing, labels: Sequence[str]) -> Listing:
    entries = [replace(entry, label=SEPARATOR.join(labels_in(entry.label))) for entry in listing.entries]
    names = sorted({name for entry in entries for name in labels_in(entry.label)})
    for name in labels:
        if name not in names:
            raise TaskError(f"{listing.source}: label {name} is on no image")
    if not names:
        raise TaskError(
            f"{listing.source}: expected labels such as edema{SEPARATOR}nodule for `target` multi-label, "
            "found only empty cells"
        )
    return replace(listing, entries=entries, classes=tuple(names), target=MULTI_LABEL)


def _as_levels(listing: Listing, levels: Sequence[str]) -> Listing:
    found = {entry.label for entry in listing.entries}
    if not levels and not all(_is_number(label) for label in found):
        raise TaskError(
            f"{listing.source}: expected numbers as labels for `target` ordinal, found other text: name the "
            "levels from the lowest to the highest with `levels`"
        )
    names = tuple(levels) or tuple(sorted(found, key=float))
    unknown, empty = sorted(found - set(names)), [name for name in names if name not in found]
    if unknown:
        raise TaskError(f"{listing.source}: label {unknown[0]} is none of the `levels` {', '.join(names)}")
    if empty:
        raise TaskError(f"{listing.source}: level {empty[0]} has no image")
    if len(names) < _LEAST:
        raise TaskError(
            f"{listing.source}: expected at least {_LEAST} levels for `target` ordinal, found {len(names)}: use "
            "`target` classes for fewer"
        )
    return replace(listing, classes=names, target=ORDINAL)


def _as_numbers(listing: Listing) -> Listing:
    for number, entry in enumerate(listing.entries, 1):
        if not _is_number(entry.label):
            raise TaskError(
                f"{listing.source}: expected numbers as labels for `target` regression, found other text as the "
                f"label of image {number}"
            )
    if len({float(entry.label) for entry in listing.entries}) < _LEAST:
        raise TaskError(
            f"{listing.source}: expected at least {_LEAST} different numbers as labels for `target` regression: "
            "use `target` classes for fewer"
        )
    return replace(listing, classes=(), target=REGRESSION)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
