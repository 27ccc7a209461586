"""Values of options that can be written in several ways: normalization and seeds."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from ctprune.errors import ConfigError

#: Ways to choose mean and standard deviation, besides two numbers.
NORMALIZATIONS = ("auto", "imagenet", "train")


def mean_and_std(text: str) -> tuple[float, float]:
    """Mean and standard deviation from their text.

    Raises:
        ConfigError: The text does not hold two such numbers.

    >>> mean_and_std("0.56,0.29")
    (0.56, 0.29)
    """
    try:
        mean, std = map(float, text.split(","))
    except ValueError:
        mean, std = 0.0, 0.0
    if not (0 <= mean <= 1 and 0 < std <= 1):
        raise ConfigError(
            f"normalize {text}: expected {', '.join(NORMALIZATIONS)}, or a mean and a standard deviation as "
            "fractions of 255, such as 0.56,0.29",
            field="normalize",
        )
    return mean, std


def seeds_of(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """The list of seeds, from their number or from a list.

    Raises:
        ConfigError: The value is neither.

    >>> seeds_of(2), seeds_of([7])
    ((0, 1), (7,))
    """
    try:
        is_count = isinstance(seeds, int) and not isinstance(seeds, bool)
        found = tuple(range(seeds)) if is_count else tuple(operator.index(seed) for seed in seeds)  # type: ignore
    except TypeError:
        found = ()
    if not found or len(set(found)) < len(found) or not all(0 <= seed < 2**63 for seed in found):
        raise ConfigError(
            f"seeds {seeds}: expected a number from 1, or different seeds from 0 to 2^63 - 1", field="seeds"
        )
    return found
