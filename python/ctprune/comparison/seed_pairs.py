"""Pre-trainings of the same seed, which are compared with each other: one of each of two results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctprune.comparison.result import Result
from ctprune.errors import ConfigError
from ctprune.evaluation.estimate import Estimate
from ctprune.evaluation.levels import Levels
from ctprune.evaluation.measured import Measured


def has_pairs(found: Measured, a: int, b: int) -> bool:
    """Whether two results have several pre-trainings each; fine-tunings of one backbone belong to no others.

    Args:
        found: What was measured of all results.
        a: Index of a result.
        b: Index of the other one.
    """
    return min(found.levels[a].pretrainings, found.levels[b].pretrainings) > 1


def difference_by_seed(results: Sequence[Result], found: Measured, a: int, b: int, metric: str) -> Estimate:
    """How much larger a measure of the first result is: the mean of the differences of each seed.

    Args:
        results: The results.
        found: What was measured of them.
        a: Index of the first result.
        b: Index of the second result.
        metric: The measure.

    Raises:
        ConfigError: A seed is not known, is there twice, or only in one of both.
    """
    first, second = (_levels_by_seed(results[index], found.levels[index]) for index in (a, b))
    if first.keys() != second.keys():
        raise _unpaired(
            f"expected pre-trainings of the same seeds, found {_text(first)} of {results[a].name} and "
            f"{_text(second)} of {results[b].name}: pre-train the missing ones, or leave `pair_seeds` out"
        )
    seeds = sorted(first)
    levels = {a: [first[seed] for seed in seeds], b: [second[seed] for seed in seeds]}
    return found.paired({a: 1.0, b: -1.0}, levels, metric)


def _levels_by_seed(result: Result, levels: Levels) -> dict[int, int]:
    """The place of the level of each seed of pre-training."""
    found: dict[int, int] = {}
    for place, row in enumerate(levels.weights):
        seed = result.pretraining_seeds[int(np.flatnonzero(row)[0])]
        if seed is None:
            raise _unpaired(
                f"expected weights whose seed of pre-training is known, found others of {result.name}: leave "
                "`pair_seeds` out"
            )
        if seed in found:
            raise _unpaired(
                f"expected one pre-training of each seed, found two of seed {seed} of {result.name}: leave one out"
            )
        found[seed] = place
    return found


def _unpaired(why: str) -> ConfigError:
    return ConfigError(f"pair_seeds: {why}", field="pair_seeds")


def _text(seeds: dict[int, int]) -> str:
    return ", ".join(map(str, sorted(seeds)))
