"""A Ray cluster to run tasks on, and how they are ended."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ctprune.environment.extras import extra
from ctprune.errors import EngineError

#: How often a task is begun whose process or machine was lost.
TRIES = 4

#: Bytes of the store for what tasks return, of a cluster on this machine: about the least that Ray takes.
_OBJECT_STORE = 100 << 20

#: Seconds in which a cluster must answer.
_PATIENCE = 10.0

#: Seconds in which tasks that are asked to stop save what they have done.
_GRACE = 20.0


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Be connected to a cluster: the caller's, the one at the address, or a new one on this machine.

    Raises:
        EngineError: It cannot be reached.
        MissingExtraError: The extra `ray` is not installed.
    """
    with extra("ray", "the engine ray"):
        import ray
    if ray.is_initialized():
        yield
        return
    if address is not None and ":" in address:
        _reach(address)
    # Ray would send statistics of use to its makers.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray would run tasks at the lowest priority but four: beside any other work, several times slower.
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            # Nothing is put there; Ray would take a third of the memory.
            object_store_memory=None if address else _OBJECT_STORE,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        first = str(error).strip().splitlines()[0]
        where = f"address {address}" if address else "engine ray"
        raise EngineError(f"{where}: no Ray cluster can be reached: {first}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """See that somebody listens there: Ray itself would try for minutes, and end the process then."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError, OverflowError) as error:
        raise EngineError(f"address {address}: no Ray cluster can be reached: {error}") from None


def stop_tasks(answers: Iterable[Any]) -> None:
    """Ask tasks to end as after Ctrl-C, and give them time to save what they have done."""
    import ray

    running = list(answers)
    for answer in running:
        with contextlib.suppress(ray.exceptions.RayError, ValueError):
            ray.cancel(answer, force=False)
    if running:
        with contextlib.suppress(ray.exceptions.RayError, KeyboardInterrupt):
            ray.wait(running, num_returns=len(running), timeout=_GRACE)


def last_line(error: BaseException) -> str:
    """What an error of Ray comes to: its text has the whole way of it."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
