"""`ctprune predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.generate import OptionsOf, Quiet
from ctprune.cli.output import DONE_WITH_FAILURES, print_hint, print_json, say
from ctprune.cli.progress import ProgressDisplay
from ctprune.environment.words import counted

if TYPE_CHECKING:
    from rich.table import Table

    from ctprune.finetuning.prediction import Predictions

#: Reasons that are shown; with --json all are.
_REASONS_SHOWN = 10


EXAMPLE = "ctprune predict ft/ slices/"


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a finished fine-tuning.")],
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGES...", help="Files or folders of anything that 'ctprune reduce' reads."),
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Write the table to this .csv or .parquet instead of printing it.")
    ] = None,
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.finetuning.predict_config:PredictConfig")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the predictions as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Predict the class, or the number, of new images with a fine-tuned model, averaged over its seeds.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some images could not be read.
    """
    from ctprune.finetuning.prediction import predict

    with ProgressDisplay(hidden=quiet) as display:
        found = predict(model, images, out=out, progress=display.update, **options)
    if as_json:
        print_json(
            "predict",
            {
                "positive": found.positive,
                "images": found.to_table().to_dicts(),
                "unreadable": found.unreadable,
                "skipped": found.skipped,
            },
        )
    elif not quiet and out is None:
        from rich.console import Console

        Console(highlight=False).print(_table(found))
    elif not quiet:
        say(f"{counted(len(found.images), found.unit)}: {out}")
    if not quiet:
        for name, reason in list(found.unreadable.items())[:_REASONS_SHOWN]:
            print_hint(f"{name}: {reason}")
        if len(found.unreadable) > _REASONS_SHOWN:
            print_hint(f"… and {len(found.unreadable) - _REASONS_SHOWN:,} more that could not be read")
        if found.skipped:
            name, reason = next(iter(found.skipped.items()))
            print_hint(f"{counted(len(found.skipped), 'file')} skipped, such as {name}: {reason}")
    if found.unreadable:
        raise typer.Exit(DONE_WITH_FAILURES)


def _table(found: Predictions) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from ctprune.options.shared import REGRESSION

    table = Table()
    for name in (found.unit, "images") if found.units else ():
        table.add_column(name, justify="right" if name == "images" else "left")
    table.add_column("first image" if found.units else "image", overflow="fold")
    table.add_column("frame", justify="right")
    if found.target == REGRESSION:
        table.add_column("prediction", justify="right")
    else:
        table.add_column("label", style="bold")
    for name in found.classes:
        table.add_column(escape(name + (" (positive)" if name == found.positive else "")), justify="right")
    units: list[tuple[str, ...]] = [
        (name, f"{count:,}") for name, count in zip(found.units, found.counts, strict=True)
    ]
    labels = [[escape(label)] for label in found.labels] or [[]] * len(found.images)
    for unit, image, frame, label, row in zip(
        units or [()] * len(found.images), found.images, found.frames, labels, found.probabilities, strict=True
    ):
        table.add_row(*unit, escape(image), str(frame), *label, *(f"{value:.3f}" for value in row))
    return table
