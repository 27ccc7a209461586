"""Options in YAML files: read, put below what is given besides, and saved beside a result."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctprune.errors import ConfigError
from ctprune.files.atomic import replace_file
from ctprune.options.configure import refuse_unknown
from ctprune.options.option import deciding, options_of

#: What YAML reads as text without quotes; some words stand for other values.
_WORD = re.compile(r"(?!(?i:yes|no|on|off|true|false|null)$)[A-Za-z][A-Za-z_]{0,62}")


def read_options(kind: type, file: Path) -> dict[str, Any]:
    """The options in a file, by name; those without a value are left out.

    Raises:
        ConfigError: The file cannot be read, or names an option that the configuration does not have.
    """
    found = read_yaml(file)
    refuse_unknown(found, options_of(kind), before=f"{file}: ")
    return as_given(kind, found)


def as_given(kind: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a YAML file as Python would give them: without those that have no value, numbers as numbers."""
    known = options_of(kind)
    return {
        name: _number(value) if known[name].kind is float and isinstance(value, str) else value
        for name, value in options.items()
        if value is not None
    }


def layered(kind: type, below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Options of both; those of `above` win, and take out of `below` what has no place beside them."""
    known = options_of(kind)
    gone = set(above)
    for name in above:
        gone.update(known[name].about.rivals)
        if name in below and below[name] != above[name]:
            gone.update(other for other, one in known.items() if one.about.belongs_to == name)
    return {name: value for name, value in below.items() if name not in gone} | dict(above)


def save_options(config: Any, file: Path) -> None:
    """Write the options that decide the result, so that they can be given again by the file's name.

    The others, such as `threads`, are the machine's: the same result has the same file.

    Raises:
        OutputError: The file cannot be written.
    """
    write_yaml(deciding(config), file)


def write_yaml(options: Mapping[str, Any], file: Path) -> None:
    """Write options to a YAML file.

    Raises:
        OutputError: The file cannot be written.
    """
    with replace_file(file) as beside:
        beside.write_text(yaml_of(options), encoding="utf-8")


def yaml_of(options: Mapping[str, Any]) -> str:
    """Options as YAML, in their order, as `yaml.safe_dump` writes them.

    >>> print(yaml_of({"method": "hash", "keep": None, "exclude": [], "stable": False}), end="")
    method: hash
    keep: null
    exclude: []
    stable: false
    """
    simple = {name: _simple(value) for name, value in options.items()}
    if simple and all(text is not None and _WORD.fullmatch(name) for name, text in simple.items()):
        return "".join(f"{name}: {text}\n" for name, text in simple.items())
    import yaml

    return str(yaml.safe_dump(dict(options), sort_keys=False, allow_unicode=True))


def _simple(value: Any) -> str | None:
    """A value that is written as it stands: the options of most calls, which need not wait for yaml to load."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if type(value) is int:
        return str(value)
    if isinstance(value, list) and not value:
        return "[]"
    return value if type(value) is str and _WORD.fullmatch(value) else None


def read_yaml(file: Path) -> dict[str, Any]:
    """A mapping from a YAML file.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    import yaml

    try:
        found = yaml.safe_load(_text_of(file))
    except OSError as error:
        raise ConfigError(f"{file}: expected a YAML file: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    return mapping(str(file), {} if found is None else found)


def _text_of(file: Path) -> str:
    """The text of a file, or of a FIFO that has a writer, such as the shell's `<(…)`."""
    is_fifo = file.is_fifo()
    if file.exists() and not (file.is_file() or is_fifo or file.is_dir()):
        raise ConfigError(f"{file}: expected a YAML file, found none")
    with open(file, encoding="utf-8", opener=_open_without_waiting) as opened:
        text = opened.read()
    if is_fifo and not text:
        raise ConfigError(f"{file}: expected a YAML file, found a FIFO that nobody writes to")
    return text


def _open_without_waiting(file: str, flags: int) -> int:
    """Open a file; a FIFO that nobody writes to has no content, rather than waiting for a writer."""
    if os.name == "nt":
        return os.open(file, flags)
    descriptor = os.open(file, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def mapping(name: str, value: Any) -> dict[str, Any]:
    """Options by name, of a part of a file.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{name}: expected options by name, found {type(value).__name__}")
    return dict(value)


def _number(text: str) -> float | str:
    """YAML takes 1e-3 for text, as it wants a dot."""
    try:
        return float(text)
    except ValueError:
        return text
