"""The configuration of a synthetic archive: a frozen dataclass that checks itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import option


@described
@dataclass(frozen=True, kw_only=True)
class PhantomConfig:
    """What is in a synthetic archive.

    Raises:
        ConfigError: An option that cannot be used.

    >>> PhantomConfig(patients=2).slices
    40
    """

    patients: int = option(
        4,
        low=1,
        high=9999,
        help="Number of patients.",
        more="Patient 1 does not depend on the number of patients.",
    )
    seed: int = option(1, low=0, high=2**63 - 1, help="Seed; the same seed gives the same bytes.")
    size: int = option(256, low=64, high=2048, help="Rows and columns of a slice.")
    slices: int = option(40, low=1, high=440, help="Largest number of slices in a series.")

    def __post_init__(self) -> None:
        check(self)


class PhantomOptions(TypedDict, total=False):
    """The options of `PhantomConfig` as arguments of a function, for type checkers and editors."""

    patients: int
    seed: int
    size: int
    slices: int
