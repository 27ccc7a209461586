"""From names of options, as Python and files have them, to flags: the one place that knows of dashes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Flags of the command that runs, by the name of the option.
_of_command: dict[str, str] = {}


def flag(name: str) -> str:
    """The flag of an option, from its name.

    >>> flag("volume_pattern")
    '--volume-pattern'
    """
    return f"--{name.replace('_', '-')}"


def use_flags(command: Any) -> None:
    """Speak of this command's options from now on."""
    _of_command.clear()
    for parameter in command.params:
        long = [name for name in parameter.opts if name.startswith("--")]
        if long:
            _of_command[str(parameter.name)] = long[0]


def in_flags(message: object) -> str:
    """A sentence with flags in place of names: of options in backquotes, and of the one that stands first."""
    return translated(str(message), getattr(message, "field", None), _of_command)


def translated(text: str, field: str | None, flags: Mapping[str, str]) -> str:
    """A sentence with flags in place of names.

    >>> flags = {"keep": "--keep", "threshold": "--threshold"}
    >>> translated("keep 3: give `threshold` in `bits`", "keep", flags)
    '--keep 3: give --threshold in `bits`'
    """
    if field is not None and field in flags and text.startswith(field):
        text = flags[field] + text[len(field) :]
    return re.sub(r"`(\w+)`", lambda found: flags.get(found[1], found[0]), text)
