"""Training on several devices: one process per device, of which the user's own process is the first.

A machine's first process starts the others there and ends them. It trains itself, so that progress, notes, errors
and the result need no channel between processes, and nothing is started where there is one device.

Torch's elastic launcher (`torch.distributed.run`, `torch.distributed.launcher.api`) does not start them, though a
training that torchrun has started is joined. Tried with torch 2.15, the launcher

- trains in children alone, which would have to send back progress, notes and results. An error comes back as
  `ChildFailedError` with an exit code; its message needs a folder of logs;
- calls a function only by running the user's script again, and a program without an answer;
- leaves its own handlers for SIGINT, SIGTERM and SIGHUP behind: Ctrl-C no longer interrupts a notebook;
- kills children 30 seconds after a signal, while they may write a large checkpoint; versions of torch that ctprune
  supports cannot change this;
- passes on the variables of Slurm and MPI, by which children take themselves for tasks of the job;
- writes failures to stderr as log lines, and loads torch in one process more.

It has no race for the port, and neither has this: the first process opens a `TCPStore` on a free port and holds it
while the others connect.

Source: https://docs.pytorch.org/docs/stable/distributed.html, "TCPStore".
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from types import TracebackType
from typing import IO, Any, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from ctprune import errors
from ctprune.errors import CtpruneError, TrainingError
from ctprune.pretraining.launch import OURSELVES, TORCHRUN, Launch, without_foreign

_LOCALHOST = "127.0.0.1"

#: Seconds that the other processes have to end after the first one. They notice its end soon.
_PATIENCE = 30

#: How long the other processes wait for the first one to pack the slices of a large archive.
_LONG = timedelta(days=7)

Made = TypeVar("Made")


class Workers:
    """A context in which this process trains together with others, some of which it starts.

    The first process of a machine starts the others there, unless torchrun or srun has started them. They run
    a program of ctprune's, not the user's script, so that this works from scripts, notebooks and experiments
    alike. While the context lasts, the variables that Fabric's environments read say which process this is.

    Args:
        launch: This process's rank among those that train together.
        order: The training to carry out, as the program reads it.
        program: Module that the processes run: one that calls `ctprune.pretraining.worker.take_part`.
    """

    def __init__(
        self, launch: Launch, order: dict[str, Any], *, program: str = "ctprune.pretraining.worker"
    ) -> None:
        self._launch = launch
        self._order = order
        self._program = program
        self._processes: list[tuple[subprocess.Popen[str], IO[str]]] = []
        self._before: dict[str, str | None] = {}
        self._threads_before = torch.get_num_threads()
        self._store: Any = None

    def __enter__(self) -> Workers:
        launch = self._launch
        if launch.processes == 1 or launch.starter == TORCHRUN:
            return self
        if launch.starts_all:
            # Port 0 is any free one. Fabric's own store on this port then shares the server that holds it.
            self._store = torch.distributed.TCPStore(  # type: ignore[attr-defined]
                _LOCALHOST, 0, is_master=True, wait_for_workers=False, multi_tenant=True
            )
            launch = replace(launch, address=_LOCALHOST, port=self._store.port)
        if launch.starter == OURSELVES and launch.local == 0:
            for local in range(1, launch.devices):
                self._start(replace(launch, local=local))
        own = {
            "MASTER_ADDR": launch.address,
            "MASTER_PORT": str(launch.port),
            "NODE_RANK": str(launch.node),
            "LOCAL_RANK": str(launch.local),
        }
        # With these, torch would look for the store of torchrun's agent.
        agents = [name for name in os.environ if name.startswith("TORCHELASTIC_")]
        # Lightning also sets the number of this process's threads.
        self._before = {name: os.environ.get(name) for name in (*own, *agents, "OMP_NUM_THREADS")}
        self._threads_before = torch.get_num_threads()
        for name in agents:
            del os.environ[name]
        os.environ.update(own)
        return self

    def environment(self) -> ClusterEnvironment:
        """The environment that tells Fabric which process this is, so that it does not guess."""
        return TorchElasticEnvironment() if self._launch.starter == TORCHRUN else LightningEnvironment()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._launch.processes == 1:
            return
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        self._store = None
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        torch.set_num_threads(self._threads_before)
        reasons = self._wait(0 if isinstance(error, KeyboardInterrupt) else _PATIENCE)
        # An error of ctprune's says what is wrong. Any other one comes from losing the process that failed.
        if reasons and not isinstance(error, (CtpruneError, KeyboardInterrupt)):
            raise TrainingError(f"a process of the training has ended early: {reasons[0]}") from None
        if error is not None and _has_lost_others(error):
            raise TrainingError(
                f"the other processes of the training have ended or cannot be reached ({_first_line(error)}): see "
                "what they say"
            ) from None

    def _start(self, launch: Launch) -> None:
        said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `_wait`
        process = subprocess.Popen(
            [sys.executable, "-m", self._program],
            env=without_foreign(os.environ) | self._threads(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            text=True,
            # Ctrl-C reaches the first process alone, which tells the others when all have finished a step.
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(self._order | {"launch": asdict(launch), "parent": os.getpid()}))
        process.stdin.close()
        self._processes.append((process, said))

    def _threads(self) -> dict[str, str]:
        """The variable by which processes on a CPU share its cores."""
        if torch.cuda.is_available() or "OMP_NUM_THREADS" in os.environ:
            return {}
        return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self._launch.devices))}

    def _wait(self, patience: float) -> list[str]:
        """Wait for the processes, kill those that do not end, and return the reason of each failure."""
        reasons = []
        until = time.monotonic() + patience
        for process, said in self._processes:
            try:
                process.wait(max(1.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.returncode not in (0, 130):
                said.seek(0)
                lines = said.read().strip().splitlines()
                reasons.append(lines[-1] if lines else f"exit code {process.returncode}")
            said.close()
        return reasons


def made_by_first(make: Callable[[], Made], fabric: Fabric) -> Made:
    """What the first process makes, in every process; the others wait for it, for hours if need be.

    Args:
        make: Called in the first process alone. Its result must be picklable.
        fabric: The processes.

    Raises:
        CtpruneError: The first process could not make it. All processes raise the same error.
    """
    # In a group of its own: elsewhere, processes shall not wait that long for one that is lost.
    group: Any = torch.distributed.new_group(backend="gloo", timeout=_LONG)
    message: list[Any] = [None]
    failed: CtpruneError | None = None
    if fabric.is_global_zero:
        try:
            message = [(None, make())]
        except CtpruneError as error:
            failed, message = error, [((type(error).__name__, str(error)), None)]
    torch.distributed.broadcast_object_list(message, src=0, group=group)
    torch.distributed.destroy_process_group(group)
    if failed is not None:
        raise failed
    error_of_first, result = message[0]
    if error_of_first is not None:
        kind, sentence = error_of_first
        raise getattr(errors, kind, TrainingError)(sentence)
    return result  # type: ignore[no-any-return]


def _has_lost_others(error: BaseException) -> bool:
    # Gloo has no exception of its own.
    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
