"""Whether a difference is larger than the noise, and how to say it."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Chance of calling a difference real where there is none, over all comparisons together (with Holm's correction).
ALPHA = 0.05


def verdict(difference: float, corrected: float, delong: Sequence[float]) -> str:
    """`larger`, `smaller`, `noise`, `unclear` or `undefined`.

    The bootstrap decides, as it holds what the seeds vary by, too. DeLong's test looks at the predictions averaged
    over seeds, hence at the images alone; where only one of the two sees a difference, it is unclear.

    Args:
        difference: In AUC.
        corrected: The bootstrap's corrected p-value.
        delong: Corrected p-values of DeLong's test, one for each class.

    >>> verdict(0.05, 0.01, [0.02]), verdict(0.05, 0.3, [0.4]), verdict(0.05, 0.3, [0.02])
    ('larger', 'noise', 'unclear')
    """
    if math.isnan(difference) or math.isnan(corrected):
        return "undefined"
    by_bootstrap = corrected < ALPHA
    by_delong = any(p < ALPHA for p in delong)
    known = any(not math.isnan(p) for p in delong)
    if by_bootstrap and (by_delong or not known):
        return "larger" if difference > 0 else "smaller"
    return "unclear" if by_bootstrap or by_delong else "noise"


def sentence(
    said: str, run: str, other: str, difference: float, interval: tuple[float, float], corrected: float
) -> str:
    """What a verdict means, with its numbers.

    >>> sentence("noise", "hash", "all", 0.01, (-0.02, 0.04), 0.5)
    'hash and all: the difference in AUC, +0.010 [−0.020, +0.040], is within the noise (corrected p = 0.50).'
    """
    if said == "undefined":
        return f"{run} and {other}: the AUC is not defined, as a class has no image."
    low, high = interval
    if said == "smaller":
        # The better one comes first, and its difference is the positive one.
        run, other, difference, low, high = other, run, -difference, -high, -low
    numbers = f"{signed(difference)} [{signed(low)}, {signed(high)}]"
    p = f"corrected p {p_text(corrected)}"
    if said == "noise":
        return f"{run} and {other}: the difference in AUC, {numbers}, is within the noise ({p})."
    if said == "unclear":
        return (
            f"{run} and {other}: unclear. The bootstrap over images and seeds and DeLong's test on averaged "
            f"predictions disagree about the difference in AUC, {numbers} ({p}): take it as within the noise "
            "until more images or seeds say otherwise."
        )
    return f"{run} is better than {other}: the difference in AUC, {numbers}, is larger than the noise ({p})."


def signed(value: float) -> str:
    """Three decimals with a sign, as in print.

    >>> signed(-0.0123), signed(0.5), signed(-0.0001)
    ('−0.012', '+0.500', '0.000')
    """
    text = f"{value:+.3f}"
    return "0.000" if text in ("-0.000", "+0.000") else text.replace("-", "−")


def p_text(p: float) -> str:
    """A p-value with its relation.

    >>> p_text(0.0321), p_text(0.4567), p_text(0.0001)
    ('= 0.032', '= 0.46', '< 0.001')
    """
    if math.isnan(p):
        return "not defined"
    if p < 0.001:
        return "< 0.001"
    return f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"
