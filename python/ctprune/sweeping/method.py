"""What a method must give to be swept: which slices it keeps, at many thresholds. One file per method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ctprune.errors import ConfigError
from ctprune.sweeping.slices import SweptSlices

#: Called with the slices or thresholds done, and of how many.
Ticks = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """What some methods need besides the slices.

    Attributes:
        threads: Number of threads, 0 for one per core.
        weights: With `deep`, the backbone's file.
        download: With `deep`, fetch torchvision's ResNet-50 where it is not on disk.
    """

    threads: int = 0
    weights: str | None = None
    download: bool = False


@dataclass(frozen=True)
class KeptSets:
    """The kept slices at each of some thresholds.

    Attributes:
        bits: uint8 of shape (thresholds, ceil(slices / 8)): a bit per slice, as `numpy.packbits` packs them, so
            that 65 sets of a million slices take 8 MB.
        slices: Number of slices.
        left_out: Slices that could not be compared and are kept everywhere, counted by reason.
        about: What else a reader should know of how this was made.
    """

    bits: npt.NDArray[np.uint8]
    slices: int
    left_out: Counter[str] = field(default_factory=Counter)
    about: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """int64 of shape (thresholds,): the number kept."""
        # Row by row: the numbers of ones take as much room as the bits.
        return np.array([_ONES[row].sum(dtype=np.int64) for row in self.bits], np.int64)

    def at(self, place: int) -> npt.NDArray[np.bool_]:
        """Bool of shape (slices,): which are kept at this threshold."""
        return np.unpackbits(self.bits[place], count=self.slices).astype(np.bool_)


_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)


class SweptMethod(ABC):
    """A method of reduction, as a sweep sees it.

    Attributes:
        name: As in `--method`.
        measure: What its threshold is compared with, for the axis of a plot.
        strict_first: 1 when the smallest threshold drops least, as with a distance; -1 when the largest does, as
            with a similarity.
    """

    name: str
    measure: str
    strict_first: int

    def __init__(self, options: SweepOptions) -> None:
        self.options = options

    @abstractmethod
    def default_thresholds(self, slices: SweptSlices) -> Sequence[float]:
        """Those that are tried when none are given."""

    @abstractmethod
    def expected(self, threshold: float, slices: SweptSlices) -> str | None:
        """None when a threshold can be used, else what is expected instead."""

    @abstractmethod
    def keep(self, slices: SweptSlices, thresholds: Sequence[float], ticks: Ticks) -> KeptSets:
        """The kept slices at each threshold, exactly as `ctprune.reduce` keeps them."""

    def in_order(self, thresholds: Sequence[float] | None, slices: SweptSlices) -> list[float]:
        """Thresholds without repetition, first those that drop least.

        Raises:
            ConfigError: One that the method cannot use.
        """
        given = self.default_thresholds(slices) if thresholds is None else thresholds
        if not len(given):
            raise ConfigError(f"--thresholds {self.name}=: expected at least one threshold")
        for threshold in given:
            expected = self.expected(threshold, slices)
            if expected is not None:
                raise ConfigError(f"--thresholds {self.name}={threshold:g}: expected {expected}")
        return sorted({float(threshold) for threshold in given}, key=lambda value: self.strict_first * value)
