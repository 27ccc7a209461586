"""Intervals of measures on scales on which they are nearly normal, so that none leaves its measure's range."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ctprune.evaluation.estimate import Estimate
from ctprune.evaluation.measured import fraction_interval


@dataclass(frozen=True)
class Scale:
    """How a measure is transformed before its interval is taken.

    Attributes:
        there: The transformation.
        slope: Its derivative, by which a standard error is multiplied.
        back: From the transformed value to the measure.
    """

    there: Callable[[float], float]
    slope: Callable[[float], float]
    back: Callable[[float], float]


#: Of errors, from 0 up: the logarithm.
ERROR = Scale(math.log, lambda value: 1 / value, math.exp)

#: Of shares of explained variance, up to 1: the logarithm of what is not explained.
EXPLAINED = Scale(lambda value: -math.log(1 - value), lambda value: 1 / (1 - value), lambda x: 1 - math.exp(-x))

#: Of correlations and kappas, from -1 to 1: Fisher's (1915).
CORRELATION = Scale(math.atanh, lambda value: 1 / (1 - value**2), math.tanh)

#: Of fractions, from 0 to 1: the log-odds, see `fraction_interval`.
FRACTION = None


def scaled_interval(found: Estimate, scale: Scale | None, worth: float) -> tuple[float, float]:
    """Both ends of the 95 % interval; nan where it is not defined, as at the end of a range.

    >>> low, high = scaled_interval(Estimate(2.0, 0.2, math.inf), ERROR, 30)
    >>> round(low, 3), round(high, 3)
    (1.644, 2.433)
    """
    if scale is None:
        return fraction_interval(found, worth)
    try:
        moved, slope = scale.there(found.value), scale.slope(found.value)
        low, high = Estimate(moved, found.error * slope, found.freedom).interval()
        return scale.back(low), scale.back(high)
    except (ValueError, ZeroDivisionError, OverflowError):
        return math.nan, math.nan
