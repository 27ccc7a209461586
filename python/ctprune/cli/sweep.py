"""`ctprune sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.generate import Names, OptionsOf, Quiet
from ctprune.cli.output import DONE_WITH_FAILURES, print_hint, print_json, say
from ctprune.cli.progress import ProgressDisplay
from ctprune.environment.words import counted

if TYPE_CHECKING:
    from rich.table import Table

    from ctprune.sweeping.result import Sweep

#: The terminal's table skips thresholds that keep nearly as many slices as the one above: within this factor.
_SHOWN_STEP = 0.92


EXAMPLE = "ctprune sweep reduction/ --method hash"


def command(
    reduction: Annotated[Path, typer.Argument(metavar="REDUCTION", help="Folder or address of a reduction.")],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Folder for sweep.parquet, .png and .svg; default REDUCTION.")
    ] = None,
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.sweeping.config:SweepConfig", file=True)],
    names: Names,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Show how many slices of a reduction each threshold keeps, for one or several methods.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some slices could not be read.
    """
    from ctprune.manifest.local_run import folder_to_write
    from ctprune.manifest.reveal_config import reveal_given
    from ctprune.sweeping.curves import sweep

    reveal_given(names)
    folder = folder_to_write(reduction, out, "sweep/")
    with ProgressDisplay(hidden=quiet) as display:
        result = sweep(reduction, out=folder, progress=display.update, **options)
    if as_json:
        print_json("sweep", result.to_dict())
    elif not quiet:
        _print_result(result, folder)
    left_out = [swept["not_compared_so_kept"] for swept in result.about["methods"]]
    for swept, reasons in zip(result.methods, left_out, strict=True):
        for reason, count in reasons.items():
            if not quiet:
                print_hint(f"{swept}: kept at every threshold: {counted(count, 'slice')}: {reason}")
    if any(left_out):
        raise typer.Exit(DONE_WITH_FAILURES)


def _print_result(result: Sweep, folder: Path) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for method in result.about["methods"]:
        console.print(_curve_table(result, method))
    console.print(_targets_table(result))
    console.print(_agreement_table(result))
    say(f"all thresholds: {folder / 'sweep.parquet'}; plot: {folder / 'sweep.png'}, {folder / 'sweep.svg'}")
    say(f"diversity: {folder / 'diversity.html'}")


def _curve_table(result: Sweep, method: dict[str, Any]) -> Table:
    table = _table(f"Method {method['name']}", method["measure"], "kept", "of all")
    curve = [row for row in result.table.to_dicts() if row["method"] == method["name"]]
    shown: int | None = None
    for index, row in enumerate(curve):
        kept = row["kept"]
        changed = shown is None or not _SHOWN_STEP * shown < kept < shown / _SHOWN_STEP
        if changed or index == len(curve) - 1:
            table.add_row(f"{row['threshold']:.8g}", f"{kept:,}", f"{row['kept_fraction']:.1%}")
            shown = kept
    return table


def _targets_table(result: Sweep) -> Table:
    table = _table("Thresholds that come nearest to a fraction", "to keep", *result.methods)
    for keep in sorted({target["keep"] for target in result.targets}, reverse=True):
        found = {target["method"]: target for target in result.targets if target["keep"] == keep}
        cells = (f"{found[name]['threshold']:.8g} ({found[name]['kept_fraction']:.1%})" for name in result.methods)
        table.add_row(f"{keep:.0%}", *cells)
    return table


def _agreement_table(result: Sweep) -> Table:
    fractions = sorted({row["keep"] for row in result.agreement}, reverse=True)
    table = _table("Agreement of the kept sets (Jaccard index)", "", *(f"{keep:.0%}" for keep in fractions))
    pairs = dict.fromkeys((row["a"], row["b"]) for row in result.agreement)
    for a, b in pairs:
        found = {row["keep"]: row["jaccard"] for row in result.agreement if (row["a"], row["b"]) == (a, b)}
        name = f"{a}, {b}" + (" (expected)" if b == "random" else "")
        table.add_row(name, *(f"{found[keep]:.2f}" for keep in fractions))
    return table


def _table(title: str, first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for index, name in enumerate((first, *others)):
        table.add_column(name, justify="right" if index else "left")
    return table
