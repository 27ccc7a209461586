"""`ctprune finetune`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctprune.cli.output import DONE_WITH_FAILURES, print_hint
from ctprune.cli.progress import ProgressBar

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
    out: Annotated[Path, typer.Option(help="Folder of the result; the same command again goes on there.")],
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
        float, typer.Option(help="Part that is set aside where the data name no split.", rich_help_panel=_TASK)
    ] = 0.15,
    split_seed: Annotated[int, typer.Option(help="Seed of that part.", rich_help_panel=_TASK)] = 0,
    positive: Annotated[
        str | None, typer.Option(help="Positive one of two classes; default the last.", rich_help_panel=_TASK)
    ] = None,
    intensity: Annotated[
        str | None,
        typer.Option(
            help="HU to grey, as for reduce; default as in the pre-training, or minmax.", rich_help_panel=_TASK
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
        typer.Option(help="Architecture; default as the file says, else resnet50.", rich_help_panel=_TRAINING),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            help="finetune (all weights), linear or knn (on frozen features).", rich_help_panel=_TRAINING
        ),
    ] = "finetune",
    seeds: Annotated[int, typer.Option(help="Repetitions, with seeds 0, 1, …", rich_help_panel=_TRAINING)] = 5,
    fraction: Annotated[
        float, typer.Option(help="Part of the training labels that is used.", rich_help_panel=_TRAINING)
    ] = 1.0,
    class_weights: Annotated[
        bool,
        typer.Option("--class-weights", help="Weigh rare classes up.", rich_help_panel=_TRAINING),
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
        float | None, typer.Option(help="finetune: of Adam, default 1e-4.", rich_help_panel=_TRAINING)
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="finetune: of Adam, default 5e-4.", rich_help_panel=_TRAINING)
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="finetune: horizontal flips, on.", rich_help_panel=_TRAINING),
    ] = None,
    neighbors: Annotated[
        int | None, typer.Option(help="knn: neighbours that vote, default 20.", rich_help_panel=_TRAINING)
    ] = None,
    side: Annotated[
        int, typer.Option(help="Rows and columns of the network's input.", rich_help_panel=_TRAINING)
    ] = 224,
    normalise: Annotated[
        str,
        typer.Option(
            help="Mean and standard deviation: auto (as in the pre-training), imagenet or train.",
            rich_help_panel=_TRAINING,
        ),
    ] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto (mixed on a GPU), 32 or 16.", rich_help_panel=_TRAINING)
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=_TRAINING)] = "auto",
    threads: Annotated[
        int, typer.Option(min=0, help="Threads that read images; 0 is one per core.", rich_help_panel=_OUTPUT)
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json.", rich_help_panel=_OUTPUT)] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Train a classifier on labelled images, several times, and say how good it is.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some images could not be read.
    """
    from ctprune.finetuning.run import finetune

    with _Bar(hidden=quiet) as bar:
        result = finetune(
            data,
            out=out,
            split=split,
            labels=labels,
            weights=weights,
            mode=mode,
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
            normalise=normalise,
            precision=precision,
            val_fraction=val_fraction,
            split_seed=split_seed,
            patient_pattern=patient_pattern,
            drop_overlap=drop_overlap,
            positive=positive,
            intensity=intensity,
            modality=modality,
            device=device,
            download=download,
            threads=threads,
            progress=bar.update,
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

    Console(highlight=False).print(_table(result))
    typer.echo(f"{result.evaluation}\nmodel card: {result.out / 'README.md'}")


def _table(result: FinetuneResult) -> Table:
    from rich.table import Table

    from ctprune.finetuning.card import metric_name, number

    origin = "random weights" if result.weights is None else result.weights["path"]
    counts = {split: sum(classes.values()) for split, classes in result.splits.items()}
    table = Table(
        title=f"ctprune finetune, mode {result.config['mode']}, {result.backbone} from {origin}; "
        f"{', '.join(f'{split} {count:,}' for split, count in counts.items())} images, "
        f"seeds {len(result.per_seed)}, {result.seconds:,.1f} s",
        title_justify="left",
    )
    table.add_column(f"on {result.evaluated_split}", style="bold")
    for name in ("mean", "std", f"95 % interval by {result.interval_unit}"):
        table.add_column(name, justify="right")
    for name, one in result.pooled.items():
        interval = f"{number(one['low'])} – {number(one['high'])}"
        table.add_row(metric_name(name), number(one["mean"]), number(one["std"]), interval)
    return table


def _print_hints(result: FinetuneResult) -> None:
    from ctprune.finetuning.card import overlap_sentences

    for sentence in overlap_sentences(result):
        print_hint(sentence)
    if overlap_sentences(result) and not result.config["drop_overlap"]:
        print_hint("--drop-overlap leaves out the training images that overlap with the evaluated split")
    for count, what in ((len(result.unreadable), "could not be read"), (len(result.skipped), "skipped")):
        if count:
            reasons = result.unreadable if what == "could not be read" else result.skipped
            name, reason = next(iter(reasons.items()))
            print_hint(f"{count:,} {'file' if count == 1 else 'files'} {what}, such as {name}: {reason}")


class _Bar(ProgressBar):
    """Progress on stderr: images read, then epochs of each seed."""

    def __init__(self, *, hidden: bool) -> None:
        super().__init__("reading images", hidden=hidden)
        self._stage = ("reading", 0)

    def update(self, now: FinetuneProgress) -> None:
        """Draw this state."""
        description = (
            "reading images" if now.stage == "reading" else f"seed {now.seed + 1}/{now.seeds}: {now.stage}"
        )
        state = f"{now.done:,}/{now.total:,}"
        if now.accuracy is not None:
            state += f"  accuracy {now.accuracy:.3f}"
        if (now.stage, now.seed) != self._stage:
            self._stage = (now.stage, now.seed)
            # The time that is left is guessed from this stage alone.
            self._bar.reset(self._task)
        self._bar.update(
            self._task, description=description, total=now.total or None, completed=now.done, state=state
        )
