"""Carry out an experiment step by step, skip finished steps, and resume interrupted ones."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctprune.comparison.comparison import Comparison
from ctprune.environment.progress import Operation, Progress, ProgressCallback
from ctprune.environment.words import counted
from ctprune.errors import ConfigError, CtpruneError, Interrupted, SourceError
from ctprune.experiment.carry_out import carry_out, facts, is_current
from ctprune.experiment.contrasts import resolve_contrasts
from ctprune.experiment.file import ExperimentFile, load_experiment
from ctprune.experiment.grid import Grid, Step, build_grid
from ctprune.experiment.inputs import Inputs
from ctprune.experiment.outcome import compare_tasks, write_outcome
from ctprune.experiment.ray_steps import carry_out_with_ray
from ctprune.files.atomic import check_writable, replace_file
from ctprune.files.contents import Contents
from ctprune.files.run_lock import sole_writer
from ctprune.manifest.outside import check_outside
from ctprune.pretraining.launch import refuse_several
from ctprune.sources.addresses import as_address, parse_address

#: File of the inputs' digests, so that the next call reads only what has changed.
DIGESTS_NAME = "digests.parquet"

#: States of a step, from the first to the last.
WAITING, RUNNING, DONE, FOUND, FAILED = "waiting", "running", "done", "done before", "failed"


@dataclass(frozen=True, kw_only=True)
class StepStatus:
    """The status of a step.

    Attributes:
        step: The step.
        state: `waiting`, `running`, `done`, `done before` (its result was there already) or `failed`.
        stage: For a running step, its current stage.
        seconds: Time of a running step so far, or of a finished step; None if not known.
        text: For a finished step, its result in a few words.
    """

    step: Step
    state: str
    stage: str = ""
    seconds: float | None = None
    text: str = ""

    def row(self) -> tuple[str, str, str, str, str]:
        """The status as a row of text: name, kind, state, seconds, result."""
        seconds = "" if self.seconds is None else f"{self.seconds:,.1f}"
        state = f"{self.state}: {self.stage}" if self.stage and self.state == RUNNING else self.state
        return self.step.name, self.step.kind, state, seconds, self.text


StatusCallback = Callable[[tuple[StepStatus, ...]], None]


@dataclass(frozen=True, kw_only=True)
class ExperimentResult:
    """A finished experiment.

    Attributes:
        out: Folder of the experiment.
        statuses: Status of every step, in order.
        comparisons: Comparison of each task, by the task's name.
        page: File of the comparison's page.
    """

    out: Path
    statuses: tuple[StepStatus, ...]
    comparisons: dict[str, Comparison]
    page: Path


def run_experiment(
    file: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    variables: Mapping[str, str] | None = None,
    changed: StatusCallback | None = None,
    progress: ProgressCallback | None = None,
    engine: str = "local",
    address: str | None = None,
) -> ExperimentResult:
    """Run an experiment's grid of reductions, pre-trainings and fine-tunings, then compare the results.

    Each step has its own folder under `out`, named by the step and by the digest of its configuration and inputs.
    A step whose result exists is skipped. The same call therefore resumes after an interruption, and after a
    change of the file repeats only the steps that depend on the change.

    Args:
        file: The experiment's file; docs/experiment.md lists its keys.
        out: Folder for all results; `comparison/` in it holds the page.
        variables: Values for the file's variables.
        changed: Called with all statuses whenever one changes.
        progress: Called a few times a second with a `ctprune.Progress`. Stages: `reading inputs` (files), then
            those of the steps; the part is the step, such as `reduce hash`, or a part of it, such as
            `finetune hash, seed 2/5`. With `engine="ray"`: `steps`.
        engine: What runs the steps: `local`, this process, or `ray`, tasks of a Ray cluster, each with a GPU if
            the cluster has GPUs.
        address: Address of the Ray cluster, such as `auto`; None starts one on this machine.

    Raises:
        ConfigError: The file has a wrong key or value; nothing was started.
        SourceError: A source or a task's data are not there.
        CtpruneError: A step failed; the message names it, and finished steps are kept.
        Interrupted: Ctrl-C; the same call resumes.
    """
    run = Run(load_experiment(file, variables=variables), out, changed=changed, progress=progress)
    return run.carry_out(engine=engine, address=address)


class Run:
    """One experiment in progress. `run_experiment` is the short form.

    Args:
        experiment: The file's content.
        out: Folder for all results.
        changed: Called with all statuses whenever one changes.
        progress: Called with each report of the running step, and while inputs are read.
        remember: Whether the digests so far are saved if reading the inputs is interrupted.
    """

    def __init__(
        self,
        experiment: ExperimentFile,
        out: str | os.PathLike[str],
        *,
        changed: StatusCallback | None = None,
        progress: ProgressCallback | None = None,
        remember: bool = True,
    ) -> None:
        self.experiment = experiment
        self.out = Path(out)
        check_outside(self.out, (source for sources in experiment.sources.values() for source in sources))
        _check_grid(experiment, build_grid(experiment, Inputs(None)))
        self._contents = Contents(self.out / DIGESTS_NAME)
        self._operation = Operation(progress)
        try:
            self.grid = build_grid(experiment, Inputs(self._contents, operation=self._operation))
        except KeyboardInterrupt:
            if remember:
                self._contents.save()
            raise Interrupted("interrupted while the inputs were read; rerun to resume") from None
        self._changed = changed or (lambda _: None)
        self._statuses = {step: StepStatus(step=step, state=WAITING) for step in self.grid.steps}

    def statuses(self) -> tuple[StepStatus, ...]:
        """The status of every step, in order."""
        return tuple(self._statuses.values())

    def find(self) -> tuple[StepStatus, ...]:
        """Find which steps are done; carries out and writes nothing."""
        for step in self.grid.steps:
            if step.is_finished(self.out):
                self._set_found(step)
        for step in self.grid.steps:
            if step.kind == "pretrain" and self._statuses[step].state == WAITING:
                self._look_at_reduction(step.needs[0])
        return self.statuses()

    def remember(self) -> None:
        """Save the digests of the inputs for the next call, and which folder belongs to which step."""
        check_writable(self.out)
        self._contents.save()
        self._save_plan()

    def carry_out(self, *, engine: str = "local", address: str | None = None) -> ExperimentResult:
        """Carry out all steps that are not done, then compare.

        Args:
            engine: What carries out the steps: this process, or, with `ray`, tasks of a cluster.
            address: Address of the Ray cluster; None starts one on this machine.

        Raises:
            ConfigError: This was started as one of several processes.
            EngineError: The cluster cannot be reached, or loses its tasks.
            InUseError: Another call carries out an experiment in this folder.
        """
        refuse_several("an experiment")
        check_writable(self.out)
        with sole_writer(self.out):
            self.remember()
            self.find()
            waiting = [step for step in self.grid.steps if self._statuses[step].state != FOUND]
            if engine == "ray" and waiting:
                self._carry_out_with_ray(waiting, address)
            else:
                for step in waiting:
                    self._carry_out(step)
            comparisons = compare_tasks(self.experiment, self.grid, self.out)
            rows = [status.row() for status in self.statuses()]
            page = write_outcome(self.experiment, comparisons, rows, self.out / "comparison")
        return ExperimentResult(out=self.out, statuses=self.statuses(), comparisons=comparisons, page=page)

    def carry_out_step(self, number: int) -> StepStatus:
        """Carry out one step alone, if it is not done; other processes may carry out other steps meanwhile.

        Args:
            number: Number of the step, from 1.

        Raises:
            ConfigError: There is no step of this number, or this was started as one of several processes.
            SourceError: A step that it needs is not done.
            InUseError: Another call carries out the same step.
        """
        refuse_several("a step of an experiment")
        steps = self.grid.steps
        if not 1 <= number <= len(steps):
            raise ConfigError(f"step {number}: expected 1 to {len(steps)}, the number of steps", field="step")
        step = steps[number - 1]
        self.find()
        if self._statuses[step].state != FOUND:
            missing = [needed for needed in step.needs if self._statuses[needed].state != FOUND]
            if missing:
                needed = self._statuses[missing[0]]
                reason = needed.text or "is not done"
                raise SourceError(
                    f"step {number}: {step.kind} {step.name} needs step {self.grid.number(missing[0])}, "
                    f"{missing[0].kind} {missing[0].name}, which {reason}: run that first",
                    field="step",
                )
            self.remember()
            self._carry_out(step)
        return self._statuses[step]

    def _set_found(self, step: Step) -> None:
        found = facts(step, self.out)
        self._set(step, FOUND, seconds=found.seconds, text=found.text)

    def _look_at_reduction(self, step: Step) -> None:
        """Update paths and times in the manifest if they changed: packing identifies files by them."""
        if self._statuses[step].state == FOUND and not is_current(step, self.out):
            self._set(step, WAITING, text="must record again where its files are and when they changed")

    def _carry_out(self, step: Step) -> None:
        started = time.perf_counter()

        def running(stage: str) -> None:
            self._set(step, RUNNING, stage=stage, seconds=time.perf_counter() - started)

        def report(now: Progress) -> None:
            within = f", {now.part}" if now.part else ""
            self._operation.pass_on(now, part=f"{step.kind} {step.name}{within}")
            running(f"{now.part}: {now.stage}" if now.part else now.stage)

        running("")
        try:
            carry_out(step, self.out, progress=report)
        except (Interrupted, KeyboardInterrupt):
            done = sum(status.state in (DONE, FOUND) for status in self.statuses())
            raise Interrupted(
                f"interrupted in {step.kind} {step.name}, after {done} of {counted(len(self._statuses), 'step')}; "
                "rerun to resume"
            ) from None
        except CtpruneError as error:
            self._set(step, FAILED, seconds=time.perf_counter() - started)
            raise type(error)(f"{step.kind} {step.name}: {error}") from None
        found = facts(step, self.out)
        self._set(step, DONE, seconds=found.seconds, text=found.text)

    def _carry_out_with_ray(self, waiting: list[Step], address: str | None) -> None:
        began: dict[Step, float] = {}
        experiment, out = self.experiment, self.out

        def work(number: int) -> None:
            Run(experiment, out).carry_out_step(number)

        def told(step: Step, is_done: bool) -> None:
            if is_done:
                found = facts(step, self.out)
                self._set(step, DONE, seconds=found.seconds, text=found.text)
            else:
                began[step] = time.perf_counter()
                self._set(step, RUNNING, seconds=0.0)

        def look() -> None:
            for step, start in began.items():
                if self._statuses[step].state == RUNNING:
                    self._set(step, RUNNING, seconds=time.perf_counter() - start)
            done = sum(status.state in (DONE, FOUND) for status in self.statuses())
            self._operation.report("steps", done, len(self._statuses), "steps")

        carry_out_with_ray(self.grid, waiting, work, told, look, address=address)

    def _set(self, step: Step, state: str, **about: Any) -> None:
        self._statuses[step] = StepStatus(step=step, state=state, **about)
        self._changed(self.statuses())

    def _save_plan(self) -> None:
        """A list of steps with their folders, for readers of the results."""
        plan = {
            "name": self.experiment.name,
            "steps": [
                {
                    "kind": step.kind,
                    "name": step.name,
                    "folder": str(step.folder(self.out).relative_to(self.out)),
                    "digest": step.digest,
                    "options": step.options,
                    "inputs": [_shown(path) for path in step.inputs],
                    "needs": [str(other.folder(self.out).relative_to(self.out)) for other in step.needs],
                }
                for step in self.grid.steps
            ],
        }
        with replace_file(self.out / "experiment.json") as beside:
            beside.write_text(json.dumps(plan, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def _shown(path: Path) -> str:
    """A path; of an address, what may be stored."""
    address = as_address(path)
    return str(path) if address is None else str(parse_address(address))


def _check_grid(experiment: ExperimentFile, grid: Grid) -> None:
    names = list(next(iter(grid.tasks.values())))
    if len(names) < 2:
        raise ConfigError(
            f"pretrainings, baselines: expected two or more models to compare, found {names[0]} alone: add a "
            "pre-training, a reduction or a baseline"
        )
    reference = experiment.comparison.get("reference")
    if reference is not None and reference not in names:
        raise ConfigError(f"comparison.reference: expected one of {', '.join(names)}, found {reference}")
    resolve_contrasts(experiment.comparison.get("contrasts", []), names)
