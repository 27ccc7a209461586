"""`ctprune reduce`."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctprune.cli.output import DONE_WITH_FAILURES, NO_SLICES, print_error, print_hint, summary_table
from ctprune.cli.progress import ProgressDisplay, Speed

if TYPE_CHECKING:
    from ctprune.reduction.reduction import Progress, Reduction

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
        typer.Option(help="Folder for manifest.parquet and summary.json; an earlier run there is reused."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="[hash|ssim|mi|deep|all|every-n|random]",
            help="What makes two slices near-duplicates, or a control.",
            rich_help_panel=_SELECTION,
        ),
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
        str | None,
        typer.Option(
            metavar="FRACTION",
            help="hash, ssim, mi, deep: keep about this fraction (0.1 or 10%) and say at which threshold; "
            "random: keep this fraction.",
            rich_help_panel=_SELECTION,
        ),
    ] = None,
    hash_size: Annotated[
        int, typer.Option(help="dHash of N² bits, N from 2 to 32.", rich_help_panel=_SELECTION)
    ] = 8,
    n: Annotated[
        int | None,
        typer.Option("--n", help="every-n: keep every n-th slice, default 10.", rich_help_panel=_SELECTION),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="random: seed of the sample, default 0.", rich_help_panel=_SELECTION)
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="[uniform|gaussian]",
            help="ssim: 7 × 7 pixels (default) or σ 1.5.",
            rich_help_panel=_SELECTION,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="deep: backbone's file; default torchvision's ResNet-50.", rich_help_panel=_SELECTION),
    ] = None,
    download: Annotated[
        bool,
        typer.Option(
            "--download", help="deep: fetch that ResNet-50 if it is not on disk.", rich_help_panel=_SELECTION
        ),
    ] = False,
    scope: Annotated[
        str,
        typer.Option(
            metavar="[volume|dataset]",
            help="Compare within each volume or over the dataset.",
            rich_help_panel=_SELECTION,
        ),
    ] = "volume",
    order: Annotated[
        str,
        typer.Option(
            metavar="[position|path]",
            help="Order of slices: along the volume, or paths as text.",
            rich_help_panel=_SELECTION,
        ),
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
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Do not read files whose path below SOURCE matches, such as 'labelsTr/*' or '**/mask*'; "
            "repeatable.",
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
        typer.Option(
            metavar="[link|copy|png]",
            help="Put the kept slices into a new tree. copy and link keep every DICOM header, patients' names "
            "included; png has pixels only.",
            rich_help_panel=_EXPORT,
        ),
    ] = None,
    export_dir: Annotated[
        Path | None, typer.Option(help="Destination (new folder).", rich_help_panel=_EXPORT)
    ] = None,
    png_depth: Annotated[
        int | None,
        typer.Option(
            metavar="[8|16]", help="png: bits, grey (8, default) or HU + 32768 (16).", rich_help_panel=_EXPORT
        ),
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

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some files could not be read or exported,
    4 no slice was found, 130 interrupted (rerun to resume).
    """
    from ctprune.cli.hints import hints
    from ctprune.cli.no_slices import why_no_slices
    from ctprune.errors import ConfigError
    from ctprune.reduction.config import ReduceConfig
    from ctprune.reduction.export import ExportConfig, export_kept
    from ctprune.reduction.reduction import Reduction

    if out is None and not dry_run:
        raise ConfigError("--out is missing: name a folder for the manifest, such as --out run/")
    config = ReduceConfig(
        method=method,
        threshold=threshold,
        keep=None if keep is None else _fraction(keep),
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
        exclude=tuple(exclude or ()),
        max_slice_mb=max_slice_mb,
    )
    wanted = ExportConfig.from_options(export, export_dir, png_depth)
    with _Display(hidden=quiet) as display:
        run = Reduction(
            source,
            config,
            out=out,
            threads=threads,
            fail_first=fail_first,
            download=download,
            progress=display.update,
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
    if wanted is not None and run.out is not None and run.summary["slices"]:
        exported = export_kept(run.out, wanted, threads=threads)
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


def _fraction(text: str) -> float:
    """A fraction, also as a percentage."""
    from ctprune.errors import ConfigError

    number, percent, rest = text.strip().partition("%")
    try:
        if rest:
            raise ValueError
        # Of 7 %, a hundredth of 7.0 is not 0.07, but what is written with two places more is.
        return float(Decimal(number) / 100 if percent else Decimal(number))
    except (ValueError, ArithmeticError):
        raise ConfigError(f"--keep {text}: expected a fraction, such as 0.1 or 10%") from None


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


class _Display(ProgressDisplay):
    """Progress on stderr: bytes read of all, slices/s, MB/s, time left."""

    def __init__(self, *, hidden: bool) -> None:
        super().__init__(hidden=hidden)
        self._stage = ""
        self._slices, self._megabytes = Speed(), Speed()

    def update(self, progress: Progress) -> None:
        """Show this state."""
        stage = progress.stage
        if stage == "finding":
            # Reading starts where finding ends.
            self._slices, self._megabytes = Speed(), Speed()
            self.show("finding files", f"{progress.files_found:,} files", stage=stage)
        elif stage == "reading" and progress.files_to_read:
            self.show(
                stage,
                f"{progress.files_read:,}/{progress.files_to_read:,} files",
                self._slices.text(progress.slices_read, "slices"),
                self._megabytes.text(progress.bytes_read / 1e6, "MB"),
                done=progress.bytes_read,
                total=progress.bytes_to_read,
            )
        elif stage in ("embedding", "comparing"):
            if stage != self._stage:
                self._slices = Speed()
            done, total = max(progress.slices_embedded, progress.slices_compared), progress.slices
            counts = (f"{done:,}/{total:,} slices", self._slices.text(done, "slices"))
            self.show(stage, *counts, done=done, total=total)
        elif stage != "reading":
            self.show(stage)
        self._stage = stage
