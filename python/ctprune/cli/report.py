"""`ctprune report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ctprune.cli.output import print_hint
from ctprune.cli.progress import ProgressDisplay, Speed


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    out: Annotated[Path | None, typer.Option(help="File to write; default RUN/report.html.")] = None,
    window: Annotated[
        str,
        typer.Option(
            help="HU to grey of the pictures: a window (lung, mediastinum …), window:C,W or hu:LOW,HIGH."
        ),
    ] = "window:-200,1600",
    threads: Annotated[int, typer.Option(help="Threads; 0 is one per core.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Write one HTML page about a run: figures, groups of slices as pictures, what was lost where.

    The page needs no network and holds no patient's name, id or date.
    """
    from ctprune.report.report import write_report

    speed = Speed()
    with ProgressDisplay(hidden=quiet) as display:

        def update(done: int, of: int) -> None:
            counts = (f"{done:,}/{of:,}", speed.text(done, ""))
            display.show("reading pictures", *counts, done=done, total=of)

        report = write_report(run, out=out, window=window, threads=threads, progress=update)
    if as_json:
        found = {
            "path": str(report.path),
            "bytes": report.bytes,
            "pictures": report.pictures,
            "pictures_missing": report.pictures_missing,
        }
        typer.echo(json.dumps(found, indent=2))
    elif not quiet:
        typer.echo(f"report: {report.path} ({report.bytes / 1e6:.1f} MB)")
        for reason, count in report.pictures_missing.items():
            print_hint(f"without a picture: {count:,} slices: {reason}")
