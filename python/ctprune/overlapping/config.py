"""The configuration of a search for overlap: a frozen dataclass that checks itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TypedDict

from ctprune.duplicates.config import min_overlap_option, turned_option
from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import option
from ctprune.options.parse import fraction
from ctprune.options.shared import threads_option

#: As in `ctprune.tasks.listing`, whose import would load numpy.
SPLITS = ("train", "val", "test")


@described
@dataclass(frozen=True, kw_only=True)
class OverlapConfig:
    """What counts as overlap, and how much of it is allowed.

    Raises:
        ConfigError: An option cannot be used.

    >>> OverlapConfig(max=0.01).threshold is None
    True
    """

    threshold: int | None = option(
        None,
        low=0,
        high=1024,
        unit="bits",
        help="Largest Hamming distance of slices; default the reduction's, or 6 of 64 bits.",
    )
    turned: bool = turned_option()
    min_correlation: float | None = option(
        None,
        above=-1,
        high=1,
        noun="a correlation",
        example=0.99,
        help="Smallest correlation of the gray of two slices, such as 0.99, to count; reads every near slice.",
        more="Fingerprints of different patients are often near. See docs/overlap.md for what this leaves out.",
    )
    min_overlap: float = min_overlap_option()
    split: str | None = option(None, choices=SPLITS, help="Take only this split of B.")
    max: float | None = option(
        None,
        parse=partial(fraction, "max"),
        low=0,
        high=1,
        noun="a fraction",
        example=0.01,
        metavar="FRACTION",
        help="Largest share of B's slices or volumes in A, such as 1%; if exceeded, exit with 1; default any.",
    )
    pairs: int = option(24, low=0, high=500, help="Pairs of slices that the page shows.")
    threads: int = threads_option()

    def __post_init__(self) -> None:
        check(self)


class OverlapOptions(TypedDict, total=False):
    """The options of `OverlapConfig` as arguments of a function, for type checkers and editors."""

    threshold: int | None
    turned: bool
    min_correlation: float | None
    min_overlap: float
    split: str | None
    max: float | None
    pairs: int
    threads: int
