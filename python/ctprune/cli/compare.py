"""`ctprune compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.generate import OptionsOf, Quiet
from ctprune.cli.output import print_json, say
from ctprune.environment.words import counted

if TYPE_CHECKING:
    from ctprune.comparison.comparison import Comparison


EXAMPLE = "ctprune compare ft-all/ ft-hash6/ --out comparison/"


def command(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULT...", help="Folders of two or more finished fine-tunings.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Folder for comparison.html, comparison.json, table.md and table.tex.")
    ] = None,
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.comparison.config:CompareConfig")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare fine-tuned models on the same images and say which differences are larger than the noise.

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """
    from ctprune.comparison.compare import PAGE_NAME, compare
    from ctprune.errors import ConfigError

    if out is None:
        raise ConfigError(
            "out is missing: name a folder for the comparison, such as `out` comparison/", field="out"
        )
    found = compare(results, out=out, **options)
    if as_json:
        print_json("compare", found.to_dict())
    elif not quiet:
        _print(found, out / PAGE_NAME)


def _print(found: Comparison, page: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ctprune.comparison.tables import count_text, measure_text
    from ctprune.finetuning.words import metric_name

    table = Table(title=f"ctprune compare, {counted(len(found.results[0].images), 'image')}", title_justify="left")
    table.add_column("result", no_wrap=True)
    shown_metrics = (found.decisive.metric, found.decisive.beside)
    for heading in ("slices", "trainings", *map(metric_name, shown_metrics)):
        table.add_column(heading, justify="right", no_wrap=True)
    for result, levels, measures in zip(found.results, found.levels, found.measures, strict=True):
        shown = [escape(measure_text(measures[name])) for name in shown_metrics]
        table.add_row(escape(result.name), count_text(result.slices), str(levels), *shown)
    Console(highlight=False).print(table)
    for pair in found.pairs:
        say(pair.sentence)
    for note in found.notes:
        say(f"Note: {note}")
    say(f"page: {page}")
