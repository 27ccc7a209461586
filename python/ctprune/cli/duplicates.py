"""`ctprune duplicates`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.generate import Names, OptionsOf, Quiet
from ctprune.cli.output import print_hint, print_json, say
from ctprune.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from ctprune.duplicates.duplicates import Duplicates

EXAMPLE = "ctprune duplicates reduction/ --prefer soft"

#: Most pairs that the terminal shows; the file has all.
_SHOWN = 40


def command(
    reduction: Annotated[Path, typer.Argument(metavar="REDUCTION", help="Folder or address of a reduction.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Folder for duplicates.parquet; default REDUCTION.")] = None,
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.duplicates.config:DuplicatesConfig", file=True)],
    names: Names,
    as_json: Annotated[bool, typer.Option("--json", help="Print pairs and groups as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Find volumes that show the same anatomy: copies, parts, the same scan with another kernel or thickness.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    from ctprune.duplicates.duplicates import find_duplicates
    from ctprune.manifest.derived import DUPLICATES_NAME
    from ctprune.manifest.local_run import folder_to_write
    from ctprune.manifest.reveal_config import reveal_given

    reveal_given(names)
    folder = folder_to_write(reduction, out, "duplicates/")
    with ProgressDisplay(hidden=quiet) as display:
        found = find_duplicates(reduction, out=folder, progress=display.update, **options)
    if as_json:
        print_json("duplicates", found.to_dict())
    elif not quiet:
        _print(found)
        say(f"pairs: {folder / DUPLICATES_NAME}")
    if found.too_short and not quiet:
        print_hint(f"volumes of fewer than three slices, which are not compared: {found.too_short:,}")


def _print(found: Duplicates) -> None:
    from rich.console import Console
    from rich.table import Table

    say(f"volumes: {found.volumes:,}, pairs: {len(found.pairs):,}, groups: {len(found.groups):,}")
    if not found.pairs:
        return
    table = Table(title="Pairs of volumes that show the same anatomy", title_justify="left")
    table.add_column("volumes")
    table.add_column("relation")
    # "corr." fits beside the others into 80 columns.
    for name in ("overlap", "of both", "shift", "median bits", "corr."):
        table.add_column(name, justify="right")
    for pair in found.pairs[:_SHOWN]:
        turned = f", {pair.turn}" if pair.turn else ""
        reversed_ = ", reversed" if pair.scale < 0 else ""
        table.add_row(
            f"{pair.a}, {pair.b}",
            f"{pair.relation}{turned}{reversed_}",
            f"{pair.overlap:.1f} {pair.unit}",
            f"{pair.of_a:.0%}, {pair.of_b:.0%}",
            f"{round(pair.shift, 1) + 0.0:.1f}",
            f"{pair.median_bits:g}",
            "–" if pair.correlation is None else f"{pair.correlation:.3f}",
        )
    console = Console(highlight=False)
    console.print(table)
    if len(found.pairs) > _SHOWN:
        say(f"… and {len(found.pairs) - _SHOWN:,} more pairs")
    table = Table(title="Groups", title_justify="left")
    for name in ("volumes", "take", "because"):
        table.add_column(name)
    for group in found.groups[:_SHOWN]:
        table.add_row(", ".join(map(str, group.volumes)), str(group.representative), group.why)
    console.print(table)
