"""`ctprune pretrain`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.generate import CONFIG_HELP, Names, OptionsOf, QuietInOutput, said
from ctprune.cli.output import print_hint, print_json, say
from ctprune.cli.progress import ProgressDisplay
from ctprune.environment.words import counted

if TYPE_CHECKING:
    from ctprune.options.option import Option
    from ctprune.pretraining.result import PretrainResult

EXAMPLE = "ctprune pretrain reduction/ --method swav --out pre/"

_DATA, _TRAINING, _OUTPUT = "Data", "Training", "Output"


def default_of(option: Option) -> str:
    """The help of an option with its default: the one of the preset paper, and where they differ of the others."""
    text = option.about.help
    values = {name: getattr(config, option.name) for name, config in _of_presets().items()}
    default = values.pop("paper")
    if option.kind is bool or default in (None, ()):
        return text
    others: dict[str, list[str]] = {}
    for name, value in values.items():
        if value != default:
            others.setdefault(said(value), []).append(name)
    differing = ", ".join(f"{', '.join(names)}: {value}" for value, names in others.items())
    return f"{text.removesuffix('.')}; default {said(default)}{f' ({differing})' if differing else ''}."


@cache
def _of_presets() -> dict[str, Any]:
    from ctprune.pretraining.config import PretrainConfig

    return {name: PretrainConfig.resolve({}, preset_name=name) for name in ("paper", "small", "smoke")}


def command(
    reduction: Annotated[Path, typer.Argument(metavar="REDUCTION", help="Folder or address of a reduction.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Folder for the backbone, its model card and logs.")] = None,
    config: Annotated[Path | None, typer.Option(help=CONFIG_HELP)] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="[paper|vit|small|smoke]",
            help="Set of defaults: paper (default) and, for transformers, vit are the papers' settings for a GPU; "
            "small is for a laptop, smoke for a quick test.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    options: Annotated[
        dict[str, Any],
        OptionsOf(config="ctprune.pretraining.config:PretrainConfig", defaults="ctprune.cli.pretrain:default_of"),
    ],
    names: Names,
    show_views: Annotated[
        Path | None,
        typer.Option(help="Write a picture of slices and their views, then stop.", rich_help_panel=_DATA),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume from the checkpoint in --out.", rich_help_panel=_OUTPUT)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: QuietInOutput = False,
) -> None:
    """Pre-train a backbone without labels on the kept slices of a reduction.

    The defaults shown are those of swav. Set the method's own options, and those of its views, in a
    --config file.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (continue with --resume).
    """
    from ctprune.errors import ConfigError
    from ctprune.manifest.reveal_config import reveal_given
    from ctprune.pretraining.config import PretrainConfig

    reveal_given(names)
    if out is None and show_views is None:
        raise ConfigError("out is missing: name a folder for the backbone, such as `out` pre/", field="out")
    resolved = PretrainConfig.resolve(options, preset_name=preset, file=config)
    if show_views is not None:
        _show_views(reduction, resolved, show_views, as_json=as_json, quiet=quiet)
        return
    assert out is not None
    from ctprune.pretraining.launch import is_first_process
    from ctprune.pretraining.run import PretrainingRun

    if not is_first_process():
        # Of several that were started together, one speaks.
        quiet, as_json = True, False

    with ProgressDisplay(hidden=quiet) as display:
        result = PretrainingRun(
            reduction,
            out,
            resolved,
            resume=resume,
            progress=display.update,
            note=lambda sentence: display.note(f"note: {sentence}"),
        ).carry_out()
    _print_result(result, as_json=as_json, quiet=quiet)


def _show_views(reduction: Path, config: Any, file: Path, *, as_json: bool, quiet: bool) -> None:
    from ctprune.manifest.manifest import Manifest
    from ctprune.pretraining.show_views import write_views
    from ctprune.pretraining.used_slices import find_channels, find_neighbors
    from ctprune.store.store import build_store

    store = build_store(
        reduction,
        use=config.use,
        side=config.side,
        depth=config.depth,
        channels=config.channels,
        seed=config.seed,
        threads=config.threads,
    )
    slices = Manifest.load(reduction).slices()
    neighbors = find_neighbors(config, slices, store.rows)
    channels = find_channels(config, slices, store, None)
    write_views(store, config.views, file, neighbors=neighbors, channels=channels, seed=config.seed)
    if as_json:
        print_json("pretrain.views", {"path": str(file)})
    elif not quiet:
        say(f"views: {file}")


def _print_result(result: PretrainResult, *, as_json: bool, quiet: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    facts = result.summary
    if as_json:
        print_json("pretrain", facts)
    elif not quiet:
        table = Table(title=f"ctprune pretrain, method {facts['method']}", show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column(justify="right")
        table.add_row("slices", f"{facts['slices']:,} ({facts['use']})")
        if facts["excluded"]:
            table.add_row("left out, similar to a test set", f"{facts['excluded']['slices']:,}")
        if facts["neighbors"]:
            near = facts["neighbors"]
            table.add_row("with neighbors", f"{near['slices']:,} ({near['mean']:.1f} per slice)")
        table.add_row("epochs, steps", f"{facts['epochs']:,}, {facts['steps']:,}")
        table.add_row("last loss", f"{facts['final_loss']:.4f}")
        for name, value in (
            ("RankMe", facts["rankme"]),
            ("kNN accuracy", facts["knn_accuracy"]),
            ("linear probe, AUC", facts["linear_auc"]),
        ):
            if value is not None:
                table.add_row(name, f"{value:.3f}")
        table.add_row("time", f"{facts['seconds']:,.1f} s, {facts['slices_per_second']:,.1f} slices/s")
        Console(highlight=False).print(table)
        say(f"backbone: {result.backbone}")
    if not quiet:
        for alarm in facts["alarms"]:
            print_hint(f"alarm: {alarm}")
        left_out = sum(facts["left_out"].values())
        if left_out:
            print_hint(f"left out because it cannot be read: {counted(left_out, 'slice')}")
