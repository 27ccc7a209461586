"""What is said about an option, beside the field that holds it: meaning, range, choices, unit.

The dataclasses of configuration are made of such fields. What checks values, reads files, writes docstrings and
builds the command line takes all it says from here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: The smallest and the largest of numbers.
Range = tuple[float, float]

_KEY = "option"


@dataclasses.dataclass(frozen=True, kw_only=True)
class About:
    """What is said about an option.

    Attributes:
        help: One sentence for the command line and the docstring, without the default and the range.
        more: What a reader of the docstring should know besides.
        noun: What a value is, such as `a fraction`; by default from the type.
        example: A value that can be used, for the sentence that refuses another.
        unit: Unit of the value.
        expected: What a value must be, in words, where type, range and unit do not say it.
        choices: The values that can be used.
        low: Smallest value.
        above: What a value must be larger than, in place of `low`.
        high: Largest value.
        default_text: The default in words, where another option decides it.
        metavar: What stands for the value on the command line.
        panel: Section of the command line's help.
        flag: Name on the command line, where it is another: the singular of what can be given several times.
        short: Another, shorter name on the command line.
        negative: Whether the command line can also say no to it.
        repeatable: Whether the command line takes it several times, each a part of the value.
        hidden: Whether it is for files and Python only.
        is_path: Whether it names files or folders: their contents decide, not where they lie.
        parse: From text, or a list of texts, to the value.
        decides: Whether it decides the result, or only how that comes about.
        belongs_to: The option that this one is of no use without: where that one changes, this one starts anew.
        rivals: Options that it takes the place of.
    """

    help: str
    more: str = ""
    noun: str = ""
    example: object = None
    unit: str = ""
    expected: str = ""
    choices: tuple[object, ...] = ()
    low: float | None = None
    above: float | None = None
    high: float | None = None
    default_text: str = ""
    metavar: str | None = None
    panel: str | None = None
    flag: str | None = None
    short: str | None = None
    negative: bool = False
    repeatable: bool = False
    hidden: bool = False
    is_path: bool = False
    parse: Callable[[Any], Any] | None = None
    decides: bool = True
    belongs_to: str | None = None
    rivals: tuple[str, ...] = ()


def about(help: str, **said: Any) -> dict[str, About]:
    """Metadata of a field, for `dataclasses.field`: see `About` for what can be said."""
    return {_KEY: About(help=help, **said)}


def option(default: T, *, help: str, **said: Any) -> T:
    """A field of a configuration: its default, and what is said about it (see `About`)."""
    found: T = dataclasses.field(default=default, metadata=about(help, **said))
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """An option of a configuration.

    Attributes:
        name: Of the field.
        kind: `int`, `float`, `bool`, `str`, `list` (of texts), `tuple` (the smallest and the largest of numbers)
            or, for all else, `object`.
        is_optional: Whether None can stand for a value.
        default: Of the field; None where there is none.
        about: What is said about it.
    """

    name: str
    kind: type
    is_optional: bool
    default: Any
    about: About


#: By the text of the annotation, without `| None`.
_KINDS: dict[str, type] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "tuple[str, ...]": list,
    "Range": tuple,
}


_known: dict[type, dict[str, Option]] = {}


def options_of(config: type) -> dict[str, Option]:
    """The options of a configuration's class, by name, in its own order."""
    if config not in _known:
        _known[config] = _options_of(config)
    return _known[config]


def _options_of(config: Any) -> dict[str, Option]:
    found = {}
    for field in dataclasses.fields(config):
        if _KEY not in field.metadata:
            continue
        parts = [part.strip() for part in str(field.type).split("|")]
        given = [part for part in parts if part != "None"]
        kind = _KINDS.get(given[0], object) if len(given) == 1 else object
        default = field.default
        if default is dataclasses.MISSING:
            default = None if field.default_factory is dataclasses.MISSING else field.default_factory()
        found[field.name] = Option(
            name=field.name,
            kind=kind,
            is_optional="None" in parts,
            default=default,
            about=field.metadata[_KEY],
        )
    return found


def deciding(config: Any) -> dict[str, Any]:
    """The options that decide the result, by name; plain lists in place of tuples."""
    return {
        name: _plain(getattr(config, name)) for name, one in options_of(type(config)).items() if one.about.decides
    }


def all_options(config: Any) -> dict[str, Any]:
    """All options by name, as they can be given again; plain lists in place of tuples."""
    return {name: _plain(getattr(config, name)) for name in options_of(type(config))}


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
