"""The configuration of a search for duplicates: a frozen dataclass that checks itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TypedDict

from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import option
from ctprune.options.parse import fraction
from ctprune.options.shared import threads_option

#: Which volume of a group is recommended.
PREFERENCES = ("soft", "sharp", "thin", "thick")


def min_overlap_option() -> float:
    """A field for the share of a volume that must lie within another."""
    return option(
        0.5,
        parse=partial(fraction, "min_overlap"),
        above=0,
        high=1,
        noun="a fraction",
        example=0.5,
        metavar="FRACTION",
        help="Share of the shorter volume that must lie within the other, such as 0.5 or 50%.",
    )


def turned_option() -> bool:
    """A field for whether turned pictures also count."""
    return option(
        True, negative=True, help="Also find pictures that are mirrored or turned by half a turn; dHash only."
    )


@described
@dataclass(frozen=True, kw_only=True)
class DuplicatesConfig:
    """What counts as the same scan, and which volume of a group is recommended.

    Raises:
        ConfigError: An option cannot be used.

    >>> DuplicatesConfig(prefer="sharp").min_overlap
    0.5
    """

    threshold: int | None = option(
        None,
        low=0,
        high=1024,
        unit="bits",
        help="Largest median Hamming distance of aligned slices; default 3 of 64 bits.",
    )
    min_overlap: float = min_overlap_option()
    turned: bool = turned_option()
    pixels: bool = option(
        True, negative=True, help="Read a few aligned slices of each pair and give their correlation."
    )
    prefer: str = option(
        "soft", choices=PREFERENCES, help="Volume of a group to recommend: by kernel or by slice thickness."
    )
    threads: int = threads_option()

    def __post_init__(self) -> None:
        check(self)


class DuplicatesOptions(TypedDict, total=False):
    """The options of `DuplicatesConfig` as arguments of a function, for type checkers and editors."""

    threshold: int | None
    min_overlap: float
    turned: bool
    pixels: bool
    prefer: str
    threads: int
