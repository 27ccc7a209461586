"""Labeled items, of which splits and measures are made: images, volumes or patients."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from ctprune.tasks.listing import Entry


class Labeled(Protocol):
    """Items with one label each. Each is in one split, and counts once in every measure."""

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
        """Groups of which each split has an equal share: classes, or a column per label, see `sample_part`."""

    @property
    def target(self) -> str:
        """What labels are, see `ctprune.tasks.targets`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of classes, labels or levels; none where labels are numbers."""

    @property
    def unit(self) -> str:
        """What each of them is: `image`, `volume` or `patient`."""
