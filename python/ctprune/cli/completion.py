"""`ctprune completion`."""

from __future__ import annotations

from typing import Annotated

import click

from ctprune.cli.parameters import Argument

EXAMPLE = "ctprune completion bash >> ~/.bashrc"

SHELLS = ("bash", "zsh", "fish")


def command(
    shell: Annotated[str, Argument(metavar="[bash|zsh|fish]", help="The shell.")],
) -> None:
    """Print what makes a shell complete commands, options and choices with the Tab key.

    Append it to ~/.bashrc or ~/.zshrc, or write it to ~/.config/fish/completions/ctprune.fish. Then open a new
    shell.
    """
    from click.shell_completion import get_completion_class

    from ctprune.cli import app
    from ctprune.errors import ConfigError

    found = get_completion_class(shell) if shell in SHELLS else None
    if found is None:
        raise ConfigError(f"shell {shell}: expected one of {', '.join(SHELLS)}", field="shell")
    # The shell calls the program with this variable, which click reads.
    click.echo(found(app, {}, "ctprune", "_CTPRUNE_COMPLETE").source())
