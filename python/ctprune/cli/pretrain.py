"""`ctprune pretrain`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.output import print_hint
from ctprune.cli.progress import UNKNOWN, ProgressDisplay, Speed

if TYPE_CHECKING:
    from ctprune.pretraining.run import PretrainResult
    from ctprune.pretraining.training import PretrainProgress

_DATA, _TRAINING, _HARDWARE, _OUTPUT = "Data", "Training", "Hardware", "Output"


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a reduction.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the backbone, its model card and logs.")] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="[swav|mocov2|byol|simclr|dino]", help="Method; default swav.", rich_help_panel=_TRAINING
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="[paper|vit|small|smoke]",
            help="Options that belong together: those of the paper (default; vit for transformers), for a laptop, "
            "or for minutes.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file of options, such as an earlier config.yaml.", rich_help_panel=_TRAINING),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="resnet18, resnet50 …, or a model of timm; default resnet50 (small, smoke: resnet18).",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Start from this backbone's file; default random weights.", rich_help_panel=_TRAINING),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the slices; default 800 (small: 30, smoke: 2).", rich_help_panel=_TRAINING),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Optimizer steps, instead of epochs.", rich_help_panel=_TRAINING)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Slices per step and device; default 128 (small: 64, smoke: 32).", rich_help_panel=_TRAINING
        ),
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Batches per optimizer step; default 1.", rich_help_panel=_TRAINING)
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            metavar="[lars|sgd|adamw|adam]",
            help="Optimizer; default lars (small, smoke: adamw).",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            "--lr",
            help="Learning rate after the warm-up for 256 slices per step, scaled with their number; default 0.3 "
            "(small: 0.002, smoke: 0.004).",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(help="Weight decay; default 1e-6 (small, smoke: 1e-4).", rich_help_panel=_TRAINING),
    ] = None,
    clip_gradients: Annotated[
        float | None,
        typer.Option(
            help="Largest norm of the gradients, 0 for any; default 0 (dino: 3).", rich_help_panel=_TRAINING
        ),
    ] = None,
    warmup_epochs: Annotated[
        int | None,
        typer.Option(
            help="Epochs until the learning rate is reached; default 10 (small: 2, smoke: 0).",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed; default 0.", rich_help_panel=_TRAINING)] = None,
    use: Annotated[
        str | None,
        typer.Option(
            metavar="[kept|all|random]",
            help="The kept slices (default), all, or a random sample of as many as were kept.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(
            help="Rows and columns of the packed slices; default 256 (small: 128, smoke: 64).",
            rich_help_panel=_DATA,
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            metavar="[8|16]",
            help="Bits per pixel: grey (8, default) or Hounsfield units (16).",
            rich_help_panel=_DATA,
        ),
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            help="Leave out slices close to those of this folder or manifest (a test set); repeatable.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    exclude_threshold: Annotated[
        int | None,
        typer.Option(help="Largest distance, in bits, that is close; default the run's.", rich_help_panel=_DATA),
    ] = None,
    probe: Annotated[
        Path | None, typer.Option(help="Folder per class: kNN accuracy after each epoch.", rich_help_panel=_DATA)
    ] = None,
    probe_patient_pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression whose group is the patient in names of the probe.", rich_help_panel=_DATA
        ),
    ] = None,
    show_views: Annotated[
        Path | None,
        typer.Option(help="Write a picture of slices and their views, then stop.", rich_help_panel=_DATA),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="[auto|32|bf16|fp16]",
            help="Default auto: mixed where the GPU has it, else 32.",
            rich_help_panel=_HARDWARE,
        ),
    ] = None,
    compile_network: Annotated[
        bool, typer.Option("--compile", help="Compile the network and its slow copy.", rich_help_panel=_HARDWARE)
    ] = False,
    devices: Annotated[
        int | None,
        typer.Option(
            help="GPUs of a machine, 0 for all; or processes on a CPU; default 1.", rich_help_panel=_HARDWARE
        ),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="Machines, with srun or torchrun; default 1.", rich_help_panel=_HARDWARE)
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads that decode; default 0, one per core.", rich_help_panel=_HARDWARE),
    ] = None,
    log_every: Annotated[
        int | None, typer.Option(help="Steps per line of the log; default 10.", rich_help_panel=_OUTPUT)
    ] = None,
    checkpoint_minutes: Annotated[
        float | None, typer.Option(help="Minutes between checkpoints; default 10.", rich_help_panel=_OUTPUT)
    ] = None,
    keep_checkpoints: Annotated[
        int | None, typer.Option(help="Newest checkpoints to keep; default 2.", rich_help_panel=_OUTPUT)
    ] = None,
    wandb: Annotated[
        bool,
        typer.Option(
            "--wandb",
            help="Log to Weights & Biases too, offline unless WANDB_MODE is set.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume from the checkpoint in --out.", rich_help_panel=_OUTPUT)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Pre-train a backbone by contrastive learning on the kept slices of a run.

    Defaults are those of swav; options of the method's own, and of its views, stand in a --config file.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (continue with --resume).
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
        "clip_gradients": clip_gradients,
        "warmup_epochs": warmup_epochs,
        "seed": seed,
        "use": use,
        "side": side,
        "depth": depth,
        "exclude": [str(path) for path in exclude] if exclude else None,
        "exclude_threshold": exclude_threshold,
        "probe": None if probe is None else str(probe),
        "probe_patient_pattern": probe_patient_pattern,
        "precision": precision,
        "compile": compile_network or None,
        "devices": devices,
        "nodes": nodes,
        "threads": threads,
        "log_every": log_every,
        "checkpoint_minutes": checkpoint_minutes,
        "keep_checkpoints": keep_checkpoints,
        "wandb": wandb or None,
    }
    resolved = PretrainConfig.resolve(options, preset_name=preset, file=config)
    if show_views is not None:
        _show_views(run, resolved, show_views, quiet=quiet)
        return
    assert out is not None
    from ctprune.pretraining.launch import is_first_process
    from ctprune.pretraining.run import Pretraining

    if not is_first_process():
        # Of several that were started together, one speaks.
        quiet, as_json = True, False

    def note(sentence: str) -> None:
        if not quiet:
            print_hint(f"note: {sentence}")

    with _Display(hidden=quiet) as display:
        result = Pretraining(run, out, resolved, resume=resume, progress=display.update, note=note).carry_out()
    _print_result(result, as_json=as_json, quiet=quiet)


def _show_views(run: Path, config: Any, file: Path, *, quiet: bool) -> None:
    from ctprune.pretraining.show_views import write_views
    from ctprune.store.store import build_store

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


class _Display(ProgressDisplay):
    """Progress on stderr: epoch, step, loss, slices/s, time left."""

    def __init__(self, *, hidden: bool) -> None:
        super().__init__(hidden=hidden)
        self._stage = ""
        self._speed = Speed()

    def update(self, progress: PretrainProgress) -> None:
        """Show this state."""
        counts = f"{progress.done:,}/{progress.total:,}"
        if progress.stage == "training":
            loss, speed = progress.loss, progress.images_per_second
            self.show(
                f"epoch {progress.epoch}/{progress.epochs}",
                f"step {counts}",
                f"loss {UNKNOWN if math.isnan(loss) else f'{loss:.4f}'}",
                f"{f'{speed:,.0f}' if speed else UNKNOWN} slices/s",
                done=progress.done,
                total=progress.total,
                # Probing in between starts no other training.
                stage="training",
            )
        elif progress.stage == "probing":
            self.show("probing", f"step {counts}", done=progress.done, total=progress.total, stage="training")
        else:
            if progress.stage != self._stage:
                self._speed = Speed()
            parts = (f"{counts} slices", self._speed.text(progress.done, "slices"))
            self.show(progress.stage, *parts, done=progress.done, total=progress.total)
        self._stage = progress.stage
