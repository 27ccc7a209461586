"""The command line: one subcommand per stage, each a thin call into the Python API."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from ctprune.cli.output import FAILED, INTERRUPTED, WRONG_USAGE, print_error
from ctprune.cli.sections import SectionedCommand, WholeSummaries, first_sentence
from ctprune.environment.ending import ending_like_ctrl_c, exit_code

#: Each is a module of this folder, imported when it is used, with a function `command` and an `EXAMPLE`.
COMMANDS = (
    "reduce",
    "check",
    "merge",
    "verify",
    "sweep",
    "duplicates",
    "overlap",
    "export",
    "pretrain",
    "convert",
    "finetune",
    "predict",
    "segment",
    "compare",
    "experiment",
    "info",
    "report",
    "phantom",
    "key",
)


class _Group(WholeSummaries):
    """The commands; Ctrl-C in any of them gives one sentence and its own exit code."""

    def __init__(self, **about: Any) -> None:
        super().__init__(**about)
        # The names are used for suggestions.
        self.commands: Any = dict.fromkeys(COMMANDS)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, in order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, name: str) -> Any:
        """The command of this name, built on first use."""
        if name in self.commands and self.commands[name] is None:
            self.commands[name] = _built(name)
        return self.commands.get(name)

    def summary(self, name: str) -> str:
        """What a command does, without building it."""
        return first_sentence(importlib.import_module(f"ctprune.cli.{name}").command.__doc__)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _interruptible():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _interruptible():
            return super().invoke(ctx)


def _built(name: str) -> Any:
    from ctprune.cli.generate import generated

    module = importlib.import_module(f"ctprune.cli.{name}")
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    single.command(name, cls=SectionedCommand, epilog=f"Example: {module.EXAMPLE}")(generated(module.command))
    return typer.main.get_command(single)


@contextmanager
def _interruptible() -> Iterator[None]:
    # Typer would turn Ctrl-C into an exit code without a message.
    try:
        yield
    except KeyboardInterrupt:
        from ctprune.errors import Interrupted

        raise Interrupted("interrupted") from None


app = typer.Typer(
    name="ctprune",
    cls=_Group,
    no_args_is_help=True,
    # --install-completion, for bash, zsh, fish and PowerShell.
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110, "help_option_names": ["--help", "-h"]},
    help="Pick the CT slices worth pre-training on, straight from a DICOM archive.",
    epilog="Try it without data: ctprune phantom dicoms && ctprune reduce dicoms --out reduction",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from ctprune import __version__

        typer.echo(f"ctprune {__version__}")
        raise typer.Exit


def _show_schema(command: str | None) -> None:
    if command is None:
        return
    import json

    from ctprune.cli.schemas import json_schema
    from ctprune.errors import ConfigError

    if command not in COMMANDS:
        raise ConfigError(f"--json-schema {command}: expected one of {', '.join(COMMANDS)}")
    typer.echo(json.dumps(json_schema(command), indent=2))
    raise typer.Exit


def _begin_logging(level: str | None) -> None:
    if level is not None:
        from ctprune.cli.logs import begin_logging

        begin_logging(level)


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    json_schema: Annotated[
        str | None,
        typer.Option(
            "--json-schema",
            metavar="COMMAND",
            callback=_show_schema,
            is_eager=True,
            help="Show the JSON Schema of what COMMAND prints with --json.",
        ),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            "--log-level",
            metavar="[error|warning|info|debug]",
            envvar="CTPRUNE_LOG_LEVEL",
            callback=_begin_logging,
            help="Log to stderr from this level on; give it before the command.",
        ),
    ] = None,
) -> None:
    pass


def main() -> None:
    """Run the command line; every expected error becomes one sentence and an exit code."""
    began = time.perf_counter()
    try:
        _run()
    except SystemExit as ending:
        if "ctprune.cli.logs" in sys.modules:
            from ctprune.cli.logs import log_end

            log_end(ending, began)
        raise


def _run() -> None:
    from ctprune.environment.extras import extra
    from ctprune.errors import ConfigError, CtpruneError, Interrupted

    with ending_like_ctrl_c():
        try:
            with extra("train", "this command"):
                app()
        except ConfigError as error:
            print_error(error)
            sys.exit(WRONG_USAGE)
        except Interrupted as error:
            print_error(error)
            sys.exit(exit_code(INTERRUPTED))
        except CtpruneError as error:
            print_error(error)
            sys.exit(FAILED)
        except (MemoryError, RuntimeError) as error:
            # Python's message if there is no memory for a thread's stack.
            if isinstance(error, RuntimeError) and "start new thread" not in str(error):
                raise
            print_error("not enough memory: use fewer `threads`, or allow more memory")
            sys.exit(FAILED)
