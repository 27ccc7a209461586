"""The configuration of a comparison: a frozen dataclass that checks itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from ctprune.errors import ConfigError
from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import about, option
from ctprune.options.parse import pairs

#: Those of `ctprune.evaluation.correction`, whose import would take numpy's time.
CORRECTIONS = ("holm", "benjamini-hochberg")


@described
@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """The options of a comparison.

    Raises:
        ConfigError: An option that cannot be used.

    >>> CompareConfig(contrasts=[["hash", "all"]]).contrasts
    (('hash', 'all'),)
    """

    names: tuple[str, ...] | None = option(
        None,
        noun="names",
        flag="name",
        help="Name of a result; give one for each, in order. Results with the same name are pre-trainings of one "
        "kind.",
        more="Default: the folders' names.",
    )
    reference: str | None = option(
        None, rivals=("contrasts",), help="Compare each result with this one only; by default, compare every pair."
    )
    contrasts: Sequence[Sequence[str]] | None = field(
        default=None,
        metadata=about(
            rivals=("reference",),
            parse=pairs,
            repeatable=True,
            flag="contrast",
            metavar="A,B",
            help="Compare these two, as planned; repeatable.",
        ),
    )
    margin: float | None = option(
        None,
        expected="a difference above 0 such as 0.02",
        above=0,
        help="Difference too small to matter, such as 0.02 in AUC; also test whether differences are smaller.",
        more="It is one in the measure that decides: the AUC, for levels the quadratic weighted kappa, for "
        "numbers the mean absolute error.",
    )
    pair_seeds: bool = option(
        False,
        help="Compare pre-trainings of the same seed with each other.",
        more="Choose it before you see results: what such pre-trainings share, as the random weights they start "
        "from, then cancels.",
    )
    correction: str = option("holm", choices=CORRECTIONS, help="Correction for several comparisons.")
    resamples: int = option(
        500, low=100, high=1_000_000, help="Resamples of the bootstrap, for measures other than the AUC."
    )
    seed: int = option(
        0, low=0, high=2**64 - 1, help="Seed of the bootstrap.", more="The same seed gives the same numbers."
    )

    def __post_init__(self) -> None:
        check(self)
        if self.contrasts is not None:
            object.__setattr__(self, "contrasts", tuple(tuple(contrast) for contrast in self.contrasts))
        if self.reference is not None and self.contrasts is not None:
            raise ConfigError("`reference` and `contrasts` are mutually exclusive: give only one")


class CompareOptions(TypedDict, total=False):
    """The options of `CompareConfig` as arguments of a function, for type checkers and editors."""

    names: Sequence[str] | None
    reference: str | None
    contrasts: Sequence[Sequence[str]] | None
    margin: float | None
    pair_seeds: bool
    correction: str
    resamples: int
    seed: int
