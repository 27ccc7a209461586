"""Intervals of measures on scales on which they are nearly normal, so that none leaves its measure's range."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ctprune.evaluation.estimate import Estimate


@dataclass(frozen=True)
class Scale:
    """How a measure is transformed before its interval is taken.

    Attributes:
        there: The transformation.
        slope: Its derivative, by which a standard error is multiplied.
        back: From the transformed value to the measure.
        widest: Largest difference that two values can have.
    """

    there: Callable[[float], float]
    slope: Callable[[float], float]
    back: Callable[[float], float]
    widest: float = math.inf


#: Of errors, from 0 up: the logarithm.
ERROR = Scale(math.log, lambda value: 1 / value, math.exp)

#: Of shares of explained variance, up to 1: the logarithm of what is not explained.
EXPLAINED = Scale(lambda value: -math.log(1 - value), lambda value: 1 / (1 - value), lambda x: 1 - math.exp(-x))

#: Of correlations and kappas, from -1 to 1: Fisher's (1915).
CORRELATION = Scale(math.atanh, lambda value: 1 / (1 - value**2), math.tanh, widest=2.0)

#: Of fractions, from 0 to 1: the log-odds, see `fraction_interval`.
FRACTION = None


def fraction_interval(found: Estimate, worth: float) -> tuple[float, float]:
    """The interval of a measure within 0 … 1, taken on its log-odds, so that it never leaves them.

    All right (or all wrong) has no spread to go by. Then the other end is where so many independent patients are
    still all right with a chance of 2.5 %; for the AUC these are disjoint pairs of patients.

    >>> low, high = fraction_interval(Estimate(0.9, 0.05, math.inf), 30)
    >>> round(low, 3), round(high, 3)
    (0.752, 0.964)
    >>> low, high = fraction_interval(Estimate(1.0, 0.0, math.inf), 30)
    >>> round(low, 3), high
    (0.884, 1.0)
    """
    if math.isnan(found.value) or math.isnan(found.error):
        return math.nan, math.nan
    if not 0 < found.value < 1:
        reach = 0.025 ** (1 / worth)
        return (reach, 1.0) if found.value >= 1 else (0.0, 1 - reach)
    # The derivative of the log-odds is 1 / (x (1 − x)).
    odds = math.log(found.value / (1 - found.value))
    error = found.error / (found.value * (1 - found.value))
    ends = Estimate(odds, error, found.freedom).interval()
    low, high = (1 / (1 + math.exp(-min(max(end, -700.0), 700.0))) for end in ends)
    return low, high


def widest_difference(scale: Scale | None) -> float:
    """Largest difference that two values of a measure can have.

    >>> widest_difference(FRACTION), widest_difference(CORRELATION), widest_difference(ERROR)
    (1.0, 2.0, inf)
    """
    return 1.0 if scale is None else scale.widest


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
