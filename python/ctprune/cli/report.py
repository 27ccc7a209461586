"""`ctprune report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ctprune.cli.generate import Names, OptionsOf, Quiet
from ctprune.cli.output import print_hint, print_json, say
from ctprune.cli.progress import ProgressDisplay
from ctprune.environment.words import counted

EXAMPLE = "ctprune report reduction/"


def command(
    reduction: Annotated[Path, typer.Argument(metavar="REDUCTION", help="Folder or address of a reduction.")],
    *,
    out: Annotated[Path | None, typer.Option(help="File to write; default REDUCTION/report.html.")] = None,
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.report.config:ReportConfig", file=True)],
    names: Names,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write one HTML page about a reduction: figures, groups of slices as pictures, and where slices were dropped.

    The page needs no network and holds no patient's name, ID or date.
    """
    from ctprune.manifest.reveal_config import reveal_given
    from ctprune.report.report import write_report

    reveal_given(names)
    with ProgressDisplay(hidden=quiet) as display:
        report = write_report(reduction, out=out, progress=display.update, **options)
    if as_json:
        found = {
            "path": str(report.path),
            "bytes": report.bytes,
            "pictures": report.pictures,
            "pictures_missing": report.pictures_missing,
        }
        print_json("report", found)
    elif not quiet:
        say(f"report: {report.path} ({report.bytes / 1e6:.1f} MB)")
        for reason, count in report.pictures_missing.items():
            print_hint(f"without a picture: {counted(count, 'slice')}: {reason}")
