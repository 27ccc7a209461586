"""Steps one by one, at the same time, as job arrays, and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ctprune.errors import ConfigError, SourceError
from ctprune.experiment.file import load_experiment
from ctprune.experiment.run import Run
from ctprune.files.run_lock import sole_writer
from tests.experiments import Stages
from tests.printed import result_of

ROOT = Path(__file__).parents[1]


def test_several_processes_of_one_experiment_are_refused(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}.items():
        monkeypatch.setenv(name, value)
    run = Run(load_experiment(write()), tmp_path / "out")
    with pytest.raises(ConfigError, match="srun has started 2 processes, but an experiment is one"):
        run.carry_out()
    with pytest.raises(ConfigError, match="but a step of an experiment is one, which starts"):
        run.carry_out_step(1)
    assert not (tmp_path / "out").exists()


def test_steps_are_listed_and_carried_out_one_by_one(
    write: Callable[..., Path], stages: Stages, tmp_path: Path
) -> None:
    def run() -> Run:
        return Run(load_experiment(write()), tmp_path / "out")

    assert run().grid.arrays() == ((1, 1), (2, 3), (4, 4), (5, 8))
    message = (
        "step 4: pretrain phantom-hash6-all-same-steps-seed0 needs step 1, reduce phantom-hash6, which is not"
    )
    with pytest.raises(SourceError, match=message):
        run().carry_out_step(4)
    assert run().carry_out_step(1).state == "done"
    assert run().carry_out_step(1).state == "done before"
    with pytest.raises(SourceError, match="needs step 3, pretrain phantom-hash6-hash-seed0, which is not done"):
        run().carry_out_step(4)
    assert stages.calls == []
    # A whole run in the same folder does not stand in the way of one step.
    with sole_writer(tmp_path / "out"):
        assert run().carry_out_step(3).state == "done"
    assert [name for _, name, _ in stages.calls] == ["phantom-hash6-hash-seed0"]
    assert [status.state for status in run().find()].count("waiting") == 6
    for number in (0, 9):
        with pytest.raises(ConfigError, match=f"step {number}: expected 1 to 8"):
            run().carry_out_step(number)


def test_dry_run_and_wrong_usage(
    write: Callable[..., Path], tmp_path: Path, experiment_command: Callable[..., tuple[int, str, str]]
) -> None:
    file = write()
    code, shown, _ = experiment_command(file, "--out", "out", "--dry-run")
    assert (code, "8 steps, 8 to run" in shown) == (0, True)
    assert not (tmp_path / "out").exists()
    assert experiment_command(file, "--set", "data")[::2] == (
        2,
        "Error: --set data: expected NAME=VALUE, such as --set data=./archive\n",
    )
    assert experiment_command(file, "--list", "--step", 1)[::2] == (
        2,
        "Error: --dry-run, --list and --step are mutually exclusive: give only one\n",
    )


def test_list_and_step_on_the_command_line(
    write: Callable[..., Path], experiment_command: Callable[..., tuple[int, str, str]]
) -> None:
    file = write()
    listed = result_of("experiment", experiment_command(file, "--out", "out", "--list", "--json")[1])
    assert listed["arrays"] == ["1-1", "2-3", "4-4", "5-8"]
    assert [step["number"] for step in listed["steps"]] == list(range(1, 9))
    assert [step["needs"] for step in listed["steps"]] == [[], [1], [1], [1, 3], [], [2], [3], [4]]
    assert experiment_command(file, "--out", "out", "--step", 2) == (
        1,
        "",
        "Error: --step 2: pretrain phantom-hash6-all-seed0 needs step 1, reduce phantom-hash6, which is not done: "
        "run that first\n",
    )
    done = result_of("experiment", experiment_command(file, "--out", "out", "--step", 1, "--json")[1])
    assert [(step["number"], step["state"]) for step in done["steps"]] == [(1, "done")]
    table = experiment_command(file, "--out", "out", "--list")[1]
    assert "done before" in table
    assert table.endswith("job arrays, in this order: 1-1 2-3 4-4 5-8\n")


def test_independent_steps_at_the_same_time(write: Callable[..., Path], stages: Stages, tmp_path: Path) -> None:
    file = write()
    Run(load_experiment(file), tmp_path / "out").carry_out_step(1)
    both = threading.Barrier(2, timeout=60)
    note = stages._note

    def meet(kind: str, out: Path, options: dict[str, Any]) -> None:
        # Neither can end before both are under way.
        both.wait()
        note(kind, out, options)

    stages._note = meet  # type: ignore[method-assign]
    runs = [Run(load_experiment(file), tmp_path / "out") for _ in range(3)]
    with ThreadPoolExecutor(2) as jobs:
        found = [jobs.submit(run.carry_out_step, number) for run, number in zip(runs, (2, 3), strict=False)]
        assert [one.result().state for one in found] == ["done", "done"]
    assert [status.state for status in runs[2].find()][:3] == ["done before"] * 3


@pytest.mark.skipif(os.name == "nt", reason="job scripts are bash's")
def test_job_arrays_of_the_docs_come_one_after_the_other(write: Callable[..., Path], tmp_path: Path) -> None:
    page = (ROOT / "docs/experiment.md").read_text()
    script = page[page.index("experiment=(") :].partition("```")[0]
    script = script.replace("experiments/small.yaml", str(write())).replace("demo/experiment", "out")
    commands = tmp_path / "bin"
    commands.mkdir()
    sbatch = commands / "sbatch"
    sbatch.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {tmp_path}/jobs\ngrep -c "" {tmp_path}/jobs\n')
    sbatch.chmod(0o755)
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    options = f"step.sbatch {tmp_path}/tried.yaml --out out"
    assert (tmp_path / "jobs").read_text().splitlines() == [
        f"--parsable --array=1-1 {options}",
        f"--parsable --array=2-3 --dependency=afterok:1 {options}",
        f"--parsable --array=4-4 --dependency=afterok:2 {options}",
        f"--parsable --array=5-8 --dependency=afterok:3 {options}",
        f"--ntasks=1 --dependency=afterok:4 --wrap ctprune experiment {tmp_path}/tried.yaml --out out",
    ]


def test_two_at_once_are_one_sentence(
    write: Callable[..., Path], tmp_path: Path, experiment_command: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "out").mkdir()
    with sole_writer(tmp_path / "out"):
        assert experiment_command(write(), "--out", "out") == (
            1,
            "",
            "Error: out is in use by another ctprune: wait until it is done or choose another folder\n",
        )
    assert list((tmp_path / "out").iterdir()) == []
