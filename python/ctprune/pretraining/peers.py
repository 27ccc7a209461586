"""Training over several devices: a process for each. A machine's first one starts and ends the others there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

from ctprune import errors
from ctprune.environment.extras import extra
from ctprune.errors import CtpruneError, Interrupted, TrainingError
from ctprune.pretraining.launch import OURSELVES, TORCHRUN, Launch, without_foreign

with extra("train", "pre-training"):
    import torch
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

#: Seconds that the others have to end after the first one, which they soon miss.
_PATIENCE = 30

#: How long the others wait for the first process to pack the slices of a large archive.
_LONG = timedelta(days=7)

Said = TypeVar("Said")


class Peers:
    """A context in which this process trains together with others, some of which it starts.

    Where this process is the first of its machine, and nobody else has started the others there, it does so: with
    a program of their own, not by running the user's script once more, so that this works from scripts, notebooks
    and experiments alike. Who is who stands in the variables that Fabric's environments read, while the context
    lasts.

    Args:
        launch: Where this process stands.
        order: What the others need to know, as `main` reads it.
    """

    def __init__(self, launch: Launch, order: dict[str, Any]) -> None:
        self._launch = launch
        self._order = order
        self._processes: list[tuple[subprocess.Popen[str], IO[str]]] = []
        self._before: dict[str, str | None] = {}
        self._threads_before = torch.get_num_threads()

    def __enter__(self) -> Peers:
        launch = self._launch
        if launch.processes == 1 or launch.starter == TORCHRUN:
            return self
        if launch.starts_all:
            launch = replace(launch, address="127.0.0.1", port=_free_port())
        if launch.starter == OURSELVES and launch.local == 0:
            for local in range(1, launch.devices):
                self._start(replace(launch, local=local))
        own = {
            "MASTER_ADDR": launch.address,
            "MASTER_PORT": str(launch.port),
            "NODE_RANK": str(launch.node),
            "LOCAL_RANK": str(launch.local),
        }
        # Torch would look for the store of torchrun's agent.
        agents = [name for name in os.environ if name.startswith("TORCHELASTIC_")]
        # Lightning also sets how many threads this process has.
        self._before = {name: os.environ.get(name) for name in (*own, *agents, "OMP_NUM_THREADS")}
        self._threads_before = torch.get_num_threads()
        for name in agents:
            del os.environ[name]
        os.environ.update(own)
        return self

    def environment(self) -> ClusterEnvironment:
        """What Fabric asks who this process is; it shall not look around for itself."""
        return TorchElasticEnvironment() if self._launch.starter == TORCHRUN else LightningEnvironment()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._launch.processes == 1:
            return
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        torch.set_num_threads(self._threads_before)
        reasons = self._wait(0 if isinstance(error, KeyboardInterrupt) else _PATIENCE)
        # An error of ctprune's says what is wrong. Any other one, while a peer has failed, comes from losing it.
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
            [sys.executable, "-m", "ctprune.pretraining.peers"],
            env=without_foreign(os.environ) | self._threads(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            text=True,
            # Ctrl-C goes to the first process alone, which tells the others when all have finished a step.
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(self._order | {"launch": asdict(launch)}))
        process.stdin.close()
        self._processes.append((process, said))

    def _threads(self) -> dict[str, str]:
        """On a CPU the processes share its cores."""
        if torch.cuda.is_available() or "OMP_NUM_THREADS" in os.environ:
            return {}
        return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self._launch.devices))}

    def _wait(self, patience: float) -> list[str]:
        """End them, and say of each that failed why."""
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


def say_to_all(make: Callable[[], Said], fabric: Fabric) -> Said:
    """What the first process makes, which may take hours; the others wait for it.

    Raises:
        CtpruneError: The first process could not make it; the others say why, too.
    """
    # By a group of its own: other operations shall not wait for so long where a process is lost.
    group: Any = torch.distributed.new_group(backend="gloo", timeout=_LONG)
    said: list[Any] = [None]
    failed: CtpruneError | None = None
    if fabric.is_global_zero:
        try:
            said = [(None, make())]
        except CtpruneError as error:
            failed, said = error, [((type(error).__name__, str(error)), None)]
    torch.distributed.broadcast_object_list(said, src=0, group=group)
    torch.distributed.destroy_process_group(group)
    if failed is not None:
        raise failed
    error_of_first, result = said[0]
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


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    """What the other processes do: the pre-training that standard input describes."""
    order = json.load(sys.stdin)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    from ctprune.pretraining.config import PretrainConfig
    from ctprune.pretraining.run import Pretraining

    config, launch = PretrainConfig.from_dict(order["config"]), Launch(**order["launch"])
    try:
        Pretraining(
            Path(order["run"]), Path(order["out"]), config, resume=order["resume"], launch=launch
        ).carry_out()
    except Interrupted:
        sys.exit(130)
    except CtpruneError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
