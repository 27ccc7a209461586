"""`ctprune reduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.generate import OptionsOf, QuietInOutput
from ctprune.cli.output import (
    DONE_WITH_FAILURES,
    NO_SLICES,
    print_error,
    print_hint,
    print_json,
    print_reduction,
    say,
)
from ctprune.cli.progress import ProgressDisplay
from ctprune.environment.words import counted

if TYPE_CHECKING:
    from ctprune.exporting.config import ExportConfig
    from ctprune.options.option import Option
    from ctprune.reduction.config import ReduceConfig
    from ctprune.reduction.shards import ShardRead

EXAMPLE = "ctprune reduce ./dicoms --method hash --out reduction/"

_OUTPUT = "Output"


def command(
    source: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="Folders or files: DICOM, NIfTI, PNG, JPEG, TIFF, zip and tar, in any mix; a DICOMDIR; or "
            "addresses: s3://, gs://, az://, https://, dicomweb+https://.",
        ),
    ] = None,
    *,
    from_list: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="LIST",
            help="File that lists sources, one per line, or a table with a column of sources.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder, or address such as s3://bucket/run/, for manifest.parquet and summary.json; an earlier "
            "reduction there is reused."
        ),
    ] = None,
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.reduction.config:ReduceConfig", file=True)],
    export: Annotated[
        dict[str, Any],
        OptionsOf(
            config="ctprune.exporting.config:ExportConfig",
            only=("mode", "folder", "png_depth"),
            defaults="ctprune.cli.reduce:without_default",
            flags={"mode": "export", "folder": "export_dir"},
        ),
    ],
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Read only share I of N of the files, such as 3/8, to use many machines; the last call joins "
            "all.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Count what would be read; write nothing.", rich_help_panel=_OUTPUT),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: QuietInOutput = False,
) -> None:
    """Select the slices worth pre-training on and write a manifest.

    With --shard, exit code 0 also means that this shard is done but others are missing.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some files could not be read or exported,
    4 no slice was found, 130 interrupted (rerun to resume).
    """
    from ctprune.errors import ConfigError, InUseError
    from ctprune.reduction.config import ReduceConfig
    from ctprune.reduction.reduce import prepared
    from ctprune.reduction.reduction import Reduction

    if shard is not None and dry_run:
        raise ConfigError("shard cannot be combined with `dry_run`: a dry run lists all files", field="shard")
    if out is None and not dry_run:
        raise ConfigError("out is missing: name a folder for the manifest, such as `out` reduction/", field="out")
    config = ReduceConfig(**options)
    if shard is not None and config.engine != "local":
        raise ConfigError(f"engine {config.engine} calls all shards itself: leave out `shard`", field="engine")
    wanted = _export_config(export, config)
    with ProgressDisplay(hidden=quiet) as display:
        done = None if shard is None else _read_shard(source or [], from_list, config, out, shard, display)
        if done is not None and not done.can_be_joined:
            if as_json:
                print_json("reduce.shard", done.to_dict())
            return
        make = Reduction if dry_run else prepared
        run = make(source or [], config, from_list=from_list, out=out, progress=display.update, note=display.note)
        if wanted is not None:
            from ctprune.exporting.export import check_destination

            check_destination(wanted, run.sources)
        if dry_run:
            found = run.find()
        else:
            try:
                run.write()
            except InUseError:
                if done is None:
                    raise
                # Two calls finished last at the same time.
                display.note("another call joins the shards")
                if as_json:
                    print_json("reduce.shard", done.to_dict())
                return
    if dry_run:
        _print_plan(found, config.to_dict(), as_json=as_json, quiet=quiet)
        return
    if wanted is not None and run.out is not None and run.summary["slices"]:
        from ctprune.exporting.export import export_kept

        with ProgressDisplay(hidden=quiet) as display:
            exported = export_kept(run.out, wanted, progress=display.update)
        run.summary["exported"] = exported.to_dict()
    print_reduction("reduce", run.summary, run.where, as_json=as_json, quiet=quiet)
    if not run.summary["slices"]:
        from ctprune.cli.no_slices import why_no_slices

        print_error(why_no_slices(run.summary, run.findings))
        raise typer.Exit(NO_SLICES)
    if not quiet:
        from ctprune.cli.hints import hints

        for sentence in [*run.server_notes(), *hints(run.summary, run.findings, removed=run.removed)]:
            print_hint(sentence)
    if run.summary["failed"] or run.summary.get("exported", {}).get("left_out"):
        raise typer.Exit(DONE_WITH_FAILURES)


def _read_shard(
    source: list[str],
    from_list: Path | None,
    config: ReduceConfig,
    out: Path | None,
    shard: str,
    display: ProgressDisplay,
) -> ShardRead:
    """Read one shard and print the result."""
    from ctprune.manifest.shards import Shard
    from ctprune.reduction.reduction import Reduction
    from ctprune.reduction.shards import carry_out_shard

    run = Reduction(
        source,
        config,
        from_list=from_list,
        out=out,
        progress=display.update,
        note=display.note,
        shard=Shard.parse(shard),
    )
    done = carry_out_shard(run)
    display.note(done.sentence())
    return done


def without_default(option: Option) -> str:
    """The help of an option of the export; without the first of these options, nothing is exported."""
    return option.about.help


def _export_config(given: dict[str, Any], config: ReduceConfig) -> ExportConfig | None:
    """The options of the export together; None if there is no export."""
    from ctprune.errors import ConfigError
    from ctprune.exporting.config import MODES, ExportConfig

    if "mode" not in given:
        if given:
            raise ConfigError(f"`folder` and `png_depth` need `mode` {', '.join(MODES[:-1])} or {MODES[-1]}")
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
        print_json("reduce.plan", plan)
    elif not quiet:
        say(
            f"dry run: {counted(found['files_found'], 'file')} found, {found['files_to_read']:,} to read "
            f"({found['bytes_to_read'] / 1e6:,.1f} MB), {found['files_reused']:,} unchanged, "
            f"{found['files_vanished']:,} vanished; nothing was written"
        )
