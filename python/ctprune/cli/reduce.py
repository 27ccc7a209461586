"""`ctprune reduce`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.output import DONE_WITH_FAILURES, print_hint, summary_table
from ctprune.cli.progress import ProgressBar

if TYPE_CHECKING:
    from ctprune.reduction import Progress, Reduction

_SELECTION = "Selection"
_READING = "Reading"
_EXPORT = "Export"
_OUTPUT = "Output"


def command(
    source: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE", help="Folders or files: DICOM, NIfTI, PNG, JPEG, TIFF, mixed as they are."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for manifest.parquet and summary.json; reused if it is there already."),
    ] = None,
    method: Annotated[
        str, typer.Option(help="hash, ssim, mi, deep, all, every-n or random.", rich_help_panel=_SELECTION)
    ] = "hash",
    threshold: Annotated[
        float | None,
        typer.Option(
            help="hash: largest Hamming distance of near-duplicates, default 6 of 64 bits; "
            "ssim, mi, deep: smallest similarity.",
            rich_help_panel=_SELECTION,
        ),
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(
            help="hash, ssim, mi, deep: keep about this fraction and say at which threshold; "
            "random: keep this fraction.",
            rich_help_panel=_SELECTION,
        ),
    ] = None,
    hash_size: Annotated[
        int, typer.Option(help="dHash of N² bits, N from 2 to 32.", rich_help_panel=_SELECTION)
    ] = 8,
    n: Annotated[
        int | None, typer.Option("--n", help="every-n: keep every n-th slice.", rich_help_panel=_SELECTION)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="random: seed of the sample.", rich_help_panel=_SELECTION)
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(help="ssim: uniform (7 × 7, default) or gaussian (σ 1.5).", rich_help_panel=_SELECTION),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="deep: file of a backbone; default torchvision's ResNet-50.", rich_help_panel=_SELECTION
        ),
    ] = None,
    download: Annotated[
        bool,
        typer.Option(
            "--download", help="deep: fetch that ResNet-50 if it is not on disk.", rich_help_panel=_SELECTION
        ),
    ] = False,
    scope: Annotated[
        str, typer.Option(help="Compare within each volume or over the dataset.", rich_help_panel=_SELECTION)
    ] = "volume",
    order: Annotated[
        str,
        typer.Option(help="Order of slices: position or path (as text).", rich_help_panel=_SELECTION),
    ] = "position",
    intensity: Annotated[
        str,
        typer.Option(
            help="HU to grey: minmax, a window (lung, mediastinum, bone, brain …), window:C,W or hu:LOW,HIGH.",
            rich_help_panel=_READING,
        ),
    ] = "minmax",
    modality: Annotated[
        str, typer.Option(help="DICOM Modality to read; any reads all.", rich_help_panel=_READING)
    ] = "CT",
    volume_pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression whose one group takes the volume from image names.",
            rich_help_panel=_READING,
        ),
    ] = None,
    max_slice_mb: Annotated[
        int, typer.Option(help="Refuse decoded slices larger than this many MiB.", rich_help_panel=_READING)
    ] = 512,
    threads: Annotated[int, typer.Option(help="Threads; 0 is one per core.", rich_help_panel=_READING)] = 0,
    fail_first: Annotated[
        bool,
        typer.Option("--fail-first", help="Stop at the first unreadable file.", rich_help_panel=_READING),
    ] = False,
    export: Annotated[
        str | None,
        typer.Option(help="Put the kept slices into a tree: link, copy or png.", rich_help_panel=_EXPORT),
    ] = None,
    export_dir: Annotated[
        Path | None, typer.Option(help="Where to; a new folder.", rich_help_panel=_EXPORT)
    ] = None,
    png_depth: Annotated[
        int | None,
        typer.Option(help="png: 8 (grey, default) or 16 (HU + 32768).", rich_help_panel=_EXPORT),
    ] = None,
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

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some files could not be read or exported.
    """
    from ctprune.config import ReduceConfig
    from ctprune.errors import ConfigError
    from ctprune.export import ExportConfig, export_kept
    from ctprune.reduction import Reduction

    if out is None and not dry_run:
        raise ConfigError("--out is missing: name a folder for the manifest, such as --out run/")
    config = ReduceConfig(
        method=method,
        threshold=threshold,
        keep=keep,
        hash_size=hash_size,
        n=n,
        seed=seed,
        window=window,
        weights=None if weights is None else str(weights),
        scope=scope,
        order=order,
        intensity=intensity,
        modality=modality,
        volume_pattern=volume_pattern,
        max_slice_mb=max_slice_mb,
    )
    wanted = ExportConfig.from_options(export, export_dir, png_depth)
    with _Bar(hidden=quiet) as bar:
        run = Reduction(
            source,
            config,
            out=out,
            threads=threads,
            fail_first=fail_first,
            download=download,
            progress=bar.update,
        )
        if wanted is not None:
            wanted.check(run.sources)
        if dry_run:
            found = run.find()
        else:
            run.write()
    if dry_run:
        _print_plan(found, config.to_dict(), as_json=as_json, quiet=quiet)
        return
    if wanted is not None and run.out is not None:
        exported = export_kept(run.out, wanted, threads=threads)
        run.summary["exported"] = exported.to_dict()
    _print_result(run, as_json=as_json, quiet=quiet)
    if not quiet:
        _print_hints(run.summary)
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


def _print_hints(summary: dict[str, Any]) -> None:
    for reason, count in summary.get("embeddings", {}).get("not_embedded_so_kept", {}).items():
        print_hint(f"kept without an embedding: {count:,} slices: {reason}")
    for reason, count in summary.get("comparisons", {}).get("not_compared_so_kept", {}).items():
        print_hint(f"kept without comparing: {count:,} slices: {reason}")
    for reason, count in summary.get("exported", {}).get("left_out", {}).items():
        print_hint(f"not exported: {count:,} kept slices: {reason}")
    if summary["slices"] == 0:
        if summary["files"] == 0:
            print_hint(f"no slice was found: {', '.join(summary['sources'])}: no file is there")
        else:
            print_hint("no slice was found: 'ctprune info FILE' says what ctprune sees in one file")


def _print_plan(found: Progress, config: dict[str, object], *, as_json: bool, quiet: bool) -> None:
    plan = {
        "files": found.files_found,
        "files_to_read": found.files_to_read,
        "bytes_to_read": found.bytes_to_read,
        "files_reused": found.files_reused,
        "files_vanished": found.files_vanished,
        "config": config,
    }
    if as_json:
        typer.echo(json.dumps(plan, indent=2))
    elif not quiet:
        typer.echo(
            f"dry run: {found.files_found:,} files found, {found.files_to_read:,} to read "
            f"({found.bytes_to_read / 1e6:,.1f} MB), {found.files_reused:,} unchanged, "
            f"{found.files_vanished:,} vanished; nothing was written"
        )


class _Bar(ProgressBar):
    """Progress on stderr: bytes read of all, slices/s, MB/s, time left."""

    def __init__(self, *, hidden: bool) -> None:
        super().__init__("finding", hidden=hidden)
        self._start = self._bar.get_time()

    def update(self, progress: Progress) -> None:
        """Draw this state."""
        now = self._bar.get_time()
        if progress.stage == "finding":
            # Reading starts where finding ends.
            self._start = now
            self._bar.update(self._task, description="finding files", state=f"{progress.files_found:,} files")
            return
        if progress.stage != "reading":
            counts = {"embedding": progress.slices_embedded, "comparing": progress.slices_compared}
            done = counts.get(progress.stage)
            shown = "" if done is None else f"{done:,} slices"
            self._bar.update(self._task, description=progress.stage, state=shown)
            return
        seconds = max(now - self._start, 1e-3)
        speed = (
            f"{progress.files_read:,}/{progress.files_to_read:,} files  "
            f"{progress.slices_read / seconds:,.0f} slices/s  {progress.bytes_read / seconds / 1e6:,.0f} MB/s"
        )
        total = max(progress.bytes_to_read, 1)
        self._bar.update(
            self._task, description="reading", total=total, completed=progress.bytes_read, state=speed
        )
