"""Shards as tasks of a Ray cluster: each reads its share into the reduction's folder and returns under a kilobyte.

Ray finds a machine for each task and notices when one is lost. Progress is on disk, as with shards that a user
calls: a lost task costs some seconds, and the object store stays empty.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprune.environment.progress import Operation, Progress, ProgressCallback
from ctprune.environment.ray_cluster import TRIES, cluster, last_line, stop_tasks
from ctprune.errors import ConfigError, CtpruneError, EngineError, Interrupted, InUseError
from ctprune.manifest.local_run import stages_folder
from ctprune.manifest.shards import Shard, shard_folders
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.shards import ShardRead, calls_missing, read_shard
from ctprune.sources.addresses import as_address
from ctprune.sources.plan import Sources, listed

if TYPE_CHECKING:
    import ray

#: Shards for each task that can run at the same time, if machines may differ: a slow shard at the end then delays
#: the others less. Each shard lists all names, so more shards would cost more than they save.
SHARDS_PER_SLOT = 2

#: Seconds between reports of a task, and between looks at all tasks.
_PACE = 0.5

#: Seconds after which tasks begin to report: they report to a process, which is not worth starting for short runs.
_ALONE = 5.0


class Tally:
    """The progress of each shard; an actor, since tasks report from other machines."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[str, int, int, str]] = {}

    def tell(self, shard: int, stage: str, done: int, total: int, unit: str) -> None:
        """Note a shard's progress."""
        self._of[shard] = (stage, done, total, unit)

    def all(self) -> dict[int, tuple[str, int, int, str]]:
        """The progress of all shards that have reported."""
        return dict(self._of)


def read_with_ray(
    sources: Sources,
    config: ReduceConfig,
    out: str | os.PathLike[str],
    *,
    from_list: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
    note: Callable[[str], None] = lambda sentence: None,
) -> None:
    """Read all shards of an archive, and compare their volumes where the method does, as tasks of a Ray cluster.

    A rerun continues with the shards that are still missing. All machines must see the sources and `out` under the
    same paths.

    Args:
        sources: As for `ctprune.reduce`.
        config: The reduction's options; `address`, `threads` (per task) and `task_memory_gb` concern the tasks.
        out: The reduction's folder, or its address.
        from_list: As for `ctprune.reduce`.
        progress: As for `ctprune.reduce`; the sum over all shards.
        note: Called with a sentence when a task was lost and is repeated.

    Raises:
        EngineError: The cluster cannot be reached, or a task was lost too often.
        MissingExtraError: The extra `ray` is not installed.
        Interrupted: Ctrl-C; progress is saved.
        CtpruneError: As `ctprune.read_shard` does.
    """
    operation = Operation(progress)
    # Tasks have other working folders.
    given = [as_address(source) or os.path.abspath(source) for source in listed(sources)]
    more = None if from_list is None else os.path.abspath(from_list)
    out = as_address(out) or os.path.abspath(out)
    with cluster(config.address):
        import ray

        threads = config.threads or 1
        cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
        if threads > cores:
            raise ConfigError(f"threads {threads}: the cluster has {cores} cores in all", field="threads")
        with stages_folder(out) as folder:
            of = _number_of_shards(folder, max(1, cores // threads), machines=_machines())
        # The first round reads, the second compares if the method does. The join does what is missing after that.
        for _ in range(2):
            with stages_folder(out) as folder:
                missing = calls_missing(folder, of, config)
            if missing:
                _Tasks(given, more, config, out, of, operation, note).run(list(missing), threads)


def _machines() -> int:
    """Current number of machines in the cluster."""
    import ray

    return sum(bool(node["Alive"]) for node in ray.nodes())  # type: ignore[no-untyped-call]


def _number_of_shards(out: Path, slots: int, *, machines: int) -> int:
    """The number of shards: that of an earlier run, which is continued, or else some for each slot."""
    begun = {shard.of for shard in shard_folders(out)}
    return max(begun) if begun else slots * (SHARDS_PER_SLOT if machines > 1 else 1)


class _Tasks:
    """One round, with a call of each missing shard."""

    def __init__(
        self,
        sources: list[str],
        from_list: str | None,
        config: ReduceConfig,
        out: str,
        of: int,
        operation: Operation,
        note: Callable[[str], None],
    ) -> None:

        self._sources, self._from_list = sources, from_list
        # A task is not an engine itself, and gets its threads from here.
        self._config = replace(config, engine="local", address=None)
        self._out = out
        self._of = of
        self._operation = operation
        self._note = note
        self._running: dict[ray.ObjectRef[Any], tuple[int, int, int]] = {}
        self._tally: Any = None
        self._tally_name = f"ctprune-{secrets.token_hex(8)}"
        self._began = time.monotonic()
        self._told: dict[int, tuple[str, int, int, str]] = {}

    def run(self, shards: list[int], threads: int) -> None:
        """Call each shard, repeating lost ones, until all have answered."""
        try:
            for number in shards:
                self._begin(number, threads, tries=1)
            while self._running:
                self._take_answers()
                self._report(len(shards))
        except KeyboardInterrupt:
            stop_tasks(self._running)
            raise Interrupted("interrupted; rerun to resume") from None
        except BaseException:
            stop_tasks(self._running)
            raise

    def _begin(self, number: int, threads: int, *, tries: int) -> None:
        import ray

        task = ray.remote(_read).options(
            num_cpus=threads,
            memory=int(self._config.task_memory_gb * 2**30),
            # Retries happen here, with fewer threads.
            max_retries=0,
            name=f"shard {number}/{self._of}",
        )
        config = replace(self._config, threads=threads)
        shard = Shard(number, self._of)
        answer = task.remote(self._sources, self._from_list, config, shard, self._out, self._tally_name)
        self._running[answer] = (number, threads, tries)

    def _take_answers(self) -> None:
        import ray

        done, _ = ray.wait(list(self._running), timeout=_PACE, fetch_local=True)
        for answer in done:
            number, threads, tries = self._running.pop(answer)
            try:
                ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                cause = error.cause if isinstance(error.cause, CtpruneError) else None
                if not isinstance(cause, InUseError) or tries == TRIES:
                    raise cause or EngineError(f"shard {number}/{self._of}: {last_line(error)}") from None
                # A process that Ray gave up may hold the shard's lock for some more seconds.
                time.sleep(tries)
                self._begin(number, threads, tries=tries + 1)
            except ray.exceptions.RayError as error:
                if tries == TRIES:
                    raise EngineError(
                        f"shard {number}/{self._of} was lost {tries} times ({last_line(error)}): give tasks more "
                        "memory (`task_memory_gb`) or fewer `threads`, then rerun"
                    ) from None
                fewer = max(1, threads // 2)
                self._note(f"shard {number}/{self._of} was lost and is read again: {type(error).__name__}")
                self._begin(number, fewer, tries=tries + 1)

    def _report(self, shards: int) -> None:
        import ray

        if self._tally is None and time.monotonic() - self._began > _ALONE:
            self._tally = ray.remote(num_cpus=0, max_restarts=-1)(Tally).options(name=self._tally_name).remote()
        if self._tally is not None:
            with contextlib.suppress(ray.exceptions.RayError, ray.exceptions.GetTimeoutError):
                self._told = ray.get(self._tally.all.remote(), timeout=5)
        if not self._told:
            self._operation.report("reading", part=f"{shards - len(self._running)}/{shards} shards")
            return
        stages = [stage for stage, *_ in self._told.values()]
        stage = max(set(stages), key=stages.count)
        told = [(done, total, unit) for one, done, total, unit in self._told.values() if one == stage]
        done, total = (sum(values) for values in list(zip(*told, strict=True))[:2])
        # Shards are of about equal size.
        total = max(total * shards // len(told), done)
        part = f"{shards - len(self._running)}/{shards} shards"
        self._operation.report(stage, done, total, told[0][2], part=part)


def _read(
    sources: list[str], from_list: str | None, config: ReduceConfig, shard: Shard, out: str, tally_name: str
) -> dict[str, Any]:
    """The task: call one shard."""
    import ray

    last, tally = 0.0, None

    def report(now: Progress) -> None:
        nonlocal last, tally
        if time.monotonic() - last >= _PACE or now.done >= now.total:
            last = time.monotonic()
            if tally is None:
                with contextlib.suppress(ValueError):
                    tally = ray.get_actor(tally_name)
            if tally is not None:
                tally.tell.remote(shard.number, now.stage, now.done, now.total, now.unit)

    done: ShardRead = read_shard(sources, config, shard=shard, from_list=from_list, out=out, progress=report)
    return done.to_dict()
