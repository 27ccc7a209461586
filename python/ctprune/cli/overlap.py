"""`ctprune overlap`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.generate import Names, OptionsOf, Quiet
from ctprune.cli.output import FAILED, print_error, print_hint, print_json, say
from ctprune.cli.progress import ProgressDisplay
from ctprune.environment.words import counted

if TYPE_CHECKING:
    from ctprune.overlapping.result import Overlap

EXAMPLE = "ctprune overlap run/ ./test-set --out overlap"

#: Most pairs of volumes that the terminal shows; --json has all.
_SHOWN = 40


def command(
    a: Annotated[Path, typer.Argument(metavar="A", help="Folder of a reduction, or images as for B.")],
    b: Annotated[
        Path,
        typer.Argument(
            metavar="B",
            help="What to look for in A: reduction, folder, zip or tar file, MedMNIST .npz, table of labels.",
        ),
    ],
    *,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Part of B to use: for images, a folder of lists of names, as COVID-CT's; for a reduction, a "
            "table of labels."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for overlap.html and overlap.parquet.")] = None,
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.overlapping.config:OverlapConfig", file=True)],
    names: Names,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything that was found as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Find the slices and volumes of B, such as a test set, that are also in A.

    Exit codes: 0 done, 1 failed or more than --max, 2 wrong usage, 130 interrupted.
    """
    from ctprune.manifest.reveal_config import reveal_given
    from ctprune.overlapping.config import OverlapConfig
    from ctprune.overlapping.overlap import find_overlap
    from ctprune.overlapping.result import PAGE_NAME

    reveal_given(names)
    config = OverlapConfig(**options)
    with ProgressDisplay(hidden=quiet or as_json) as display:
        found = find_overlap(a, b, config, labels=labels, out=out, progress=display.update)
    if as_json:
        print_json("overlap", found.to_dict())
    elif not quiet:
        _print(found)
        if out is not None:
            say(f"pictures: {out / PAGE_NAME}")
    if found.one_value and not quiet:
        print_hint(f"constant and ignored: {counted(found.one_value, 'slice')} of B")
    for name, failed in ((a, found.failed_of_a), (b, found.failed_of_b)):
        if failed and not quiet:
            files = counted(failed, "file")
            print_hint(f"left out because it cannot be read: {files} of {name}; 'ctprune reduce' says why")
    if found.unread and not quiet:
        print_hint(
            f"{found.unread:,} of the found slices could not be compared, since a file is gone or cannot be read: "
            "they count as found"
        )
    if found.found and config.min_correlation is None and not quiet:
        near = f"slices of different patients often differ in {found.threshold} bits or fewer"
        print_hint(f"{near}: --min-correlation 0.99 counts only copies")
    if config.max is not None and found.share > config.max:
        what = "slices" if found.found * found.volumes >= found.volumes_found * found.slices else "volumes"
        allowed = f"`max` allows {config.max:.2%}"
        share = f"{found.share:.2%} of the {what} of {b}"
        print_error(f"{share} are in {a}, but {allowed}: leave the overlap out of one of them")
        raise typer.Exit(FAILED)


def _print(found: Overlap) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("in B", "of these in A", "share"):
        table.add_column(name, justify="right")
    lines = [("slices", found.slices, found.found), ("volumes", found.volumes, found.volumes_found)]
    lines += [
        (", ".join(filter(None, ("slices", part.split, part.label))), part.slices, part.found)
        for part in found.parts
    ]
    for name, whole, part in lines:
        table.add_row(name, f"{whole:,}", f"{part:,}", f"{part / whole:.1%}" if whole else "–")
    console = Console(highlight=False)
    console.print(table)
    if not found.pairs:
        return
    table = Table(title="Volumes that show the same anatomy", title_justify="left")
    for name in ("of B", "of A", "relation"):
        table.add_column(name)
    for name in ("overlap", "of B's", "median bits", "corr."):
        table.add_column(name, justify="right")
    for pair in found.pairs[:_SHOWN]:
        turned = f", {pair.turn}" if pair.turn else ""
        table.add_row(
            f"{pair.b}",
            f"{pair.a}",
            f"{pair.relation}{turned}{', reversed' if pair.scale < 0 else ''}",
            f"{pair.overlap:.1f} {pair.unit}",
            f"{pair.of_b:.0%}",
            f"{pair.median_bits:g}",
            "–" if pair.correlation is None else f"{pair.correlation:.3f}",
        )
    console.print(table)
    if len(found.pairs) > _SHOWN:
        say(f"… and {len(found.pairs) - _SHOWN:,} more pairs")
