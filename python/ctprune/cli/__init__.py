"""The command line: one subcommand per stage, each a thin call into the Python API."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from ctprune.cli import compare, finetune, info, phantom, predict, pretrain, reduce, report, run, sweep
from ctprune.cli.output import FAILED, INTERRUPTED, WRONG_USAGE, print_error
from ctprune.cli.sections import SectionedCommand, WholeSummaries
from ctprune.environment.ending import end_gently, exit_code


class _Group(WholeSummaries):
    """The commands; Ctrl-C in any of them is one sentence and an exit code of its own."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _interruptible():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _interruptible():
            return super().invoke(ctx)


@contextmanager
def _interruptible() -> Iterator[None]:
    # Typer would turn Ctrl-C into the exit code without a word.
    try:
        yield
    except KeyboardInterrupt:
        from ctprune.errors import Interrupted

        raise Interrupted("interrupted") from None


app = typer.Typer(
    name="ctprune",
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110, "help_option_names": ["--help", "-h"]},
    help="Pick the CT slices worth pre-training on, straight from a DICOM archive.",
    epilog="Try it without data: ctprune phantom dicoms && ctprune reduce dicoms --out run",
)
_COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "reduce": (reduce.command, "ctprune reduce ./dicoms --method hash --out run/"),
    "sweep": (sweep.command, "ctprune sweep run/ --method hash"),
    "pretrain": (pretrain.command, "ctprune pretrain run/ --method swav --out pre/"),
    "finetune": (
        finetune.command,
        "ctprune finetune covid-ct/ --split covid-ct/split --weights backbone.safetensors --out ft/",
    ),
    "predict": (predict.command, "ctprune predict ft/ slices/"),
    "compare": (compare.command, "ctprune compare ft-all/ ft-hash6/ --out comparison/"),
    "run": (run.command, "ctprune run experiments/small.yaml --dry-run"),
    "info": (info.command, "ctprune info run/"),
    "report": (report.command, "ctprune report run/"),
    "phantom": (phantom.command, "ctprune phantom dicoms/ --patients 4 --seed 1"),
}
for _name, (_command, _example) in _COMMANDS.items():
    app.command(_name, cls=SectionedCommand, epilog=f"Example: {_example}")(_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        from ctprune import __version__

        typer.echo(f"ctprune {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every expected error becomes one sentence and an exit code."""
    from ctprune.errors import ConfigError, CtpruneError, Interrupted

    end_gently()
    try:
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
