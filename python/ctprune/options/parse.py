"""From the text of an option to its value."""

from __future__ import annotations

from typing import Any

from ctprune.errors import ConfigError


def fraction(name: str, text: str) -> float:
    """A fraction, also as a percentage.

    Raises:
        ConfigError: The text is none.

    >>> fraction("keep", "7%"), fraction("keep", "0.07")
    (0.07, 0.07)
    """
    from decimal import Decimal

    number, percent, rest = text.strip().partition("%")
    try:
        if rest:
            raise ValueError
        # Of 7 %, a hundredth of 7.0 is not 0.07, but what is written with two places more is.
        return float(Decimal(number) / 100 if percent else Decimal(number))
    except (ValueError, ArithmeticError):
        raise ConfigError(f"{name} {text}: expected a fraction, such as 0.1 or 10%", field=name) from None


def keep_fraction(text: str) -> float:
    """The option `keep` from text."""
    return fraction("keep", text)


def thickness_range(text: str) -> tuple[float, float]:
    """The option `thickness` from text.

    Raises:
        ConfigError: The text is no range.

    >>> thickness_range("0.5-5")
    (0.5, 5.0)
    """
    try:
        low, high = (float(part) for part in text.split("-"))
    except ValueError:
        raise ConfigError(f"thickness {text}: expected a range in mm, such as 0.5-5", field="thickness") from None
    return low, high


def numbers_by_method(texts: Any) -> dict[str, list[float]]:
    """Thresholds by method from texts such as `hash=0,3,6`.

    Raises:
        ConfigError: A text is none such.

    >>> numbers_by_method(["hash=0,3"])
    {'hash': [0.0, 3.0]}
    """
    found: dict[str, list[float]] = {}
    for text in [texts] if isinstance(texts, str) else texts:
        method, _, values = text.partition("=")
        try:
            found[method] = [float(value) for value in values.split(",")]
        except ValueError:
            raise ConfigError(
                f"thresholds {text}: expected a method and numbers, such as hash=0,3,6", field="thresholds"
            ) from None
    return found


def pairs(texts: Any) -> list[list[str]]:
    """Pairs of names from texts such as `hash,all`."""
    return [text.split(",") for text in ([texts] if isinstance(texts, str) else texts)]


def whole_numbers(texts: Any) -> Any:
    """A whole number, or those between commas; the text itself where it is none.

    >>> whole_numbers("5"), whole_numbers("0,3"), whole_numbers("five")
    (5, [0, 3], 'five')
    """
    try:
        found = [int(part) for text in ([texts] if isinstance(texts, str) else texts) for part in text.split(",")]
    except ValueError:
        return texts
    return found[0] if isinstance(texts, str) and "," not in texts else found


def decimals(text: str) -> Any:
    """A number, or those between commas; the text itself where it is none.

    >>> decimals("0.5"), decimals("0.5,10"), decimals("thin")
    (0.5, [0.5, 10.0], 'thin')
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        return text
    return found[0] if len(found) == 1 else found


def names_between_commas(texts: Any) -> list[str]:
    """Names from texts such as `low,middle,high`.

    >>> names_between_commas("low, middle"), names_between_commas(["low", "middle,high"])
    (['low', 'middle'], ['low', 'middle', 'high'])
    """
    given = [texts] if isinstance(texts, str) else texts
    return [part.strip() for text in given for part in text.split(",")]
