"""`ctprune segment`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.flags import in_flags
from ctprune.cli.generate import OptionsOf, QuietInOutput
from ctprune.cli.output import print_hint, print_json, say
from ctprune.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from rich.table import Table

    from ctprune.segmenting.result import SegmentResult

EXAMPLE = "ctprune segment Task09_Spleen/ --weights backbone.safetensors --mode frozen --out spleen/"

_OUTPUT = "Output"


def command(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder with imagesTr and labelsTr, volumes with masks beside them, or a table of both.",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder of the result; rerun to resume.")],
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.segmenting.config:SegmentConfig", file=True)],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: QuietInOutput = False,
) -> None:
    """Train a small U-Net on volumes with masks, on a frozen or trained backbone; report its Dice by patient.

    Volumes are NIfTI files or folders of a DICOM series, masks are NIfTI files on the same voxels.
    """
    from ctprune.segmenting.run import segment

    with ProgressDisplay(hidden=quiet) as display:
        result = segment(data, out=out, progress=display.update, **options)
    if as_json:
        print_json("segment", result.to_dict())
    elif not quiet:
        _print_result(result)
    if not quiet:
        _print_hints(result)


def _print_result(result: SegmentResult) -> None:
    from rich.console import Console

    from ctprune.finetuning.words import number
    from ctprune.segmenting.result import PATIENTS_NAME

    Console(highlight=False).print(_table(result))
    if len(result.per_seed) > 1:
        say(f"Dice of the mean of the seeds' probabilities: {number(result.ensemble['pooled']['dice']['mean'])}")
    say(in_flags(result.evaluation))
    say(f"model card: {result.out / 'README.md'}; each patient: {result.out / PATIENTS_NAME}")


def _table(result: SegmentResult) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from ctprune.finetuning.words import interval, number
    from ctprune.segmenting.card import EMPTY, counted, measure_name, rows_of

    origin = "random weights" if result.weights is None else result.weights["path"]
    said = [f"{split}: {counted(counts)}" for split, counts in result.splits.items()]
    said += [result.no_interval] if result.no_interval else []
    table = Table(
        title=f"ctprune segment, mode {result.config['mode']}, {result.backbone} from {origin}; "
        f"seeds {len(result.per_seed)}, {result.seconds:,.1f} s",
        title_justify="left",
        caption=escape("\n".join([*said, EMPTY])),
        caption_justify="left",
    )
    table.add_column(f"on {result.evaluated_split}", style="bold")
    table.add_column("measure")
    for name in ("mean", "std", "95 % interval by patient"):
        table.add_column(name, justify="right")
    for name, measure, one in rows_of(result):
        table.add_row(escape(name), measure_name(measure), number(one["mean"]), number(one["std"]), interval(one))
    return table


def _print_hints(result: SegmentResult) -> None:
    from ctprune.finetuning.overlaps import overlap_sentences

    for sentence in (*result.notes, *overlap_sentences(result.overlaps)):
        print_hint(sentence)
