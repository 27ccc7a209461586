"""The measure that decides whether models differ, by what labels are, and how sentences speak of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctprune.errors import ConfigError
from ctprune.evaluation.label_measures import LABEL_SCALES
from ctprune.evaluation.level_measures import LEVEL_SCALES
from ctprune.evaluation.numbers import NUMBER_SCALES
from ctprune.evaluation.scales import FRACTION, widest_difference
from ctprune.finetuning.words import metric_name
from ctprune.options.shared import CLASSES, MULTI_LABEL, ORDINAL, REGRESSION

#: Where a smaller number is the better one.
LOWER_IS_BETTER = frozenset({"calibration_error", "mae", "rmse", "mae_levels"})


@dataclass(frozen=True, kw_only=True)
class Decisive:
    """The measure that decides.

    Attributes:
        metric: Its name in results.
        beside: Name of the measure that short tables show beside it.
        widest: Largest difference that two values can have.
        needed: Whose patients a verdict counts, after their number.
        undefined: Why it may not be defined.
    """

    metric: str
    beside: str
    widest: float
    needed: str
    undefined: str

    @property
    def title(self) -> str:
        """Its name in sentences."""
        return metric_name(self.metric)

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller value is the better one."""
        return self.metric in LOWER_IS_BETTER

    def is_better(self, difference: float) -> bool:
        """Whether a model that differs so from another one is the better of the two.

        >>> DECISIVE["regression"].is_better(-0.5), DECISIVE["classes"].is_better(-0.5)
        (True, False)
        """
        return difference < 0 if self.lower_is_better else difference > 0

    def check_margin(self, margin: float | None) -> None:
        """Refuse a margin that no difference can exceed.

        Raises:
            ConfigError: The margin is not below the largest difference.
        """
        if margin is not None and margin >= self.widest:
            raise ConfigError(
                f"margin {margin:g}: expected a difference in {self.title} below {self.widest:g}", field="margin"
            )


#: By what labels are.
DECISIVE = {
    CLASSES: Decisive(
        metric="auc",
        beside="accuracy",
        widest=widest_difference(FRACTION),
        needed=" of each class",
        undefined="a class has no image",
    ),
    MULTI_LABEL: Decisive(
        metric="auc",
        beside="average_precision",
        widest=widest_difference(LABEL_SCALES["auc"]),
        needed=" with and without each label",
        undefined="all images have the same labels",
    ),
    ORDINAL: Decisive(
        metric="quadratic_kappa",
        beside="mae_levels",
        widest=widest_difference(LEVEL_SCALES["quadratic_kappa"]),
        needed="",
        undefined="all true and predicted levels are the same",
    ),
    REGRESSION: Decisive(
        metric="mae",
        beside="r2",
        widest=widest_difference(NUMBER_SCALES["mae"]),
        needed="",
        undefined="there is no image",
    ),
}


def decisive_of(config: Mapping[str, Any]) -> Decisive:
    """The measure that decides about results with these options of fine-tuning.

    >>> decisive_of({"target": "ordinal"}).title
    'quadratic weighted kappa'
    """
    return DECISIVE[target_of(config)]


def target_of(config: Mapping[str, Any]) -> str:
    """What labels are, by the options of fine-tuning; results from before there was a choice have classes."""
    return str(config.get("target") or CLASSES)
