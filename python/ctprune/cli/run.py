"""`ctprune run`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from ctprune.experiment.run import StepStatus

_STYLES = {"running": "bold yellow", "done": "green", "done before": "dim", "failed": "bold red"}


def command(
    file: Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="The experiment's file, YAML.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for all results; default the file's name without .yaml.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Value of a variable; repeatable.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the steps and which are done; carry out nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print steps and comparisons as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Carry out an experiment: reduce × pretrain × finetune, then one page that compares all.

    Finished steps are skipped; after an interruption the same command goes on.
    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    from ctprune.experiment.file import load_experiment
    from ctprune.experiment.run import Run

    experiment = load_experiment(file, variables=_variables(setting or []))
    with _Display(hidden=quiet or dry_run) as display:
        run = Run(experiment, out or Path(file.stem), progress=display.update)
        if dry_run:
            statuses = run.find()
        else:
            result = run.carry_out()
            statuses = result.statuses
    if as_json:
        found: dict[str, object] = {"steps": [_step(status, run.out) for status in statuses]}
        if not dry_run:
            found["tasks"] = {task: one.to_dict() for task, one in result.comparisons.items()}
        typer.echo(json.dumps(found, indent=2))
        return
    if quiet:
        return
    from rich.console import Console

    Console(highlight=False).print(_table(statuses))
    if dry_run:
        waiting = sum(status.state == "waiting" for status in statuses)
        typer.echo(f"dry run: {len(statuses)} steps, {waiting} to carry out; nothing was written")
        return
    for task, comparison in result.comparisons.items():
        for pair in comparison.pairs:
            typer.echo(f"{task}: {pair.sentence}")
    typer.echo(f"page: {result.page}")


def _variables(settings: list[str]) -> dict[str, str]:
    from ctprune.errors import ConfigError

    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {setting}: expected NAME=VALUE, such as --set data=./archive")
        found[name] = value
    return found


def _step(status: StepStatus, out: Path) -> dict[str, object]:
    return {
        "name": status.step.name,
        "kind": status.step.kind,
        "state": status.state,
        "folder": str(status.step.folder(out)),
        "seconds": status.seconds,
        "result": status.text,
    }


def _table(statuses: tuple[StepStatus, ...]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    table.add_column("step", overflow="fold")
    table.add_column("stage", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("result", overflow="fold")
    for status in statuses:
        name, kind, state, seconds, text = status.row()
        style = _STYLES.get(status.state, "")
        table.add_row(escape(name), kind, escape(state), seconds, escape(text), style=style)
    return table


class _Display:
    """The status table on stderr, drawn over itself on a terminal; elsewhere a line for each step that ends."""

    def __init__(self, *, hidden: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._hidden = hidden
        self._on_terminal = sys.stderr.isatty()
        self._live = Live(console=Console(stderr=True), refresh_per_second=2, transient=True)
        self._said: dict[str, str] = {}

    def __enter__(self) -> _Display:
        if self._on_terminal and not self._hidden:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, statuses: tuple[StepStatus, ...]) -> None:
        """Draw these states."""
        if self._hidden:
            return
        if self._on_terminal:
            self._live.update(_table(statuses))
            return
        for number, status in enumerate(statuses, 1):
            key = f"{status.step.kind} {status.step.name}"
            if status.state != "waiting" and self._said.get(key) != status.state:
                self._said[key] = status.state
                text = f": {status.text}" if status.text else ""
                print(f"[{number}/{len(statuses)}] {key}: {status.state}{text}", file=sys.stderr, flush=True)
