"""`ctprune verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ctprune.cli.generate import Names
from ctprune.cli.output import FAILED, neutral, print_json, say
from ctprune.cli.progress import ProgressDisplay

EXAMPLE = "ctprune verify reduction/ --pixels 1%"


def command(
    run: Annotated[Path, typer.Argument(metavar="REDUCTION", help="The folder or address of a reduction.")],
    *,
    pixels: Annotated[
        str | None,
        typer.Option(
            metavar="FRACTION",
            help="Also read this share of the slices again, such as 0.01 or 1%, and compare them.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 is one per core.")] = 0,
    names: Names,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print findings and errors only.")] = False,
) -> None:
    """Check a reduction: checksums, counts, selection, and whether its source files are unchanged.

    Prints one sentence per finding. Exit codes: 0 no problem found, 1 problems found, 2 wrong usage.
    """
    from ctprune.manifest.reveal_config import reveal_given
    from ctprune.options.parse import fraction
    from ctprune.reduction.verify import verify
    from ctprune.sources.addresses import as_address

    reveal_given(names)
    share = 0.0 if pixels is None else fraction("pixels", pixels)
    with ProgressDisplay(hidden=quiet) as display:
        findings = verify(run, pixels=share, seed=seed, threads=threads, progress=display.update)
    if as_json:
        print_json("verify", {"findings": [finding.to_dict() for finding in findings]})
    else:
        for finding in findings:
            # A name may hold line breaks.
            say(neutral(f"{finding.check}: {finding.sentence}"))
        if not findings and not quiet:
            say(f"{as_address(run) or run}: no problem was found")
    if findings:
        raise typer.Exit(FAILED)
