"""`ctprune check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.generate import OptionsOf, Quiet
from ctprune.cli.output import NO_SLICES, neutral, print_error, print_hint, print_json, say
from ctprune.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from rich.table import Table

    from ctprune.checking.check import SeriesCheck

EXAMPLE = "ctprune check ./dicoms"

#: Most series that the table shows; --json and series.parquet have all.
_SHOWN = 100

_STYLES = {"error": "bold red", "warning": "yellow", "note": "", "ok": "green"}


def command(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE|REDUCTION",
            help="What 'ctprune reduce' reads, or the folder of a reduction, whose files are not read again.",
        ),
    ],
    *,
    pixels: Annotated[
        bool,
        typer.Option("--pixels", help="Read pixels, too: findings about values and equal slices; slower."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for series.parquet; default the reduction, if it is one.")
    ] = None,
    options: Annotated[
        dict[str, Any],
        OptionsOf(
            config="ctprune.reduction.config:ReduceConfig",
            only=("modality", "exclude", "include", "volume_pattern", "max_slice_mb", "threads", "io"),
            panel="Options",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print all findings as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Report what is unusual about each series, the worst first: geometry, values, identity.

    docs/codes.md says what each code means and what to do.
    """
    from rich.console import Console

    from ctprune.reduction.check import check, run_of
    from ctprune.reduction.config import ReduceConfig

    with ProgressDisplay(hidden=quiet or as_json) as display:
        found = check(source, config=ReduceConfig(**options), pixels=pixels, out=out, progress=display.update)
    if as_json:
        print_json("check", {"series": [one.to_dict() for one in found]})
    elif found and not quiet:
        console = Console(highlight=False)
        console.print(_table(found))
        if any(one.findings for one in found[:_SHOWN]):
            console.print(_actions(found[:_SHOWN]))
        counts = {name: sum(one.verdict == name for one in found) for name in _STYLES}
        say(f"{len(found):,} series: " + ", ".join(f"{count:,} {name}" for name, count in counts.items() if count))
        if len(found) > _SHOWN:
            print_hint(f"{len(found) - _SHOWN:,} more series are not shown; --json has all")
    if found and not quiet and not pixels and run_of(source) is None:
        print_hint(
            "pixels were not read, so values and equal slices were not checked: add --pixels, or check a "
            "reduction, which has read them"
        )
    if not found:
        print_error(
            f"no slice was found in {', '.join(source)}: 'ctprune reduce' says what became of each file there"
        )
        raise typer.Exit(NO_SLICES)


def _table(found: list[SeriesCheck]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("series", "slices", "mm"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("findings", overflow="fold")
    for one in found[:_SHOWN]:
        style = _STYLES[one.verdict]
        verdict = f"[{style}]{one.verdict}[/]" if style else one.verdict
        distance = "–" if one.distance_mm != one.distance_mm else f"{one.distance_mm:.2f}"
        lines = [escape(neutral(one.path)), *(_line(finding) for finding in one.findings)]
        table.add_row(f"{one.number}", f"{one.slices:,}", distance, verdict, "\n".join(lines))
    return table


def _actions(found: list[SeriesCheck]) -> Table:
    """The advice for each code in the table, the worst first."""
    from rich.markup import escape
    from rich.table import Table

    from ctprune.checking.codes import CHECK_CODES, SEVERITIES

    shown = {finding.code for one in found for finding in one.findings}
    table = Table(box=None, pad_edge=False)
    table.add_column("code", no_wrap=True)
    table.add_column("what to do", overflow="fold")
    for code in sorted(CHECK_CODES.values(), key=lambda code: SEVERITIES.index(code.severity)):
        if code.name in shown:
            # A terminal does not use Markdown's backquotes.
            table.add_row(code.name, escape(code.action.replace("`", "'")))
    return table


def _line(finding: Any) -> str:
    from rich.markup import escape

    text = f"{finding.code}: {finding.count:,}"
    return escape(neutral(f"{text}: {finding.where}" if finding.where else text))
