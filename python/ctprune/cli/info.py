"""`ctprune info`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.generate import OptionsOf
from ctprune.cli.output import neutral, print_json, say, summary_table

if TYPE_CHECKING:
    from rich.table import Table

#: Most slices of a multi-frame file that are shown; --json has all.
_SHOWN = 5


EXAMPLE = "ctprune info reduction/"


def command(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|REDUCTION",
            help="A file, also inside an archive (download.zip!/1.dcm), or the folder or address of a reduction.",
        ),
    ],
    options: Annotated[
        dict[str, Any],
        OptionsOf(
            config="ctprune.reduction.config:ReduceConfig",
            only=("hash_size", "intensity", "modality"),
            panel="Options",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show what ctprune sees in one file and why it would be skipped, or the summary of a reduction."""
    from rich.console import Console

    from ctprune.manifest.local_run import is_remote_run
    from ctprune.manifest.summary_file import load_summary
    from ctprune.reduction.config import ReduceConfig
    from ctprune.reduction.info import describe

    found: Any
    is_reduction = path.is_dir() or is_remote_run(path)
    if is_reduction:
        found = load_summary(path)
        shown = [summary_table(found)]
    else:
        config = ReduceConfig(**options)
        found = describe(path, config=config)
        shown = [_slice_table(row) for row in found[:_SHOWN]]
    if as_json:
        if is_reduction:
            print_json("info.reduction", found)
        else:
            print_json("info.file", {"slices": found})
        return
    console = Console(highlight=False)
    for table in shown:
        console.print(table)
    if not is_reduction and len(found) > _SHOWN:
        say(f"… and {len(found) - _SHOWN:,} more slices in this file; --json shows them all")


def _slice_table(row: dict[str, Any]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False)
    table.add_column(style="bold")
    # Users copy UIDs from here, so they are shown whole, over several lines if needed.
    table.add_column(overflow="fold")
    for name, value in row.items():
        if value not in ("", None, 0) or name == "frame":
            table.add_row(name.replace("_", " "), escape(neutral(value)))
    return table
