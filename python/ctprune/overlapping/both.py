"""The slices of two sets as one table, so that comparisons within one set also work across two."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ctprune import _core
from ctprune.manifest.slices import Integers, Slices


class Both(Slices):
    """Slices of set A, then those of set B.

    Args:
        first: The slices of A.
        second: The slices of B, with fingerprints made in the same way.
    """

    def __init__(self, first: Slices, second: Slices) -> None:
        super().__init__(_core.Rows.concat([first.rows, second.rows]), first.config | {"modality": "any"})
        self.of_a, self.volumes_of_a = len(first), first.volumes
        self._numbers = np.concatenate([first.volume, second.volume])
        counts = [np.diff(slices.starts) for slices in (first, second)]
        self._volume = np.repeat(np.arange(first.volumes + second.volumes), np.concatenate(counts))

    @cached_property
    def volume(self) -> Integers:
        """Number of each slice's volume, shape (n,): volumes of A from 0, then those of B."""
        return self._volume

    def number(self, row: int) -> int:
        """The number of a slice's volume in its own set."""
        return int(self._numbers[row])

    def number_of_volume(self, volume: int) -> int:
        """The number of a volume in its own set."""
        return self.number(int(self.starts[volume]))
