"""The configuration of a report: a frozen dataclass that checks itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from ctprune.options.check import canonical_intensity, check
from ctprune.options.described import described
from ctprune.options.option import option
from ctprune.options.shared import threads_option


@described
@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Options of a report: what it shows.

    Raises:
        ConfigError: An option cannot be used.

    >>> ReportConfig(intensity="window:40,400").intensity
    'hu:-160,240'
    """

    # Wide enough for lungs, soft tissue and bone at once.
    intensity: str = option(
        "window:-200,1600",
        help="How HU map to gray in the pictures: a window (lung, mediastinum …), window:C,W or hu:LOW,HIGH.",
        more="As `intensity` of `ctprune.ReduceConfig`.",
    )
    threads: int = threads_option()

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "intensity", canonical_intensity("intensity", self.intensity))


class ReportOptions(TypedDict, total=False):
    """The options of `ReportConfig` as arguments of a function, for type checkers and editors."""

    intensity: str
    threads: int
