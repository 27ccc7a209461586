"""From a configuration or single options to the configuration; unknown names are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ctprune.errors import ConfigError
from ctprune.options.option import options_of

C = TypeVar("C")


def configure(kind: type[C], config: C | None, options: Mapping[str, Any]) -> C:
    """The configuration that a function was given, whole or as single options.

    Beside a whole one only options are taken that do not decide the result, such as `threads`.

    Raises:
        ConfigError: An option that is unknown, cannot be used, or was given beside a configuration.
    """
    known = options_of(kind)
    refuse_unknown(options, known)
    if config is None:
        return kind(**options)
    if not isinstance(config, kind):
        raise ConfigError(f"config: expected {kind.__name__}, found {type(config).__name__}", field="config")
    for name in options:
        if known[name].about.decides:
            raise ConfigError(
                f"{name} and a whole {kind.__name__} cannot be combined: set the option in the configuration",
                field=name,
            )
    return dataclasses.replace(config, **options) if options else config  # type: ignore[type-var]


def refuse_unknown(names: Iterable[str], known: Iterable[str], *, before: str = "") -> None:
    """Refuse a name that is none of those known, and say which one may be meant.

    Raises:
        ConfigError: The sentence begins with `before` and the name.

    >>> refuse_unknown(["treshold"], ["threshold", "keep"])
    Traceback (most recent call last):
        ...
    ctprune.errors.ConfigError: treshold: unknown option: did you mean threshold?
    """
    known = list(known)
    for name in names:
        if name in known:
            continue
        import difflib

        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
        raise ConfigError(f"{before}{name}: unknown option: {hint}")
