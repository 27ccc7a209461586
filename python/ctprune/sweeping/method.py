"""What a method must give to be swept: which slices it keeps, at many thresholds. One file per way to compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ctprune.environment.progress import Operation
from ctprune.errors import ConfigError
from ctprune.selection.methods import Method
from ctprune.sweeping.config import SweepConfig
from ctprune.sweeping.slices import SweptSlices


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

    def at(self, index: int) -> npt.NDArray[np.bool_]:
        """Bool of shape (slices,): which are kept at this threshold."""
        return np.unpackbits(self.bits[index], count=self.slices).astype(np.bool_)


_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)


class SweptMethod(ABC):
    """A method of reduction, as a sweep sees it.

    Attributes:
        name: As in `SweepConfig.methods`.
        method: The method.
        measure: What its threshold is compared with.
        config: The configuration of the sweep.
    """

    def __init__(self, method: Method, config: SweepConfig) -> None:
        if method.measure is None:
            raise ConfigError(f"methods {method.name}: the method has no threshold to sweep", field="methods")
        self.name = method.name
        self.method = method
        self.measure = method.measure
        self.config = config

    @abstractmethod
    def keep(self, slices: SweptSlices, thresholds: Sequence[float], operation: Operation) -> KeptSets:
        """The kept slices at each threshold, exactly as `ctprune.reduce` keeps them."""

    def in_order(self, thresholds: Sequence[float] | None, slices: SweptSlices) -> list[float]:
        """Thresholds without repetition, first those that drop least; those that `keep` chooses from if None.

        Raises:
            ConfigError: One that the method cannot use.
        """
        given = self.measure.thresholds(slices.bits) if thresholds is None else thresholds
        if not len(given):
            raise ConfigError(f"thresholds {self.name}=: expected at least one threshold", field="thresholds")
        for threshold in given:
            expected = self.measure.wrong(threshold, slices.bits)
            if expected is not None:
                raise ConfigError(f"thresholds {self.name}={threshold:g}: expected {expected}", field="thresholds")
        return sorted({float(threshold) for threshold in given}, reverse=self.measure.larger_is_closer)
