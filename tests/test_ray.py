"""A Ray cluster reads what one machine reads: the same bytes, whatever tasks and machines are lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune.errors import EngineError
from ctprune.reduction import ray_tasks
from tests.conftest import Cli
from tests.printed import result_of

ROOT = Path(__file__).parents[1]

ray = pytest.importorskip("ray")

pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and processes to the end of the interpreter.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.xdist_group("ray"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.mark.parametrize("options", [{}, {"method": "ssim", "threshold": 0.9}, {"method": "every-n"}], ids=str)
def test_a_cluster_gives_the_same_bytes(
    cluster: None, archive: Path, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not options:
        # As in a long run, tasks say how far they are.
        monkeypatch.setattr(ray_tasks, "_ALONE", 0.0)
        # … and there are more shards than tasks at the same time.
        monkeypatch.setattr(ray_tasks, "_machines", lambda: 3)
    ctprune.reduce(archive, out=tmp_path / "alone", **options)
    seen: list[ctprune.Progress] = []
    ctprune.reduce(
        archive, out=tmp_path / "ray", engine="ray", task_memory_gb=0.25, progress=seen.append, **options
    )
    expected = (tmp_path / "alone" / "manifest.parquet").read_bytes()
    assert (tmp_path / "ray" / "manifest.parquet").read_bytes() == expected
    assert not list((tmp_path / "ray").glob("parts/*"))
    assert any(now.stage == "reading" and now.part.endswith("shards") for now in seen)
    assert options or any(now.total for now in seen if "shards" in now.part)
    assert {now.part.partition("/")[2] for now in seen if "shards" in now.part} == {
        f"{2 if options else 4} shards"
    }
    # What they joined, they had read.
    assert json.loads((tmp_path / "ray" / "summary.json").read_text())["files_read"] == 0


def test_a_killed_task_is_begun_again(
    cluster: None, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_tasks, "_read", _killed_once(tmp_path / "killed"))
    notes: list[str] = []
    ctprune.reduce(archive, out=tmp_path / "run", engine="ray", task_memory_gb=0.25, note=notes.append)
    assert (tmp_path / "killed").exists()
    assert any("was lost and is read again" in note for note in notes)
    ctprune.reduce(archive, out=tmp_path / "alone")
    bytes_of = [(tmp_path / name / "manifest.parquet").read_bytes() for name in ("run", "alone")]
    assert bytes_of[0] == bytes_of[1]


def _killed_once(mark: Path) -> Any:
    read = ray_tasks._read

    def task(*arguments: Any) -> dict[str, Any]:
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return read(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    return task


def test_a_task_that_is_always_lost_ends_it_with_a_sentence(
    cluster: None, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> dict[str, Any]:
        os._exit(9)

    monkeypatch.setattr(ray_tasks, "_read", die)
    with pytest.raises(EngineError, match=r"shard \d+/2 was lost 4 times .*: give tasks more memory"):
        ctprune.reduce(archive, out=tmp_path / "run", engine="ray", task_memory_gb=0.25)


def test_what_a_task_refuses_is_said_as_by_one_machine(cluster: None, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "parts").write_text("in the way")
    with pytest.raises(ctprune.OutputError, match="parts"):
        ctprune.reduce(archive, out=tmp_path / "run", engine="ray", task_memory_gb=0.25)


def test_an_interrupted_call_is_gone_on_with(cluster: None, archive: Path, tmp_path: Path) -> None:
    def stop(now: ctprune.Progress) -> None:
        if now.stage == "reading":
            now.stop()

    with pytest.raises(ctprune.Interrupted, match="rerun to resume"):
        ctprune.reduce(archive, out=tmp_path / "run", engine="ray", task_memory_gb=0.25, progress=stop)
    ctprune.reduce(archive, out=tmp_path / "run", engine="ray", task_memory_gb=0.25)
    ctprune.reduce(archive, out=tmp_path / "alone")
    bytes_of = [(tmp_path / name / "manifest.parquet").read_bytes() for name in ("run", "alone")]
    assert bytes_of[0] == bytes_of[1]


def test_mistakes_are_one_sentence(archive: Path, tmp_path: Path, cli: Cli) -> None:
    with pytest.raises(ctprune.ConfigError, match="engine ray needs `out`"):
        ctprune.reduce(archive, engine="ray")
    with pytest.raises(ctprune.ConfigError, match="address belongs to `engine` ray"):
        ctprune.ReduceConfig(address="auto")
    done = cli("reduce", archive, "--out", "run", "--engine", "ray", "--shard", "1/2")
    assert done.returncode == 2
    assert "--engine ray calls all shards itself: leave out --shard" in done.stderr


def test_a_cluster_that_is_not_there_is_one_sentence(archive: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("reduce", archive, "--out", "run", "--engine", "ray", "--address", "127.0.0.1:1")
    assert done.returncode == 1
    assert "no Ray cluster can be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lost_machine_costs_its_tasks_alone(archive: Path, tmp_path: Path) -> None:
    code = _LOST.format(archive=str(archive), out=str(tmp_path / "run"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    ctprune.reduce(archive, out=tmp_path / "alone")
    bytes_of = [(tmp_path / name / "manifest.parquet").read_bytes() for name in ("run", "alone")]
    assert bytes_of[0] == bytes_of[1]


def test_the_steps_of_an_experiment_are_tasks(write: Callable[..., Path], tmp_path: Path) -> None:
    swav = {"preset": "smoke", "epochs": 1, "batch_size": 8}
    arms = {"hash": swav, "all": {**swav, "use": "all", "epochs": None, "steps_of": "hash"}}
    file = write(pretrainings=arms, baselines=None, seeds={"finetuning": 1})
    command = [sys.executable, "-m", "ctprune", "experiment", str(file)]
    command += ["--out", str(tmp_path / "out"), "--engine", "ray", "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for state in ("done", "done before"):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        found = result_of("experiment", done.stdout)
        assert {step["state"] for step in found["steps"]} == {state}
    assert (tmp_path / "out" / "comparison" / "comparison.html").is_file()


def test_an_unknown_engine_is_refused(cli: Cli) -> None:
    done = cli("experiment", ROOT / "experiments" / "small.yaml", "--engine", "mpi")
    assert done.returncode == 2
    assert "--engine mpi: expected one of local, ray" in done.stderr


#: A cluster of two machines, one of which goes away while its first task runs.
_LOST = """
import os, threading, time
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 1, "include_dashboard": False}})
other = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
import ctprune
from ctprune.reduction import ray_tasks
read = ray_tasks._read

def slow(*arguments):
    # Longer than until the machine goes away.
    time.sleep(4)
    return read(*arguments)

ray_tasks._read = slow

def lose():
    time.sleep(3)
    cluster.remove_node(other, allow_graceful=False)

threading.Thread(target=lose).start()
notes = []
ctprune.reduce({archive!r}, out={out!r}, engine="ray", task_memory_gb=0.25, note=notes.append)
assert len([node for node in ray.nodes() if node["Alive"]]) == 1
print(notes)
"""
