"""The command line: one subcommand per stage, each a thin call into the Python API."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ctprune.cli import compare, finetune, info, phantom, predict, pretrain, reduce, report, run, sweep
from ctprune.cli.output import FAILED, INTERRUPTED, WRONG_USAGE, print_error


class _Commands(TyperGroup):
    """The commands; Ctrl-C in any of them is one sentence and an exit code of its own."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            from ctprune.errors import Interrupted

            raise Interrupted("interrupted") from None


app = typer.Typer(
    name="ctprune",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Pick the CT slices worth pre-training on, straight from a DICOM archive.",
    epilog="Try it without data: ctprune phantom dicoms && ctprune reduce dicoms --out run",
)
app.command("reduce", epilog="Example: ctprune reduce ./dicoms --method hash --out run/")(reduce.command)
app.command("sweep", epilog="Example: ctprune sweep run/ --method hash")(sweep.command)
app.command("pretrain", epilog="Example: ctprune pretrain run/ --method swav --out pre/")(pretrain.command)
app.command(
    "finetune",
    epilog="Example: ctprune finetune covid-ct/ --split covid-ct/split --weights backbone.safetensors --out ft/",
)(finetune.command)
app.command("predict", epilog="Example: ctprune predict ft/ slices/")(predict.command)
app.command("compare", epilog="Example: ctprune compare ft-all/ ft-hash6/ --out comparison/")(compare.command)
app.command("run", epilog="Example: ctprune run experiments/small.yaml --dry-run")(run.command)
app.command("info", epilog="Example: ctprune info run/")(info.command)
app.command("report", epilog="Example: ctprune report run/")(report.command)
app.command("phantom", epilog="Example: ctprune phantom dicoms/ --patients 4 --seed 1")(phantom.command)


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

    try:
        app()
    except ConfigError as error:
        print_error(error)
        sys.exit(WRONG_USAGE)
    except Interrupted as error:
        print_error(error)
        sys.exit(INTERRUPTED)
    except CtpruneError as error:
        print_error(error)
        sys.exit(FAILED)
