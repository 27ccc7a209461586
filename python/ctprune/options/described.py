"""Docstrings of configurations: the list of options is made from their fields."""

from __future__ import annotations

import textwrap
from typing import TypeVar

from ctprune.options.check import expected_range
from ctprune.options.option import Option, options_of

C = TypeVar("C")

_RAISES = "    Raises:\n"
_WIDTH = 110


def described(config: type[C]) -> type[C]:
    """Put a list of the options, made of what the fields say, into the docstring: before what is raised."""
    before, raises, after = (config.__doc__ or "").partition(_RAISES)
    options = "".join(_lines(one) for one in options_of(config).values())
    config.__doc__ = f"{before.rstrip()}\n\n    Args:\n{options}\n{raises}{after}"
    return config


def _lines(option: Option) -> str:
    about = option.about
    sentences = [about.help, about.more]
    if about.choices:
        sentences.append(f"One of {', '.join(f'`{choice}`' for choice in about.choices)}.")
    elif option.kind in (int, float) and not (about.low is about.above is about.high is None):
        sentences.append(f"Expected: {expected_range(about, about.noun)}.")
    if about.default_text:
        sentences.append(f"Default: {about.default_text}.")
    elif option.default not in (None, ()):
        sentences.append(f"Default: {option.default}.")
    text = f"{option.name}: {' '.join(filter(None, sentences))}"
    return textwrap.fill(text, _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 12) + "\n"
