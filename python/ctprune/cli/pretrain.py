"""`ctprune pretrain`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.output import print_hint
from ctprune.cli.progress import ProgressBar

if TYPE_CHECKING:
    from ctprune.pretraining.run import PretrainResult
    from ctprune.pretraining.training import PretrainProgress

_DATA, _TRAINING, _HARDWARE, _OUTPUT = "Data", "Training", "Hardware", "Output"


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a reduction.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the backbone, its model card and logs.")] = None,
    method: Annotated[
        str | None, typer.Option(help="swav (default), mocov2, byol, simclr or dino.", rich_help_panel=_TRAINING)
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="paper (default), small (laptop) or smoke (minutes).", rich_help_panel=_TRAINING),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file of options, such as an earlier config.yaml.", rich_help_panel=_TRAINING),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="resnet18, resnet50 …, or a name of timm.", rich_help_panel=_TRAINING),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Start from this backbone's file.", rich_help_panel=_TRAINING)
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the slices.", rich_help_panel=_TRAINING)] = None,
    steps: Annotated[
        int | None, typer.Option(help="Optimizer steps, instead of epochs.", rich_help_panel=_TRAINING)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Slices per step and device.", rich_help_panel=_TRAINING)
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Batches per optimizer step.", rich_help_panel=_TRAINING)
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="lars, sgd, adamw or adam.", rich_help_panel=_TRAINING)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="After the warm-up.", rich_help_panel=_TRAINING)
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(rich_help_panel=_TRAINING, help="Weight decay.")] = None,
    warmup_epochs: Annotated[
        int | None, typer.Option(help="Epochs to the learning rate.", rich_help_panel=_TRAINING)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of weights, order and views.", rich_help_panel=_TRAINING)
    ] = None,
    use: Annotated[
        str | None,
        typer.Option(help="kept slices, all, or random: as many as were kept.", rich_help_panel=_DATA),
    ] = None,
    side: Annotated[
        int | None, typer.Option(help="Rows and columns of the packed slices.", rich_help_panel=_DATA)
    ] = None,
    depth: Annotated[
        int | None, typer.Option(help="8 bits of grey or 16 of Hounsfield units.", rich_help_panel=_DATA)
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            help="Leave out slices close to those of this folder or manifest (a test set).", rich_help_panel=_DATA
        ),
    ] = None,
    exclude_threshold: Annotated[
        int | None, typer.Option(help="How close, in bits; default as the run's.", rich_help_panel=_DATA)
    ] = None,
    probe: Annotated[
        Path | None, typer.Option(help="Folder per class: kNN accuracy after each epoch.", rich_help_panel=_DATA)
    ] = None,
    show_views: Annotated[
        Path | None,
        typer.Option(help="Write a picture of slices and their views, then stop.", rich_help_panel=_DATA),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, 32, bf16 or fp16.", rich_help_panel=_HARDWARE)
    ] = None,
    compile_network: Annotated[
        bool, typer.Option("--compile", help="Compile the network.", rich_help_panel=_HARDWARE)
    ] = False,
    devices: Annotated[
        int | None, typer.Option(help="GPUs, 0 for all; or processes on a CPU.", rich_help_panel=_HARDWARE)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads that decode; 0 is one per core.", rich_help_panel=_HARDWARE)
    ] = None,
    log_every: Annotated[
        int | None, typer.Option(help="Steps from one line of the log to the next.", rich_help_panel=_OUTPUT)
    ] = None,
    checkpoint_minutes: Annotated[
        float | None, typer.Option(help="Minutes between checkpoints.", rich_help_panel=_OUTPUT)
    ] = None,
    wandb: Annotated[
        bool,
        typer.Option(
            "--wandb",
            help="Log to Weights & Biases too (offline unless WANDB_MODE says else).",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in --out.", rich_help_panel=_OUTPUT)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Pre-train a backbone by contrastive learning on the kept slices of a run.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (go on with --resume).
    """
    from ctprune.errors import ConfigError
    from ctprune.pretraining.config import PretrainConfig

    if out is None and show_views is None:
        raise ConfigError("--out is missing: name a folder for the backbone, such as --out pre/")
    options: dict[str, Any] = {
        "method": method,
        "backbone": backbone,
        "weights": None if weights is None else str(weights),
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "warmup_epochs": warmup_epochs,
        "seed": seed,
        "use": use,
        "side": side,
        "depth": depth,
        "exclude": [str(path) for path in exclude] if exclude else None,
        "exclude_threshold": exclude_threshold,
        "probe": None if probe is None else str(probe),
        "precision": precision,
        "compile": compile_network or None,
        "devices": devices,
        "threads": threads,
        "log_every": log_every,
        "checkpoint_minutes": checkpoint_minutes,
        "wandb": wandb or None,
    }
    resolved = PretrainConfig.resolve(options, preset_name=preset, file=config)
    if show_views is not None:
        _show_views(run, resolved, show_views, quiet=quiet)
        return
    assert out is not None
    from ctprune.pretraining.run import Pretraining

    def note(sentence: str) -> None:
        if not quiet:
            print_hint(f"note: {sentence}")

    with _Bar(hidden=quiet) as bar:
        result = Pretraining(run, out, resolved, resume=resume, progress=bar.update, note=note).carry_out()
    _print_result(result, as_json=as_json, quiet=quiet)


def _show_views(run: Path, config: Any, file: Path, *, quiet: bool) -> None:
    from ctprune.pretraining.show_views import write_views
    from ctprune.store import build_store

    store = build_store(
        run, use=config.use, side=config.side, depth=config.depth, seed=config.seed, threads=config.threads
    )
    write_views(store, config.views, file, seed=config.seed)
    if not quiet:
        typer.echo(f"views: {file}")


def _print_result(result: PretrainResult, *, as_json: bool, quiet: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    facts = result.summary
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    elif not quiet:
        table = Table(title=f"ctprune pretrain, method {facts['method']}", show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column(justify="right")
        table.add_row("slices", f"{facts['slices']:,} ({facts['use']})")
        if facts["excluded"]:
            table.add_row("left out, close to a test set", f"{facts['excluded']['slices']:,}")
        table.add_row("epochs, steps", f"{facts['epochs']:,}, {facts['steps']:,}")
        table.add_row("last loss", f"{facts['final_loss']:.4f}")
        for name, value in (("RankMe", facts["rankme"]), ("kNN accuracy", facts["knn_accuracy"])):
            if value is not None:
                table.add_row(name, f"{value:.3f}")
        table.add_row("time", f"{facts['seconds']:,.1f} s, {facts['images_per_second']:,.1f} slices/s")
        Console(highlight=False).print(table)
        typer.echo(f"backbone: {result.backbone}")
    if not quiet:
        for alarm in facts["alarms"]:
            print_hint(f"alarm: {alarm}")
        left_out = sum(facts["left_out"].values())
        if left_out:
            print_hint(f"{left_out:,} slices could not be read and were left out")


class _Bar(ProgressBar):
    """Progress on stderr: epoch, loss, slices/s, time left."""

    def __init__(self, *, hidden: bool) -> None:
        super().__init__("loading", hidden=hidden)
        self._stage = ""
        self._drawn = 0.0

    def update(self, progress: PretrainProgress) -> None:
        """Draw this state."""
        now = time.monotonic()
        if progress.stage == self._stage and now - self._drawn < 0.1:
            return
        if progress.stage == "training" and self._stage in ("", "packing"):
            # The time left of training is not that of packing; what a resumed run has done took no time.
            self._bar.reset(self._task, total=progress.total, completed=progress.done)
        self._stage, self._drawn = progress.stage, now
        detail = f"{progress.done:,}/{progress.total:,}"
        description = progress.stage
        if progress.stage == "training":
            description = f"epoch {progress.epoch}/{progress.epochs}"
            detail = f"step {detail}  loss {progress.loss:.4f}  {progress.images_per_second:,.0f} slices/s"
        self._bar.update(
            self._task, description=description, total=progress.total, completed=progress.done, state=detail
        )
