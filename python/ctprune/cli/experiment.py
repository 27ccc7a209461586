"""`ctprune experiment`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctprune.cli.generate import Quiet
from ctprune.cli.output import print_json, say
from ctprune.cli.progress import Lines, TimeLeft, counts, duration, write_line
from ctprune.environment.words import counted

if TYPE_CHECKING:
    from rich.table import Table

    from ctprune.environment.progress import Progress
    from ctprune.experiment.run import Run, StepStatus

_STYLES = {"running": "bold yellow", "done": "green", "done before": "dim", "failed": "bold red"}


EXAMPLE = "ctprune experiment experiments/small.yaml --dry-run"


def command(
    file: Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="The experiment's file, YAML.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for all results; default the file's name without .yaml.")
    ] = None,
    variables: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Value of a variable; repeatable.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the steps and which are done; run nothing.")
    ] = False,
    list_steps: Annotated[
        bool, typer.Option("--list", help="List the steps by number, what each needs, and which are done.")
    ] = False,
    step: Annotated[
        int | None, typer.Option(metavar="N", help="Run only step N of the list, as in a job array.")
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="[local|ray]",
            help="What runs the steps: this process, or tasks of a Ray cluster.",
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Ray cluster to use, such as auto; by default Ray starts on this machine."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print steps and comparisons as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Run an experiment: reduce × pretrain × finetune, then one page that compares all results.

    Finished steps are skipped; after an interruption, rerun to resume.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    from ctprune.errors import ConfigError
    from ctprune.experiment.file import load_experiment
    from ctprune.experiment.run import Run
    from ctprune.reduction.config import ENGINES

    if dry_run + list_steps + (step is not None) > 1:
        raise ConfigError("`dry_run`, `list_steps` and `step` are mutually exclusive: give only one")
    if engine not in ENGINES:
        raise ConfigError(f"engine {engine}: expected one of {', '.join(ENGINES)}", field="engine")
    if address is not None and engine != "ray":
        raise ConfigError("address belongs to `engine` ray", field="address")
    experiment = load_experiment(file, variables=_variables(variables or []))
    with _Display(hidden=quiet, steps=not (dry_run or list_steps)) as display:
        run = Run(
            experiment,
            out or Path(file.stem),
            changed=display.update,
            progress=display.report,
            remember=not dry_run,
        )
        if step is not None:
            statuses: tuple[StepStatus, ...] = (run.carry_out_step(step),)
        elif dry_run or list_steps:
            statuses = run.find()
        else:
            result = run.carry_out(engine=engine, address=address)
            statuses = result.statuses
    if list_steps:
        # The jobs of an array shall not all read the inputs at once.
        run.remember()
    arrays = [f"{first}-{last}" for first, last in run.grid.arrays()] if list_steps else []
    if as_json:
        found: dict[str, object] = {"steps": [_step(status, run) for status in statuses]}
        if list_steps:
            found["arrays"] = arrays
        if not (dry_run or list_steps or step is not None):
            tasks = {task: one.to_dict() for task, one in result.comparisons.items()}
            print_json("experiment", {**found, "tasks": tasks, "page": str(result.page)})
        else:
            print_json("experiment.steps", found)
        return
    if quiet:
        return
    from rich.console import Console

    Console(highlight=False).print(_table(statuses, run if list_steps or step is not None else None))
    if dry_run:
        waiting = sum(status.state == "waiting" for status in statuses)
        say(f"dry run: {counted(len(statuses), 'step')}, {waiting} to run; nothing was written")
    if list_steps:
        say(f"job arrays, in this order: {' '.join(arrays)}")
    if dry_run or list_steps or step is not None:
        return
    for task, comparison in result.comparisons.items():
        for pair in comparison.pairs:
            say(f"{task}: {pair.sentence}")
    say(f"page: {result.page}")


def _variables(settings: list[str]) -> dict[str, str]:
    from ctprune.errors import ConfigError

    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ConfigError(
                f"variables {setting}: expected NAME=VALUE, such as `variables` data=./archive", field="variables"
            )
        found[name] = value
    return found


def _step(status: StepStatus, run: Run) -> dict[str, object]:
    return {
        "number": run.grid.number(status.step),
        "name": status.step.name,
        "kind": status.step.kind,
        "state": status.state,
        "needs": [run.grid.number(needed) for needed in status.step.needs],
        "folder": str(status.step.folder(run.out)),
        "seconds": status.seconds,
        "result": status.text,
    }


def _table(statuses: tuple[StepStatus, ...], numbered: Run | None = None, *, counts: Sequence[str] = ()) -> Table:
    from rich.markup import escape
    from rich.table import Table

    # Lines between columns would take the room of names and results.
    table = Table(box=None, pad_edge=False)
    if numbered is not None:
        table.add_column("number", justify="right", no_wrap=True)
        table.add_column("needs", no_wrap=True)
    table.add_column("step", overflow="fold")
    table.add_column("stage", no_wrap=True)
    table.add_column("status", no_wrap=True)
    # Before anything is done, the names of the steps get the room.
    is_begun = any(status.state != "waiting" for status in statuses)
    if is_begun:
        table.add_column("seconds", justify="right", no_wrap=True)
        table.add_column("result", overflow="fold")
    for status in statuses:
        name, kind, state, seconds, text = status.row()
        if status.state == "running":
            text = ", ".join(counts)
        row = [escape(name), kind, escape(state), *([seconds, escape(text)] if is_begun else [])]
        if numbered is not None:
            needs = ", ".join(str(numbered.grid.number(needed)) for needed in status.step.needs)
            row = [str(numbered.grid.number(status.step)), needs, *row]
        table.add_row(*row, style=_STYLES.get(status.state, ""))
    return table


class _Display:
    """The status table on stderr, drawn over itself on a terminal; elsewhere plain lines."""

    def __init__(self, *, hidden: bool, steps: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._hidden = hidden
        self._steps = steps
        self._on_terminal = sys.stderr.isatty()
        self._live = Live(console=Console(stderr=True), refresh_per_second=2, transient=True)
        self._lines = Lines()
        self._said: dict[int, str] = {}
        self._counts: list[str] = []
        self._left = ""
        self._time_left = TimeLeft()

    def __enter__(self) -> _Display:
        if self._on_terminal and not self._hidden:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def report(self, now: Progress) -> None:
        """Draw how many files of an input have been read; remember how far the running step is."""
        self._counts, self._left = counts(now), self._time_left.of(now, time.monotonic())
        if not now.part and self._on_terminal and not self._hidden:
            self._live.update(f"{now.stage}: {', '.join(self._counts)}")

    def update(self, statuses: tuple[StepStatus, ...]) -> None:
        """Draw these states, or write what has changed."""
        if self._hidden or not self._steps:
            return
        if self._on_terminal:
            table = _table(statuses, counts=[*self._counts, *filter(None, [self._left])])
            table.caption = _steps_left(statuses) or None
            self._live.update(table)
            return
        for number, status in enumerate(statuses, 1):
            title = f"[{number}/{len(statuses)}] {status.step.kind} {status.step.name}: {status.state}"
            if status.state == "running":
                stage = f"{title}: {status.stage}" if status.stage else title
                seconds = status.seconds or 0
                said = [*self._counts, *([duration(seconds)] if seconds >= 1 else []), *filter(None, [self._left])]
                self._lines.show(f"{stage}: {', '.join(said)}" if said else stage, stage)
            elif status.state not in ("waiting", self._said.get(number)):
                self._said[number] = status.state
                left = _steps_left(statuses) if status.state == "done" else ""
                write_line(": ".join(filter(None, [title, status.text])) + (f"; {left}" if left else ""))


def _steps_left(statuses: tuple[StepStatus, ...]) -> str:
    """About how long the other steps take, judged by those that are done; empty if a kind has none yet."""
    took: dict[str, list[float]] = {}
    for status in statuses:
        if status.state in ("done", "done before") and status.seconds is not None:
            took.setdefault(status.step.kind, []).append(status.seconds)
    left = 0.0
    for status in statuses:
        if status.state in ("waiting", "running"):
            if status.step.kind not in took:
                return ""
            spent = (status.seconds or 0.0) if status.state == "running" else 0.0
            of_kind = took[status.step.kind]
            left += max(0.0, sum(of_kind) / len(of_kind) - spent)
    return f"about {duration(left)} left for all steps" if left else ""
