"""The configuration of a prediction: a frozen dataclass that checks itself. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import option
from ctprune.options.shared import device_option, threads_option


@described
@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """How new images are predicted.

    Raises:
        ConfigError: An option that cannot be used.
    """

    calibrated: bool = option(
        False,
        help="Scale probabilities by the temperatures fitted on validation.",
        more="Each seed has its own temperature.",
    )
    device: str = device_option()
    threads: int = threads_option(what="Threads that read images")

    def __post_init__(self) -> None:
        check(self)


class PredictOptions(TypedDict, total=False):
    """The options of `PredictConfig` as arguments of a function, for type checkers and editors."""

    calibrated: bool
    device: str
    threads: int
