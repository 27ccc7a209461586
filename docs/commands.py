"""Write every command's help into its page: `python -m docs.commands`."""

from __future__ import annotations

from pathlib import Path

import typer
from docs.marks import between

from ctprune.cli import COMMANDS, app

PAGE = Path(__file__).parent / "commands.md"

#: Columns of the text.
_WIDTH = 100


def reference() -> str:
    """A section for each command, with its help as the terminal shows it."""
    program = typer.main.get_command(app)
    group = typer.Context(program, info_name="ctprune", **program.context_settings)
    sections = []
    for name in COMMANDS:
        command = program.get_command(group, name)
        context = typer.Context(command, info_name=name, parent=group, terminal_width=_WIDTH, color=False)
        sections.append(f"## ctprune {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(sections)


def inserted(page: str) -> str:
    """The page with the sections between its marks."""
    return between(page, "commands", f"\n{reference()}\n", "end of commands")


if __name__ == "__main__":
    PAGE.write_text(inserted(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
