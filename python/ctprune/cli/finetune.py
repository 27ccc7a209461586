"""`ctprune finetune`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctprune.cli.output import DONE_WITH_FAILURES, print_hint
from ctprune.cli.progress import ProgressDisplay, Speed

if TYPE_CHECKING:
    from rich.table import Table

    from ctprune.finetuning.progress import FinetuneProgress
    from ctprune.finetuning.result import FinetuneResult

_TASK = "Task"
_TRAINING = "Training"
_OUTPUT = "Output"


def command(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder per class, a CSV or Parquet table of labels, a MedMNIST .npz, or a run of reduce.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the result; rerun to resume.")],
    split: Annotated[
        Path | None,
        typer.Option(help="Folder of lists of names, one text file per split and class.", rich_help_panel=_TASK),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="For a run: table of label by path, sop_instance_uid or series_instance_uid.",
            rich_help_panel=_TASK,
        ),
    ] = None,
    patient_pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression whose one group takes the patient from a file's name.", rich_help_panel=_TASK
        ),
    ] = None,
    drop_overlap: Annotated[
        bool,
        typer.Option(
            "--drop-overlap",
            help="Leave out training images that share a patient or a near-duplicate with the evaluated split.",
            rich_help_panel=_TASK,
        ),
    ] = False,
    val_fraction: Annotated[
        float, typer.Option(help="Fraction held out where the data name no split.", rich_help_panel=_TASK)
    ] = 0.15,
    split_seed: Annotated[int, typer.Option(help="Seed of that split.", rich_help_panel=_TASK)] = 0,
    positive: Annotated[
        str | None,
        typer.Option(help="Positive one of two classes; needed unless they are 0 and 1.", rich_help_panel=_TASK),
    ] = None,
    intensity: Annotated[
        str | None,
        typer.Option(
            help="HU to grey, as for reduce; default the pre-training's, or minmax.", rich_help_panel=_TASK
        ),
    ] = None,
    modality: Annotated[
        str, typer.Option(help="DICOM Modality to read; any reads all.", rich_help_panel=_TASK)
    ] = "CT",
    weights: Annotated[
        str,
        typer.Option(
            help="File of a backbone, folder of a pre-training, imagenet (torchvision's ResNet-50), or none.",
            rich_help_panel=_TRAINING,
        ),
    ] = "none",
    download: Annotated[
        bool,
        typer.Option("--download", help="imagenet: fetch it if it is not on disk.", rich_help_panel=_TRAINING),
    ] = False,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Architecture; default the file's, else resnet50.", rich_help_panel=_TRAINING
        ),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            metavar="[finetune|linear|knn]",
            help="Train all weights, or a linear classifier or nearest neighbors on frozen features.",
            rich_help_panel=_TRAINING,
        ),
    ] = "finetune",
    preset: Annotated[
        str,
        typer.Option(
            metavar="[default|reference]",
            help="default, or reference: the published notebooks' training, in every step.",
            rich_help_panel=_TRAINING,
        ),
    ] = "default",
    seeds: Annotated[int, typer.Option(help="Repetitions, with seeds 0, 1, …", rich_help_panel=_TRAINING)] = 5,
    fraction: Annotated[
        float, typer.Option(help="Fraction of the training labels to use.", rich_help_panel=_TRAINING)
    ] = 1.0,
    class_weights: Annotated[
        bool,
        typer.Option(
            "--class-weights", help="Weight classes by their inverse frequency.", rich_help_panel=_TRAINING
        ),
    ] = False,
    epochs: Annotated[
        int | None, typer.Option(help="finetune: epochs, default 70.", rich_help_panel=_TRAINING)
    ] = None,
    frozen_epochs: Annotated[
        int | None,
        typer.Option(help="finetune: first epochs with a frozen backbone, default 10.", rich_help_panel=_TRAINING),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images per step.", rich_help_panel=_TRAINING)] = 64,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="finetune: learning rate of Adam, default 1e-4.", rich_help_panel=_TRAINING),
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="finetune: weight decay of Adam, default 5e-4.", rich_help_panel=_TRAINING)
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip", help="finetune: random horizontal flips; default on.", rich_help_panel=_TRAINING
        ),
    ] = None,
    neighbors: Annotated[
        int | None, typer.Option(help="knn: neighbors that vote, default 20.", rich_help_panel=_TRAINING)
    ] = None,
    side: Annotated[
        int, typer.Option(help="Rows and columns of the network's input.", rich_help_panel=_TRAINING)
    ] = 224,
    fit: Annotated[
        str | None,
        typer.Option(
            metavar="[pad|squeeze|crop]",
            help="How an image becomes a square: pad (default), squeeze (of reference) or crop, which cuts off.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    normalise: Annotated[
        str | None,
        typer.Option(
            metavar="[auto|imagenet|train]",
            help="Mean and standard deviation: auto (default; as in the pre-training), imagenet, train (of "
            "reference), or two numbers such as 0.56,0.29.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="[auto|32|16]",
            help="auto (default; mixed on a GPU), 32 (of reference) or 16.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="[auto|cpu|cuda]", help="Device.", rich_help_panel=_TRAINING)
    ] = "auto",
    threads: Annotated[
        int, typer.Option(min=0, help="Threads that read images; 0 is one per core.", rich_help_panel=_OUTPUT)
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json.", rich_help_panel=_OUTPUT)] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Train a classifier on labelled images with several seeds; report its performance with confidence intervals.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some images could not be read.
    """
    from ctprune.finetuning.run import finetune
    from ctprune.reduction.config import canonical_modality

    with _Display(hidden=quiet) as display:
        result = finetune(
            data,
            out=out,
            split=split,
            labels=labels,
            weights=weights,
            mode=mode,
            preset=preset,
            backbone=backbone,
            seeds=seeds,
            fraction=fraction,
            epochs=epochs,
            frozen_epochs=frozen_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            flip=flip,
            class_weights=class_weights,
            neighbors=neighbors,
            side=side,
            fit=fit,
            normalise=normalise,
            precision=precision,
            val_fraction=val_fraction,
            split_seed=split_seed,
            patient_pattern=patient_pattern,
            drop_overlap=drop_overlap,
            positive=positive,
            intensity=intensity,
            modality=canonical_modality(modality),
            device=device,
            download=download,
            threads=threads,
            progress=display.update,
        )
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=2))
    elif not quiet:
        _print_result(result)
    if not quiet:
        _print_hints(result)
    if result.unreadable:
        raise typer.Exit(DONE_WITH_FAILURES)


def _print_result(result: FinetuneResult) -> None:
    from rich.console import Console

    from ctprune.finetuning.card import metric_name, number

    Console(highlight=False).print(_table(result))
    for what, pooled in (
        (f"at a threshold chosen on {result.selection_split}", result.at_threshold),
        (f"after temperature scaling fitted on {result.selection_split}", result.calibrated),
    ):
        if pooled:
            values = ", ".join(f"{metric_name(name)} {number(one['mean'])}" for name, one in pooled.items())
            typer.echo(f"{what}: {values}")
    typer.echo(f"{result.evaluation}\nmodel card: {result.out / 'README.md'}")


def _table(result: FinetuneResult) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from ctprune.finetuning.card import evaluated_images, interval, metric_name, number, positive_sentence

    origin = "random weights" if result.weights is None else result.weights["path"]
    said = [f"{result.evaluated_split}: {evaluated_images(result)}", positive_sentence(result)]
    if result.no_interval:
        said.append(result.no_interval)
    counts = {split: sum(classes.values()) for split, classes in result.splits.items()}
    table = Table(
        title=f"ctprune finetune, mode {result.config['mode']}, {result.backbone} from {origin}; "
        f"{', '.join(f'{split} {count:,}' for split, count in counts.items())} images, "
        f"seeds {len(result.per_seed)}, {result.seconds:,.1f} s",
        title_justify="left",
        caption=escape("\n".join(said)),
        caption_justify="left",
    )
    table.add_column(f"on {result.evaluated_split}", style="bold")
    for name in ("mean", "std", f"95 % interval by {result.interval_unit}"):
        table.add_column(name, justify="right")
    for name, one in result.pooled.items():
        table.add_row(metric_name(name), number(one["mean"]), number(one["std"]), interval(one))
    return table


def _print_hints(result: FinetuneResult) -> None:
    from ctprune.finetuning.card import overlap_sentences

    for sentence in (*result.notes, *overlap_sentences(result)):
        print_hint(sentence)
    if overlap_sentences(result) and not result.config["drop_overlap"]:
        print_hint("--drop-overlap leaves out the training images that overlap with the evaluated split")
    for count, what in ((len(result.unreadable), "could not be read"), (len(result.skipped), "skipped")):
        if count:
            reasons = result.unreadable if what == "could not be read" else result.skipped
            name, reason = next(iter(reasons.items()))
            print_hint(f"{count:,} {'file' if count == 1 else 'files'} {what}, such as {name}: {reason}")


class _Display(ProgressDisplay):
    """Progress on stderr: images read, then epochs of each seed."""

    def __init__(self, *, hidden: bool) -> None:
        super().__init__(hidden=hidden)
        self._stage = ""
        self._speed = Speed()

    def update(self, now: FinetuneProgress) -> None:
        """Show this state."""
        title = "reading images" if now.stage == "reading" else f"seed {now.seed + 1}/{now.seeds}: {now.stage}"
        if title != self._stage:
            self._stage, self._speed = title, Speed()
        counts = f"{now.done:,}/{now.total:,}"
        parts = [f"{counts} epochs"] if now.stage == "training" else [counts, self._speed.text(now.done, "")]
        if now.accuracy is not None:
            parts.append(f"accuracy {now.accuracy:.3f}")
        self.show(title, *parts, done=now.done, total=now.total)
