"""What splits and measures are made of: things with a label each, be they images, volumes or patients."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from ctprune.tasks.listing import Entry


class Labeled(Protocol):
    """Things with one label each. Each has one place in the splits, and counts once in every measure."""

    @property
    def entries(self) -> list[Entry]:
        """Name, split and patient of each."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Index of each one's class, int64 of shape (n,)."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def strata(self) -> npt.NDArray[np.int64]:
        """What splits have an equal share of: classes, or a column for each label, see `sample_part`."""

    @property
    def target(self) -> str:
        """What labels are, see `ctprune.tasks.targets`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of classes, labels or levels; none where labels are numbers."""

    @property
    def unit(self) -> str:
        """What each of them is: `image`, `volume` or `patient`."""


def counted(count: int, unit: str) -> str:
    """So many of a unit, in words.

    >>> counted(1, "volume"), counted(1200, "image")
    ('1 volume', '1,200 images')
    """
    return f"{count:,} {unit}{'' if count == 1 else 's'}"
