"""Training over several devices: a process for each, started by the first one and ended with it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ctprune.errors import CtpruneError, Interrupted, TrainingError
from ctprune.extras import extra

with extra("train", "pre-training"):
    import torch

#: Where torch and Lightning read which process this is. Set from outside (torchrun, Slurm), it is left alone.
_RANK = "LOCAL_RANK"

#: Seconds that the others have to end after the first one, which they soon miss.
_PATIENCE = 30


class Peers:
    """A context in which this process is the first of several that train together.

    The others are started with a program of their own, not by running the user's script once more, so that this
    works from scripts, notebooks and experiments alike.

    Args:
        count: Number of processes; with 1 the context does nothing.
        order: What the others need to know, as `main` reads it.
    """

    def __init__(self, count: int, order: dict[str, Any]) -> None:
        self._count = count
        self._order = json.dumps(order)
        self._processes: list[tuple[subprocess.Popen[str], IO[str]]] = []
        self._before: dict[str, str | None] = {}
        self._threads_before = torch.get_num_threads()

    def __enter__(self) -> Peers:
        if self._count > 1 and not started_from_outside():
            shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "NODE_RANK": "0"}
            for rank in range(1, self._count):
                self._start(os.environ | self._threads() | shared | {_RANK: str(rank)})
            own = shared | {_RANK: "0"}
            # Lightning also sets how many threads this process has.
            self._before = {name: os.environ.get(name) for name in (*own, "OMP_NUM_THREADS")}
            self._threads_before = torch.get_num_threads()
            os.environ.update(own)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if not self._processes:
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

    def _start(self, environment: dict[str, str]) -> None:
        said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `_wait`
        process = subprocess.Popen(
            [sys.executable, "-m", "ctprune.pretraining.peers"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            text=True,
            # Ctrl-C goes to the first process alone, which tells the others when all have finished a step.
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(self._order)
        process.stdin.close()
        self._processes.append((process, said))

    def _threads(self) -> dict[str, str]:
        """On a CPU the processes share its cores."""
        if torch.cuda.is_available() or "OMP_NUM_THREADS" in os.environ:
            return {}
        return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self._count))}

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


def started_from_outside() -> bool:
    """Whether processes are there already, each of which runs this."""
    return _RANK in os.environ


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

    config = PretrainConfig.from_dict(order["config"])
    try:
        Pretraining(Path(order["run"]), Path(order["out"]), config, resume=order["resume"]).carry_out()
    except Interrupted:
        sys.exit(130)
    except CtpruneError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
