"""What labels mean: classes, or with `target` numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ctprune.errors import TaskError
from ctprune.options.shared import REGRESSION
from ctprune.tasks.listing import Entry, Listing

#: Fewest different numbers of a regression: fewer are classes, and a rank correlation of two says nothing.
_LEAST_NUMBERS = 3


def as_target(listing: Listing, target: str) -> Listing:
    """The same listing for another target than classes.

    Raises:
        TaskError: Labels that do not fit the target. No sentence shows a label.
    """
    return _as_numbers(listing) if target == REGRESSION else listing


def targets_of(entries: Sequence[Entry], target: str) -> npt.NDArray[np.float64]:
    """What is learned from each image, float64 of shape (n, columns): for a regression its number.

    >>> targets_of([Entry("a.png", "1.5")], REGRESSION).tolist()
    [[1.5]]
    """
    return np.array([float(entry.label) for entry in entries], np.float64).reshape(len(entries), 1)


def _as_numbers(listing: Listing) -> Listing:
    for number, entry in enumerate(listing.entries, 1):
        if not _is_number(entry.label):
            raise TaskError(
                f"{listing.source}: expected numbers as labels for `target` regression, found other text as the "
                f"label of image {number}"
            )
    if len({float(entry.label) for entry in listing.entries}) < _LEAST_NUMBERS:
        raise TaskError(
            f"{listing.source}: expected at least {_LEAST_NUMBERS} different numbers as labels for `target` "
            "regression: use `target` classes for fewer"
        )
    return replace(listing, classes=(), target=REGRESSION)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
