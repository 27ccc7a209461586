"""`ctprune reduce`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.generate import OptionsOf
from ctprune.cli.output import DONE_WITH_FAILURES, NO_SLICES, print_error, print_hint, summary_table
from ctprune.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from ctprune.reduction.config import ReduceConfig
    from ctprune.reduction.export_config import ExportConfig
    from ctprune.reduction.reduction import Reduction

EXAMPLE = "ctprune reduce ./dicoms --method hash --out run/"

_OUTPUT = "Output"


def command(
    source: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE", help="Folders or files: DICOM, NIfTI, PNG, JPEG, TIFF, mixed as they are."
        ),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for manifest.parquet and summary.json; an earlier reduction there is reused."),
    ] = None,
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.reduction.config:ReduceConfig", file=True)],
    export: Annotated[
        dict[str, Any],
        OptionsOf(config="ctprune.reduction.export_config:ExportConfig", only=("mode", "folder", "png_depth")),
    ],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List what would be read; write nothing.", rich_help_panel=_OUTPUT),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Select the slices worth pre-training on and write a manifest.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some files could not be read or exported,
    4 no slice was found, 130 interrupted (rerun to resume).
    """
    from ctprune.cli.hints import hints
    from ctprune.cli.no_slices import why_no_slices
    from ctprune.errors import ConfigError
    from ctprune.reduction.config import ReduceConfig
    from ctprune.reduction.export import check_destination, export_kept
    from ctprune.reduction.reduction import Reduction

    if out is None and not dry_run:
        raise ConfigError("out is missing: name a folder for the manifest, such as `out` run/", field="out")
    config = ReduceConfig(**options)
    wanted = _export_config(export, config)
    with ProgressDisplay(hidden=quiet) as display:
        run = Reduction(source, config, out=out, progress=display.update)
        if wanted is not None:
            check_destination(wanted, run.sources)
        if dry_run:
            found = run.find()
        else:
            run.write()
    if dry_run:
        _print_plan(found, config.to_dict(), as_json=as_json, quiet=quiet)
        return
    if wanted is not None and run.out is not None and run.summary["slices"]:
        with ProgressDisplay(hidden=quiet) as display:
            exported = export_kept(run.out, wanted, progress=display.update)
        run.summary["exported"] = exported.to_dict()
    _print_result(run, as_json=as_json, quiet=quiet)
    if not run.summary["slices"]:
        print_error(why_no_slices(run.summary, run.findings))
        raise typer.Exit(NO_SLICES)
    if not quiet:
        for sentence in hints(run.summary, run.findings, removed=run.removed):
            print_hint(sentence)
    if run.summary["failed"] or run.summary.get("exported", {}).get("left_out"):
        raise typer.Exit(DONE_WITH_FAILURES)


def _print_result(run: Reduction, *, as_json: bool, quiet: bool) -> None:
    from rich.console import Console

    if as_json:
        typer.echo(json.dumps(run.summary, indent=2))
    elif not quiet:
        Console(highlight=False).print(summary_table(run.summary))
        typer.echo(f"manifest: {run.out / 'manifest.parquet' if run.out else ''}")
        if "exported" in run.summary:
            exported = run.summary["exported"]
            typer.echo(f"exported: {exported['written']:,} kept slices to {exported['folder']}")


def _export_config(given: dict[str, Any], config: ReduceConfig) -> ExportConfig | None:
    """Options that belong together; None when no export was asked for."""
    from ctprune.errors import ConfigError
    from ctprune.reduction.export_config import ExportConfig

    if "mode" not in given:
        if given:
            raise ConfigError("`folder` and `png_depth` need `mode` link, copy or png")
        return None
    if "folder" not in given:
        raise ConfigError("mode needs `folder`: name a new folder", field="mode")
    return ExportConfig(**given, threads=config.threads)


def _print_plan(found: dict[str, int], config: dict[str, object], *, as_json: bool, quiet: bool) -> None:
    plan = {
        "files": found["files_found"],
        "files_to_read": found["files_to_read"],
        "bytes_to_read": found["bytes_to_read"],
        "files_reused": found["files_reused"],
        "files_vanished": found["files_vanished"],
        "config": config,
    }
    if as_json:
        typer.echo(json.dumps(plan, indent=2))
    elif not quiet:
        typer.echo(
            f"dry run: {found['files_found']:,} files found, {found['files_to_read']:,} to read "
            f"({found['bytes_to_read'] / 1e6:,.1f} MB), {found['files_reused']:,} unchanged, "
            f"{found['files_vanished']:,} vanished; nothing was written"
        )
