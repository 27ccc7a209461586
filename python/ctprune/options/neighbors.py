"""Options that name the slices near a slice: `neighbors:MM`."""

from __future__ import annotations

import math
from typing import Any

from ctprune.errors import ConfigError
from ctprune.options.option import option

_NEIGHBORS = "neighbors:"

#: The value of `channels` that stands for one gray slice.
GRAY = "gray"

#: Positions come from header texts and from projections: 1 µm apart, they are the same.
TOLERANCE_MM = 1e-3

#: Longer than any scan.
_LARGEST_MM = 10_000


def neighbors_option(name: str, without: str, *, panel: str | None = None, help: str, more: str) -> str:
    """A field for `neighbors:MM` or, by default, a word for doing without neighbors.

    Args:
        name: Name of the field.
        without: The word.
        panel: Section of the command line's help.
        help: As in `option`.
        more: As in `option`.
    """

    def canonical(value: Any) -> str:
        if value == without:
            return without
        text = value.removeprefix(_NEIGHBORS) if isinstance(value, str) and value.startswith(_NEIGHBORS) else ""
        try:
            distance = float(text)
        except ValueError:
            distance = math.nan
        if not 0 < distance <= _LARGEST_MM:
            raise ConfigError(
                f"{name} {value}: expected {without} or {_NEIGHBORS}MM with a distance above 0 and up to "
                f"{_LARGEST_MM:,} mm, such as {_NEIGHBORS}5",
                field=name,
            )
        # The shortest text that means this very number.
        return f"{_NEIGHBORS}{distance!r}".removesuffix(".0")

    return option(
        without,
        metavar=f"[{without}|{_NEIGHBORS}MM]",
        noun=f"{without} or {_NEIGHBORS}MM",
        parse=canonical,
        panel=panel,
        help=help,
        more=more,
    )


def neighbors_mm(value: str) -> float | None:
    """The distance in the value of a `neighbors_option`, in mm; None without neighbors.

    >>> neighbors_mm("neighbors:2.5"), neighbors_mm("same")
    (2.5, None)
    """
    return float(value.removeprefix(_NEIGHBORS)) if value.startswith(_NEIGHBORS) else None
