"""Help as plain text with the options in sections.

Typer can draw boxes with rich instead, but loading what draws them takes longer than all the rest of `--help`.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class SectionedCommand(TyperCommand):
    """A command whose help lists each option under the `rich_help_panel` that it names."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections in the order in which their first options were declared."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or kind, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class WholeSummaries(TyperGroup):
    """A group whose help shows what each command does in whole sentences, over several lines where need be."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands as they were registered."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_sentence(self.commands[name])) for name in self.list_commands(ctx)])


def _first_sentence(command: Any) -> str:
    return str(command.get_short_help_str(limit=1000))
