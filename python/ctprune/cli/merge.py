"""`ctprune merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ctprune.cli.generate import Names, Quiet
from ctprune.cli.output import DONE_WITH_FAILURES, print_reduction
from ctprune.cli.progress import ProgressDisplay

EXAMPLE = "ctprune merge january/ february/ --out both/"


def command(
    runs: Annotated[
        list[Path], typer.Argument(metavar="REDUCTION...", help="Folders or addresses of reductions, two or more.")
    ],
    *,
    names: Names,
    out: Annotated[Path, typer.Option(help="Folder or address of the new reduction.")],
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 is one per core.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Join reductions with the same options into one, as if their sources had been reduced together.

    The sources need not be available, unless the method compares pixels: then some files are read again.
    Exit codes are those of ctprune reduce.
    """
    from ctprune.manifest.reveal_config import reveal_given
    from ctprune.reduction.merge import prepare_merge

    reveal_given(names)

    with ProgressDisplay(hidden=quiet) as display:
        run = prepare_merge(runs, out=out, threads=threads, progress=display.update, note=display.note)
        run.write()
    print_reduction("merge", run.summary, run.where, as_json=as_json, quiet=quiet)
    if run.summary["failed"]:
        raise typer.Exit(DONE_WITH_FAILURES)
