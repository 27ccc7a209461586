"""Every way to start a training: by itself, by torchrun and by Slurm, on one machine and on several."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

import ctprune
from ctprune.errors import ConfigError
from ctprune.pretraining.launch import (
    SRUN,
    TORCHRUN,
    Launch,
    find_launch,
    first_host,
    is_first_process,
    refuse_several,
)
from ctprune.pretraining.result import load_pretrain_summary
from tests.pretraining.tiny import tiny

#: What a batch script of Slurm finds in its environment, for one task.
BATCH_JOB = {
    "SLURM_JOB_ID": "4711",
    "SLURM_NTASKS": "1",
    "SLURM_NNODES": "1",
    "SLURM_TASKS_PER_NODE": "1",
    "SLURM_JOB_NODELIST": "gpu07",
    "SLURM_NODELIST": "gpu07",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}


def torchrun(rank: int, devices: int, nodes: int = 1) -> dict[str, str]:
    """What torchrun says to one of its processes."""
    return {
        "RANK": f"{rank}",
        "WORLD_SIZE": f"{devices * nodes}",
        "LOCAL_RANK": f"{rank % devices}",
        "LOCAL_WORLD_SIZE": f"{devices}",
        "GROUP_RANK": f"{rank // devices}",
        "GROUP_WORLD_SIZE": f"{nodes}",
        "MASTER_ADDR": "gpu07",
        "MASTER_PORT": "29500",
        "TORCHELASTIC_RUN_ID": "none",
    }


def srun(rank: int, each: int, nodes: int = 1) -> dict[str, str]:
    """What srun says to one of its tasks, in a job of as many."""
    return BATCH_JOB | {
        "SLURM_NTASKS": f"{each * nodes}",
        "SLURM_NNODES": f"{nodes}",
        "SLURM_STEP_ID": "2",
        "SLURM_STEP_NUM_TASKS": f"{each * nodes}",
        "SLURM_STEP_NUM_NODES": f"{nodes}",
        "SLURM_STEP_TASKS_PER_NODE": f"{each}" if nodes == 1 else f"{each}(x{nodes})",
        "SLURM_STEP_NODELIST": "gpu[07-08]" if nodes > 1 else "gpu07",
        "SLURM_PROCID": f"{rank}",
        "SLURM_LOCALID": f"{rank % each}",
        "SLURM_NODEID": f"{rank // each}",
    }


BY_HAND = {"MASTER_ADDR": "gpu07", "MASTER_PORT": "29500", "NODE_RANK": "1"}
#: Of job 4711, step 2.
PORT = 15_000 + (4711 * 101 + 2) % 10_000


@pytest.mark.parametrize(
    ("devices", "nodes", "environment", "expected"),
    [
        (1, 1, {}, Launch()),
        (2, 1, {}, Launch(devices=2)),
        # sbatch --ntasks=1, and --ntasks=2 without srun: the script is one process.
        (2, 1, BATCH_JOB, Launch(devices=2)),
        (2, 1, BATCH_JOB | {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}, Launch(devices=2)),
        # One task for all devices of one machine.
        (1, 1, srun(0, 1), Launch()),
        (2, 1, srun(0, 1), Launch(devices=2)),
        (2, 1, torchrun(0, 1), Launch(devices=2)),
        (2, 1, torchrun(1, 2), Launch(devices=2, starter=TORCHRUN, local=1)),
        (2, 2, torchrun(3, 2, 2), Launch(devices=2, nodes=2, starter=TORCHRUN, node=1, local=1)),
        (1, 2, torchrun(1, 1, 2), Launch(devices=1, nodes=2, starter=TORCHRUN, node=1)),
        # srun --ntasks-per-node=2
        (2, 1, srun(1, 2), Launch(devices=2, starter=SRUN, local=1, address="gpu07", port=PORT)),
        (
            2,
            2,
            srun(3, 2, 2),
            Launch(devices=2, nodes=2, starter=SRUN, node=1, local=1, address="gpu07", port=PORT),
        ),
        (1, 2, srun(1, 1, 2), Launch(nodes=2, starter=SRUN, node=1, address="gpu07", port=PORT)),
        # srun --nodes=2 --ntasks-per-node=1: one for each machine starts the others there.
        (4, 2, srun(1, 1, 2), Launch(devices=4, nodes=2, node=1, address="gpu07", port=PORT)),
        (
            1,
            2,
            srun(1, 1, 2) | {"MASTER_ADDR": "ib7", "MASTER_PORT": "1234"},
            Launch(nodes=2, starter=SRUN, node=1, address="ib7", port=1234),
        ),
        (4, 2, BY_HAND, Launch(devices=4, nodes=2, node=1, address="gpu07", port=29500)),
    ],
)
def test_every_start_is_understood(
    devices: int, nodes: int, environment: dict[str, str], expected: Launch
) -> None:
    assert find_launch(devices, nodes, environment) == expected


@pytest.mark.parametrize(
    ("devices", "nodes", "environment", "sentence"),
    [
        (1, 1, torchrun(0, 2), "`devices` 1, `nodes` 1: torchrun has started 2 processes here: give `devices` 2"),
        (
            2,
            1,
            torchrun(0, 2, 2),
            "torchrun has started 4 processes in all and 2 here: give `devices` 2, `nodes` 2",
        ),
        (4, 1, torchrun(0, 2, 2), "torchrun has started 4 processes in all and 2 here"),
        (2, 1, torchrun(0, 2) | {"WORLD_SIZE": "3"}, "torchrun has started 3 processes in all and 2 here"),
        (1, 2, torchrun(0, 1), r"torchrun has started 1 processes here.*torchrun --nnodes 2 --nproc-per-node 1"),
        (1, 1, srun(0, 2), "srun has started 2 tasks on 1 machine: start one for each device"),
        (3, 1, srun(0, 2), r"srun --nodes 1 --ntasks-per-node 3\) or one for each machine"),
        (2, 1, srun(0, 1, 2), "`devices` 2, `nodes` 1: srun has started 2 tasks on 2 machines"),
        (1, 2, srun(0, 1), "`devices` 1, `nodes` 2: srun has started 1 task on 1 machine"),
        (
            2,
            2,
            srun(0, 2, 2) | {"SLURM_STEP_TASKS_PER_NODE": "3,1"},
            "srun has started 4 tasks on 2 machines, 3,1 on each: start one for each device",
        ),
        (2, 2, {}, r"^nodes 2: .* were not started \(MASTER_ADDR is not set\): start with srun --nodes 2"),
        (2, 2, BATCH_JOB | {"SLURM_NNODES": "2"}, "start with srun --nodes 2 --ntasks-per-node 2, with torchrun"),
        (2, 2, BY_HAND | {"NODE_RANK": "2"}, "NODE_RANK 2: expected 0 to 1 with `nodes` 2"),
        (2, 2, BY_HAND | {"MASTER_PORT": "any"}, "the environment has MASTER_PORT=any: expected a whole number"),
        (1, 1, {"LOCAL_RANK": "1"}, "has LOCAL_RANK, but not RANK and WORLD_SIZE: start with torchrun"),
        (1, 1, {"OMPI_COMM_WORLD_SIZE": "2"}, "mpirun has started 2 processes: start them with torchrun or srun"),
    ],
)
def test_other_starts_are_refused_with_what_to_give(
    devices: int, nodes: int, environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        find_launch(devices, nodes, environment)


@pytest.mark.parametrize("start", [torchrun, srun])
def test_one_of_each_start_is_first(start: Any) -> None:
    for nodes in (1, 2):
        environments = [start(rank, 2, nodes) for rank in range(2 * nodes)]
        launches = [find_launch(2, nodes, environment) for environment in environments]
        assert [launch.is_first for launch in launches] == [rank == 0 for rank in range(2 * nodes)]
        assert [is_first_process(one) for one in environments] == [rank == 0 for rank in range(2 * nodes)]
        assert len({(launch.node, launch.local) for launch in launches}) == 2 * nodes
        assert {launch.starts_all for launch in launches} == {False}


@pytest.mark.parametrize(
    ("nodelist", "first"),
    [("a", "a"), ("a1,b2", "a1"), ("a[03-05]", "a03"), ("a[3,7-9],b", "a3"), ("r[1-2]n[01,04],c", "r1n01")],
)
def test_the_first_host_of_slurms_lists(nodelist: str, first: str) -> None:
    assert first_host(nodelist) == first


def test_a_mismatch_stops_before_anything_is_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in torchrun(1, 2).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="torchrun has started 2 processes here: give `devices` 2"):
        ctprune.pretrain(run, tiny(), out=tmp_path / "pre")
    assert not (tmp_path / "pre").exists()


def test_an_experiment_is_one_process() -> None:
    refuse_several("ctprune run", BATCH_JOB | {"SLURM_NTASKS": "8"})
    refuse_several("ctprune run", srun(0, 1))
    sentence = "srun has started 2 processes, but ctprune run is one, .* of each training itself: start it once"
    with pytest.raises(ConfigError, match=sentence):
        refuse_several("ctprune run", srun(1, 2))


class Started:
    """Processes of `ctprune pretrain` that train together, all ended with the block."""

    def __init__(self, run: Path, out: Path, **options: Any) -> None:
        file = out.parent / f"{out.name}.yaml"
        file.write_text(yaml.safe_dump(tiny("simclr", batch_size=4, steps=2, **options).to_dict()))
        self._pretrain = ["ctprune", "pretrain", str(run), "--config", str(file), "--out", str(out)]
        self._out = out
        self._processes: list[subprocess.Popen[str]] = []
        self._open = ExitStack()

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        self._open.close()

    def start(self, *launcher: str, **environment: str) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", *launcher, *(["-m"] if launcher else []), *self._pretrain],
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(self._open.enter_context(process))

    def finish(self) -> dict[str, Any]:
        """Wait for all; the summary of what they trained, once seen that one of them has written and spoken."""
        said = [process.communicate(timeout=120) for process in self._processes]
        assert [process.returncode for process in self._processes] == [0] * len(said), said
        assert sum(output.count("backbone: ") for output, _ in said) == 1
        lines = (self._out / "logs/metrics.csv").read_text().splitlines()
        # A line for each step and each epoch, once.
        assert len(lines) == len(set(lines))
        assert [line.split(",")[0] for line in lines if line.split(",")[2]] == ["step", "1", "2"]
        assert len(list((self._out / "logs/tensorboard").iterdir())) == 1
        return load_pretrain_summary(self._out)


@pytest.fixture
def port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


@pytest.fixture(scope="module")
def one_machine(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes of torchrun on one machine come to."""
    with Started(run, tmp_path_factory.mktemp("one") / "pre", devices=2) as started:
        started.start("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
        return started.finish()


@pytest.mark.slow
def test_torchrun_on_one_machine(one_machine: dict[str, Any]) -> None:
    assert (one_machine["devices"], one_machine["steps"]) == (2, 2)


@pytest.mark.slow
def test_torchrun_on_two_machines(run: Path, one_machine: dict[str, Any], tmp_path: Path, port: str) -> None:
    with Started(run, tmp_path / "pre", nodes=2) as started:
        for _ in range(2):
            started.start(
                "torch.distributed.run",
                "--nnodes",
                "2",
                "--nproc-per-node",
                "1",
                "--rdzv-backend",
                "c10d",
                "--rdzv-endpoint",
                f"127.0.0.1:{port}",
                "--local-addr",
                "127.0.0.1",
            )
        found = started.finish()
    assert (found["devices"], found["final_loss"]) == (2, one_machine["final_loss"])


@pytest.mark.slow
def test_srun_with_a_task_for_each_of_two_machines(run: Path, tmp_path: Path, port: str) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    # Without a store: the first process packs while the others wait.
    (copy / "manifest.parquet").write_bytes((run / "manifest.parquet").read_bytes())
    (copy / "summary.json").write_bytes((run / "summary.json").read_bytes())
    with Started(copy, tmp_path / "pre", nodes=2, devices=2) as started:
        for rank in range(2):
            started.start(**srun(rank, 1, 2), MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        found = started.finish()
    assert found["devices"] == 4
    assert [folder.name for folder in copy.glob("store-*")] == ["store-kept-32-8"]


@pytest.mark.slow
def test_what_the_first_process_cannot_do_all_of_them_say(run: Path, tmp_path: Path, port: str) -> None:
    (tmp_path / "pre").mkdir()
    (tmp_path / "pre" / "mine.txt").touch()
    with Started(run, tmp_path / "pre", devices=2) as started:
        for rank in range(2):
            started.start(**srun(rank, 2), MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        said = [process.communicate(timeout=120)[1] for process in started._processes]
    sentence = (
        f"Error: {tmp_path / 'pre'} is not empty, and nothing is overwritten: choose a new or an empty folder\n"
    )
    assert said == [sentence, sentence]
