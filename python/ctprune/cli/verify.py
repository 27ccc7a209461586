"""`ctprune verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ctprune.cli.output import FAILED, say
from ctprune.cli.progress import ProgressDisplay

EXAMPLE = "ctprune verify run/ --pixels 1%"


def command(
    run: Annotated[Path, typer.Argument(metavar="REDUCTION", help="The folder of a reduction.")],
    *,
    pixels: Annotated[
        str | None,
        typer.Option(
            metavar="FRACTION", help="Read a sample of the slices again, such as 0.01 or 1%, and compare them."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of that sample.  [default: 0]")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="Threads, 0 for one per core.  [default: 0]")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print findings and errors only.")] = False,
) -> None:
    """Check a reduction: checksums, counts, selection, and whether its files are as they were.

    Prints one sentence per finding. Exit codes: 0 all is as it should be, 1 something is not, 2 wrong usage.
    """
    from ctprune.options.parse import fraction
    from ctprune.reduction.verify import verify

    share = 0.0 if pixels is None else fraction("pixels", pixels)
    with ProgressDisplay(hidden=quiet) as display:
        findings = verify(run, pixels=share, seed=seed, threads=threads, progress=display.update)
    if as_json:
        say(json.dumps([finding.to_dict() for finding in findings], indent=2))
    else:
        for finding in findings:
            say(f"{finding.check}: {finding.sentence}")
        if not findings and not quiet:
            say(f"{run}: all is as it should be")
    if findings:
        raise typer.Exit(FAILED)
