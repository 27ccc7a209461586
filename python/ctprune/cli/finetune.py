"""`ctprune finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.flags import in_flags
from ctprune.cli.generate import Names, OptionsOf, QuietInOutput
from ctprune.cli.output import DONE_WITH_FAILURES, print_hint, print_json, say
from ctprune.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from rich.table import Table

    from ctprune.finetuning.result import FinetuneResult

EXAMPLE = "ctprune finetune covid-ct/ --split covid-ct/split --weights backbone.safetensors --out ft/"

_TASK, _OUTPUT = "Task", "Output"


def command(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder per class, a CSV or Parquet table of labels, a MedMNIST .npz, or a reduction.",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder of the result; rerun to resume.")],
    split: Annotated[
        Path | None,
        typer.Option(help="Folder with a text file of names for each split and class.", rich_help_panel=_TASK),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="For a reduction: table of labels by path or by sop_, series_ or study_instance_uid.",
            rich_help_panel=_TASK,
        ),
    ] = None,
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.finetuning.config:FinetuneConfig", file=True)],
    names: Names,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: QuietInOutput = False,
) -> None:
    """Train a network on labeled images with several seeds; report its performance with confidence intervals.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some images could not be read.
    """
    from ctprune.finetuning.run import finetune
    from ctprune.manifest.reveal_config import reveal_given
    from ctprune.pretraining.launch import is_first_process

    reveal_given(names)
    if not is_first_process():
        # Of several that were started together, one speaks.
        quiet, as_json = True, False
    with ProgressDisplay(hidden=quiet) as display:
        result = finetune(data, out=out, split=split, labels=labels, progress=display.update, **options)
    if as_json:
        print_json("finetune", result.to_dict())
    elif not quiet:
        _print_result(result)
    if not quiet:
        _print_hints(result)
    if result.unreadable:
        raise typer.Exit(DONE_WITH_FAILURES)


def _print_result(result: FinetuneResult) -> None:
    from rich.console import Console

    from ctprune.finetuning.subgroup_tables import subgroup_sentences
    from ctprune.finetuning.target_words import output_sentence
    from ctprune.finetuning.words import metric_name, number

    Console(highlight=False).print(_table(result))
    for what, pooled in (
        (f"at a threshold chosen on {result.selection_split}", result.at_threshold),
        (f"after temperature scaling fitted on {result.selection_split}", result.calibrated),
    ):
        if pooled:
            values = ", ".join(f"{metric_name(name)} {number(one['mean'])}" for name, one in pooled.items())
            say(f"{what}: {values}")
    if result.by_output:
        say(f"{metric_name('auc')}: {output_sentence(result)}")
    for column in result.subgroups:
        for sentence in subgroup_sentences(column, result.pooled):
            say(sentence)
    say(f"{in_flags(result.evaluation)}\nmodel card: {result.out / 'README.md'}")


def _table(result: FinetuneResult) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from ctprune.finetuning.card import evaluated_images, positive_sentence
    from ctprune.finetuning.words import interval, metric_name, number

    origin = "random weights" if result.weights is None else result.weights["path"]
    said = [f"{result.evaluated_split}: {evaluated_images(result)}", positive_sentence(result)]
    if result.no_interval:
        said.append(result.no_interval)
    counts = {split: sum(classes.values()) for split, classes in result.splits.items()}
    table = Table(
        title=f"ctprune finetune, mode {result.config['mode']}, {result.backbone} from {origin}; "
        f"{', '.join(f'{split} {count:,}' for split, count in counts.items())} {result.config['unit']}s, "
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
    from ctprune.finetuning.overlaps import overlap_sentences

    for sentence in (*result.notes, *overlap_sentences(result.overlaps)):
        print_hint(sentence)
    if overlap_sentences(result.overlaps) and not result.config["drop_overlap"]:
        print_hint("`drop_overlap` leaves out the training images that overlap with the evaluated split")
    for count, what in ((len(result.unreadable), "could not be read"), (len(result.skipped), "skipped")):
        if count:
            reasons = result.unreadable if what == "could not be read" else result.skipped
            name, reason = next(iter(reasons.items()))
            print_hint(f"{count:,} {'file' if count == 1 else 'files'} {what}, such as {name}: {reason}")
