"""The steps of an experiment as tasks of a Ray cluster: steps that need nothing unfinished run in parallel."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ctprune.environment.ray_cluster import TRIES, cluster, last_line, stop_tasks
from ctprune.environment.words import counted
from ctprune.errors import CtpruneError, EngineError, Interrupted
from ctprune.experiment.grid import Grid, Step

if TYPE_CHECKING:
    import ray

#: Seconds between two looks at the tasks.
_PACE = 0.5

#: Carries out the step with this number in the experiment's folder.
Work = Callable[[int], None]

#: Called with a step and whether it is done; else it runs.
Told = Callable[[Step, bool], None]


def carry_out_with_ray(
    grid: Grid, waiting: list[Step], work: Work, told: Told, look: Callable[[], None], *, address: str | None
) -> None:
    """Carry out steps, each as soon as the steps that it needs are done.

    A step gets its own GPU if the cluster has any; otherwise as many cores as it has threads. A step whose process
    or machine is lost starts again from its last checkpoint. All machines must see the experiment's inputs
    and its folder under the same paths.

    Args:
        grid: The experiment's steps.
        waiting: Steps that are not done yet, in order.
        work: Carries out a step by its number, on the machine of the task.
        told: Called with a step that begins, and again when it is done.
        look: Called a few times a second; raising KeyboardInterrupt stops all.
        address: Address of the cluster; None starts one on this machine.

    Raises:
        EngineError: The cluster cannot be reached, or a step was lost too often.
        Interrupted: Ctrl-C; the steps have saved their checkpoints.
        CtpruneError: As a step does, with its name; the others were stopped.
    """
    with cluster(address):
        _Steps(grid, waiting, work, told).run(look)


class _Steps:
    def __init__(self, grid: Grid, waiting: list[Step], work: Work, told: Told) -> None:
        import ray

        self._grid = grid
        self._waiting = list(waiting)
        self._undone = set(waiting)
        self._work = work
        self._told = told
        self._running: dict[ray.ObjectRef[Any], tuple[Step, int]] = {}
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self._gpus = int(resources.get("GPU", 0))
        self._cores = int(resources.get("CPU", 1))

    def run(self, look: Callable[[], None]) -> None:
        """Carry all out."""
        try:
            while self._waiting or self._running:
                for step in [step for step in self._waiting if not self._undone.intersection(step.needs)]:
                    self._waiting.remove(step)
                    self._begin(step, 1)
                self._take_answers()
                look()
        except KeyboardInterrupt:
            stop_tasks(self._running)
            done = len(self._grid.steps) - len(self._undone)
            raise Interrupted(
                f"interrupted after {done} of {counted(len(self._grid.steps), 'step')}; rerun to resume"
            ) from None
        except BaseException:
            stop_tasks(self._running)
            raise

    def _begin(self, step: Step, tries: int) -> None:
        import ray

        uses_gpu = self._gpus > 0 and step.kind != "reduce"
        threads = int(step.options.get("threads") or 0)
        # Without a GPU, a step that may use all cores of its machine gets the whole machine.
        cores = 1 if uses_gpu else min(threads or os.cpu_count() or 1, self._cores)
        task = ray.remote(_call).options(
            num_cpus=cores, num_gpus=int(uses_gpu), max_retries=0, name=f"{step.kind} {step.name}"
        )
        self._told(step, False)
        self._running[task.remote(self._work, self._grid.number(step))] = (step, tries)

    def _take_answers(self) -> None:
        import ray

        done, _ = ray.wait(list(self._running), timeout=_PACE)
        for answer in done:
            step, tries = self._running.pop(answer)
            try:
                ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                cause = error.cause
                if isinstance(cause, CtpruneError):
                    raise cause from None
                raise EngineError(f"{step.kind} {step.name}: {last_line(error)}") from None
            except ray.exceptions.RayError as error:
                if tries == TRIES:
                    raise EngineError(
                        f"{step.kind} {step.name} was lost {tries} times ({last_line(error)}): check its "
                        f"machine's memory, then rerun"
                    ) from None
                self._begin(step, tries + 1)
            else:
                self._undone.discard(step)
                self._told(step, True)


def _call(work: Work, number: int) -> None:
    work(number)
