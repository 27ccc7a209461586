"""How a training was started: by one process that starts the others, by torchrun, or by Slurm's srun.

A program that starts several processes describes them in their environment variables. These must match `devices`
and `nodes`: a process that took itself for the only one would write to the same folder as the others.

Sources: https://docs.pytorch.org/docs/stable/elastic/run.html, "Environment Variables"; the manual page of srun,
"Output environment variables".
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ctprune.errors import ConfigError

#: Programs that start the processes.
OURSELVES, TORCHRUN, SRUN = "ctprune", "torchrun", "srun"

#: The variables that torchrun sets.
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")

#: The variables by which processes on several machines find each other without such a program.
_BY_HAND = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")

#: Variables that identify this process; the processes that it starts must not inherit them.
_FOREIGN = re.compile(r"SLURM_|TORCHELASTIC_|PMI|OMPI_|((LOCAL_|GROUP_|ROLE_|NODE_)?(RANK|WORLD_SIZE)|ROLE_NAME)$")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """The rank of this process among those that train together.

    Attributes:
        nodes: Number of machines.
        devices: Number of processes per machine, one per device.
        starter: Program that started the processes: `ctprune` itself on each machine, `torchrun` or `srun`.
        node: This machine's index, from 0.
        local: This process's index on its machine, from 0.
        address: Host name of the first machine; empty if torch finds it.
        port: Port of the first machine at which the processes meet; 0 for any free one.
    """

    nodes: int = 1
    devices: int = 1
    starter: str = OURSELVES
    node: int = 0
    local: int = 0
    address: str = ""
    port: int = 0

    @property
    def processes(self) -> int:
        """Number of processes on all machines."""
        return self.nodes * self.devices

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes the results."""
        return self.node == 0 and self.local == 0

    @property
    def starts_all(self) -> bool:
        """Whether this process starts all others, and can finish its own work before they exist."""
        return self.starter == OURSELVES and self.nodes == 1 and self.local == 0


def find_launch(devices: int, nodes: int, environment: Mapping[str, str] = os.environ) -> Launch:
    """The rank of this process among those that train together, from its environment.

    Args:
        devices: Number of processes wanted on each machine.
        nodes: Number of machines wanted.
        environment: Environment variables of this process.

    Raises:
        ConfigError: The processes that were started do not match `devices` and `nodes`.

    >>> find_launch(2, 1, {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}).is_first
    False
    >>> find_launch(4, 1, {}).starts_all
    True
    """
    starter, count = started_together(environment)
    if starter == TORCHRUN and (count > 1 or nodes > 1):
        return _by_torchrun(devices, nodes, environment)
    if starter == SRUN and (count > 1 or nodes > 1):
        return _by_srun(devices, nodes, environment)
    if starter not in (OURSELVES, TORCHRUN, SRUN) and count > 1:
        raise ConfigError(f"{starter} has started {count} processes: start them with torchrun or srun")
    if nodes > 1:
        return _by_hand(devices, nodes, environment)
    if "LOCAL_RANK" in environment and starter != TORCHRUN:
        raise ConfigError(
            "the environment has LOCAL_RANK, but not RANK and WORLD_SIZE: start with torchrun, or without it"
        )
    return Launch(devices=devices)


def started_together(environment: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """The program that started this process, and how many processes it started together.

    >>> started_together({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"})
    ('ctprune', 1)
    >>> started_together({"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"})
    ('srun', 4)
    """
    if all(name in environment for name in _TORCHRUN):
        return TORCHRUN, _number(environment, "WORLD_SIZE")
    # A batch script has its job's variables but no step's: it is one process, however many tasks the job has.
    if "SLURM_STEP_ID" in environment or "SLURM_STEP_NUM_TASKS" in environment:
        name = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environment else "SLURM_NTASKS"
        return SRUN, _number(environment, name, 1)
    if "OMPI_COMM_WORLD_SIZE" in environment:
        return "mpirun", _number(environment, "OMPI_COMM_WORLD_SIZE")
    return OURSELVES, 1


def is_first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the first of those that were started together: the one that prints."""
    starter, count = started_together(environment)
    if count == 1 or starter not in (TORCHRUN, SRUN):
        return True
    return _number(environment, "RANK" if starter == TORCHRUN else "SLURM_PROCID", 0) == 0


def refuse_several(what: str, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to run as one of several processes.

    Raises:
        ConfigError: This process was started together with others.
    """
    starter, count = started_together(environment)
    if count > 1:
        raise ConfigError(
            f"{starter} has started {count} processes, but {what} is one, which starts those of each training "
            "itself: start it once"
        )


def without_foreign(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables without those that identify a process of torchrun, Slurm or MPI.

    >>> without_foreign({"SLURM_PROCID": "3", "RANK": "3", "PATH": "/bin"})
    {'PATH': '/bin'}
    """
    return {name: value for name, value in environment.items() if not _FOREIGN.match(name)}


def _by_torchrun(devices: int, nodes: int, environment: Mapping[str, str]) -> Launch:
    count = _number(environment, "WORLD_SIZE")
    here = _number(environment, "LOCAL_WORLD_SIZE", devices)
    if count % here or (devices, nodes) != (here, count // here):
        where = "here" if count == here else f"in all and {here} here"
        raise ConfigError(
            f"`devices` {devices}, `nodes` {nodes}: torchrun has started {count} processes {where}: give "
            f"`devices` {here}, `nodes` {max(1, count // here)}, or start others (torchrun --nnodes {nodes} "
            f"--nproc-per-node {devices})"
        )
    rank = _number(environment, "RANK")
    return Launch(
        nodes=nodes,
        devices=devices,
        starter=TORCHRUN,
        node=_number(environment, "GROUP_RANK", rank // devices),
        local=_number(environment, "LOCAL_RANK"),
    )


def _by_srun(devices: int, nodes: int, environment: Mapping[str, str]) -> Launch:
    _, tasks = started_together(environment)
    machines = _number(environment, "SLURM_STEP_NUM_NODES", _number(environment, "SLURM_NNODES", 1))
    per_machine = environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    each = tasks // machines
    even = per_machine in ("", f"{each}" if machines == 1 else f"{each}(x{machines})")
    if machines != nodes or each not in (1, devices) or each * machines != tasks or not even:
        raise ConfigError(
            f"`devices` {devices}, `nodes` {nodes}: srun has started {tasks} {'tasks' if tasks > 1 else 'task'} "
            f"on {machines} {_machines(machines)}{'' if even else f', {per_machine} on each'}: start one for each "
            f"device (srun --nodes {nodes} --ntasks-per-node {devices}) or one for each machine "
            f"(srun --nodes {nodes} --ntasks-per-node 1)"
        )
    nodelist = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_NODELIST", "127.0.0.1"))
    return Launch(
        nodes=nodes,
        devices=devices,
        # With one task per machine, that task starts the others there.
        starter=SRUN if each == devices else OURSELVES,
        node=_number(environment, "SLURM_NODEID", 0),
        local=_number(environment, "SLURM_LOCALID", 0),
        address=environment.get("MASTER_ADDR") or first_host(nodelist),
        port=_number(environment, "MASTER_PORT", _port_of_step(environment)),
    )


def _by_hand(devices: int, nodes: int, environment: Mapping[str, str]) -> Launch:
    missing = [name for name in _BY_HAND if not environment.get(name)]
    if missing:
        raise ConfigError(
            f"nodes {nodes}: the processes of the other machines were not started ({missing[0]} is not set): "
            f"start with srun --nodes {nodes} --ntasks-per-node {devices}, with torchrun --nnodes {nodes} "
            f"--nproc-per-node {devices}, or on each machine with {', '.join(_BY_HAND)}",
            field="nodes",
        )
    node = _number(environment, "NODE_RANK")
    if node >= nodes:
        raise ConfigError(f"NODE_RANK {node}: expected 0 to {nodes - 1} with `nodes` {nodes}")
    return Launch(
        nodes=nodes,
        devices=devices,
        node=node,
        address=environment["MASTER_ADDR"],
        port=_number(environment, "MASTER_PORT"),
    )


def first_host(nodelist: str) -> str:
    """The first host of a Slurm node list.

    >>> first_host("gpu[07-09,12],cpu3"), first_host("gpu7"), first_host("rack[1-2]-n[01,03]")
    ('gpu07', 'gpu7', 'rack1-n01')
    """
    first = re.split(r",(?![^\[]*\])", nodelist.strip())[0]
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", first)


def _port_of_step(environment: Mapping[str, str]) -> int:
    """A port that all machines derive alike, another one for each step of a job, above the ports of services."""
    job = _number(environment, "SLURM_JOB_ID", 0)
    return 15_000 + (job * 101 + _number(environment, "SLURM_STEP_ID", 0)) % 10_000


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    value = environment.get(name)
    if value is None and default is not None:
        return default
    if value is None or not value.isdecimal():
        raise ConfigError(f"the environment has {name}={value or ''}: expected a whole number")
    return int(value)


def _machines(count: int) -> str:
    return "machine" if count == 1 else "machines"
