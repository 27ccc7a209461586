"""Values of options: of the type, among the choices and in the range that their fields name."""

from __future__ import annotations

import dataclasses
import operator
import os
import re
from typing import Any

from ctprune.errors import ConfigError
from ctprune.options.option import About, Option, options_of
from ctprune.sources.addresses import as_address


def check(config: Any, *, group: str = "") -> None:
    """Refuse a configuration with a value that its field does not allow; called by its `__post_init__`.

    Values that stand for the same are brought into one form: lists become tuples, paths become texts.

    Args:
        config: The configuration.
        group: What stands before the options' names, such as `settings.`.

    Raises:
        ConfigError: The sentence begins with the option's name.
    """
    for name, one in options_of(type(config)).items():
        named = dataclasses.replace(one, name=group + name) if group else one
        object.__setattr__(config, name, checked(named, getattr(config, name)))


def checked(option: Option, value: Any) -> Any:
    """The value in its one form.

    Raises:
        ConfigError: It is of another type, none of the choices, or out of range.
    """
    about = option.about
    if value is None and option.is_optional:
        return None
    if about.parse is not None and _is_text(value):
        value = about.parse(value)
    if option.kind is list:
        return _texts(option, value)
    if option.kind is tuple:
        return _pair(option, value)
    if option.kind is str and about.is_path and isinstance(value, os.PathLike):
        # A path object has lost a slash of an address.
        value = as_address(value) or os.fspath(value)
    if about.choices:
        return _choice(option, value)
    if option.kind is int:
        return _whole(option, value)
    if option.kind is float:
        return _number(option, value)
    if option.kind in (bool, str) and not isinstance(value, option.kind):
        expected = "true or false" if option.kind is bool else about.noun or "text"
        raise ConfigError(f"{option.name} {value}: expected {expected}", field=option.name)
    return value


def expected_range(about: About, noun: str = "") -> str:
    """What a number must be, in words.

    >>> expected_range(About(help="", low=2, high=32)), expected_range(About(help="", above=0, high=1), "a number")
    ('2 to 32', 'a number above 0 and up to 1')
    """
    if about.expected:
        return about.expected
    unit = f" {about.unit}" if about.unit else ""
    example = "" if about.example is None else f", such as {about.example}"
    if about.above is not None:
        top = "" if about.high is None else f" and up to {about.high:g}"
        return f"{noun or 'a number'} above {about.above:g}{top}{unit}{example}"
    if about.low is not None and about.high is not None:
        return f"{f'{noun}, ' if noun else ''}{shown(about.low)} to {shown(about.high)}{unit}{example}"
    if about.low is not None:
        return f"{noun or 'a number'}, {shown(about.low)} or more{unit}{example}"
    return f"{noun or 'a number'}{example}"


def shown(number: float) -> str:
    """A bound as people write it.

    >>> shown(2**63 - 1), shown(512), shown(100_000), shown(0.5)
    ('2^63 - 1', '512', '100,000', '0.5')
    """
    if isinstance(number, int):
        power = number.bit_length()
        return (
            f"2^{power} - 1"
            if power > 24 and number == 2**power - 1
            else f"{number:,}"
            if number > 9999
            else str(number)
        )
    return f"{number:g}"


def check_one_group(name: str, pattern: str | None) -> None:
    """Refuse what is no regular expression of one group.

    Raises:
        ConfigError: The sentence begins with the option's name.
    """
    if pattern is None:
        return
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(f"{name} {pattern}: {error}", field=name) from None
    if groups != 1:
        raise ConfigError(f"{name} {pattern}: expected one group in parentheses, found {groups}", field=name)


def canonical_modality(modality: str) -> str:
    """As files have it, in capital letters; `any` stays.

    >>> canonical_modality("mr"), canonical_modality("Any")
    ('MR', 'any')
    """
    return "any" if modality.lower() == "any" else modality.upper()


def canonical_intensity(name: str, intensity: str) -> str:
    """How Hounsfield units become gray, in its one form.

    Raises:
        ConfigError: The sentence begins with the option's name.
    """
    # What shows the help needs no compiled core.
    from ctprune import _core

    try:
        return _core.canonical_intensity(intensity)
    except ValueError as error:
        raise ConfigError(f"{name} {intensity}: {error}", field=name) from None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, str) for item in value)
    )


def _choice(option: Option, value: Any) -> Any:
    choices = option.about.choices
    if option.kind is str and isinstance(value, int) and not isinstance(value, bool):
        # In a YAML file, 32 is a number.
        value = str(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value not in choices:
        unit = f" {option.about.unit}" if option.about.unit else ""
        names = list(map(str, choices))
        expected = " or ".join(names) if option.kind is int else f"one of {', '.join(names)}"
        raise ConfigError(f"{option.name} {value}: expected {expected}{unit}", field=option.name)
    return value


def _whole(option: Option, value: Any) -> int:
    about, found = option.about, None
    if not isinstance(value, bool):
        try:
            found = operator.index(value)
        except TypeError:
            found = None
    if found is None or not _is_within(about, found):
        noun = "" if found is not None and about.high is not None else "a whole number"
        raise ConfigError(
            f"{option.name} {value}: expected {expected_range(about, about.noun or noun)}", field=option.name
        )
    return found


def _number(option: Option, value: Any) -> float:
    about = option.about
    # Numbers of numpy are some as well.
    is_number = not isinstance(value, (bool, str)) and hasattr(value, "__float__")
    if not is_number or not _is_within(about, value):
        noun = about.noun or ("" if is_number else "a number")
        said = f"{value:g}" if is_number else value
        raise ConfigError(f"{option.name} {said}: expected {expected_range(about, noun)}", field=option.name)
    return value if isinstance(value, (int, float)) else float(value)


def _pair(option: Option, value: Any) -> tuple[float, float]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ConfigError(
            f"{option.name} {value}: expected two numbers, the smallest and the largest", field=option.name
        )
    low, high = (float(_number(option, item)) for item in value)
    if low > high:
        raise ConfigError(f"{option.name} {low:g}, {high:g}: expected the smaller number first", field=option.name)
    return low, high


def _is_within(about: About, value: float) -> bool:
    if value != value:
        return False
    return (
        (about.low is None or value >= about.low)
        and (about.above is None or value > about.above)
        and (about.high is None or value <= about.high)
    )


def _texts(option: Option, value: Any) -> tuple[str, ...]:
    noun = option.about.noun or "texts"
    if isinstance(value, (str, bytes)):
        raise ConfigError(
            f"{option.name} {value!r}: expected a sequence of {noun}, found one text", field=option.name
        )
    try:
        # As a path, an address has lost a slash.
        texts = tuple(as_address(item) or os.fspath(item) for item in value)
    except TypeError:
        raise ConfigError(f"{option.name} {value}: expected a sequence of {noun}", field=option.name) from None
    return texts
