"""`ctprune export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ctprune.cli.generate import Names, OptionsOf, Quiet
from ctprune.cli.output import DONE_WITH_FAILURES, print_hint, print_json, say
from ctprune.cli.progress import ProgressDisplay
from ctprune.environment.words import counted

EXAMPLE = "ctprune export reduction/ --out kept/"


def command(
    reduction: Annotated[Path, typer.Argument(metavar="REDUCTION", help="Folder or address of a reduction.")],
    *,
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.exporting.config:ExportConfig")],
    names: Names,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was exported as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Export slices of a reduction, with a table of them, to a new folder that other programs can read.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some slices could not be exported, 130 interrupted.
    """
    from ctprune.cli.hints import export_hints
    from ctprune.errors import ConfigError
    from ctprune.exporting.config import ExportConfig
    from ctprune.exporting.export import export_kept
    from ctprune.manifest.reveal_config import reveal_given

    if "folder" not in options:
        raise ConfigError("folder is missing: name a new folder, such as `folder` kept/", field="folder")
    config = ExportConfig(**options)
    reveal_given(names)
    with ProgressDisplay(hidden=quiet) as display:
        exported = export_kept(reduction, config, progress=display.update)
    if as_json:
        print_json("export", exported.to_dict())
    elif not quiet:
        say(f"exported: {counted(exported.written, 'slice')} to {exported.folder}")
    if not quiet:
        for sentence in export_hints(exported.to_dict(), "--mode"):
            print_hint(sentence)
    if exported.left_out:
        raise typer.Exit(DONE_WITH_FAILURES)
