"""Help as plain text with the options in sections.

Typer can draw boxes with rich instead, but loading what draws them takes longer than all the rest of `--help`.
"""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

from ctprune.cli.flags import use_flags


class SectionedCommand(TyperCommand):
    """A command whose help lists each option under its `rich_help_panel`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command, whose messages then use its own flags."""
        use_flags(self)
        return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections in the order in which their first options were declared."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                kind = "Arguments" if is_argument else "Options"
                title = getattr(parameter, "rich_help_panel", None) or kind
                name = str(parameter.metavar) if is_argument else _named(record[0], parameter.metavar)
                sections.setdefault(title, []).append((name, record[1]))
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


#: Placeholder of a value, by Typer's name of its kind (in capital letters in older versions).
_VALUES = {"int": "N", "integer": "N", "float": "X", "path": "PATH", "file": "PATH", "directory": "PATH"}


def _named(option: str, metavar: str | None) -> str:
    """An option with a placeholder for its value; Typer would show Python's type, such as `list[Path]`.

    >>> _named("--out <path>", None), _named("--exclude <list[Path]>", None), _named("--keep FRACTION", "FRACTION")
    ('--out PATH', '--exclude PATH', '--keep FRACTION')
    """
    found = None if metavar else re.fullmatch(r"(.*) (?:<(?:list\[)?(\w+).*>|([A-Z]+)(?: RANGE)?)", option)
    if found is None:
        return option
    kind = (found[2] or found[3]).lower()
    return f"{found[1]} {_VALUES.get(kind, 'TEXT')}"


class WholeSummaries(TyperGroup):
    """A group whose help describes each command in a whole sentence, over several lines if needed."""

    def summary(self, name: str) -> str:
        """What a command does, in one sentence."""
        return first_sentence(self.commands[name].help)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, in order."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.summary(name)) for name in self.list_commands(ctx)])


def first_sentence(text: str | None) -> str:
    r"""The first sentence of a docstring.

    >>> first_sentence("Write a page: one.\n\nMore.")
    'Write a page: one.'
    """
    paragraph = " ".join((text or "").split("\n\n")[0].split())
    return f"{paragraph.partition('. ')[0].removesuffix('.')}."
