"""Turn names of options, as in Python and files, into flags; the only place that knows about dashes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Flags of the running command, by the name of the option.
_of_command: dict[str, str] = {}


def flag(name: str) -> str:
    """The flag of an option, from its name.

    >>> flag("volume_pattern")
    '--volume-pattern'
    """
    return f"--{name.replace('_', '-')}"


def use_flags(command: Any) -> None:
    """From now on, use this command's flags."""
    _of_command.clear()
    for parameter in command.params:
        long = [name for name in parameter.opts if name.startswith("--")]
        if long:
            _of_command[str(parameter.name)] = long[0]


def in_flags(message: object) -> str:
    """A sentence with flags instead of names: for options in backquotes, and for one at the beginning."""
    return translated(str(message), getattr(message, "field", None), _of_command)


def translated(text: str, field: str | None, flags: Mapping[str, str]) -> str:
    """A sentence with flags instead of names.

    >>> flags = {"keep": "--keep", "threshold": "--threshold"}
    >>> translated("keep 3: give `threshold` in `bits`", "keep", flags)
    '--keep 3: give --threshold in `bits`'
    """
    if field is not None and field in flags and text.startswith(field):
        text = flags[field] + text[len(field) :]
    return re.sub(r"`(\w+)`", lambda found: flags.get(found[1], found[0]), text)
