from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import ctprune
from ctprune.errors import ConfigError, Interrupted, SourceError, WeightsError
from ctprune.experiment.file import load_experiment
from ctprune.experiment.grid import build_grid
from ctprune.experiment.run import Run
from tests.conftest import Cli
from tests.results import predictions, write_result

ROOT = Path(__file__).parents[1]
LABELS = np.r_[np.zeros(20, int), np.ones(20, int)]


@pytest.fixture
def write(archive: Path, tmp_path: Path) -> Callable[..., Path]:
    """An experiment's file on the phantom archive, with changes to it."""

    def to_file(**changes: Any) -> Path:
        content: dict[str, Any] = {
            "name": "Tried",
            "sources": {"phantom": str(archive)},
            "reductions": {"hash6": {"method": "hash", "threshold": 6}},
            "pretrainings": {
                "all": {"preset": "smoke", "use": "all"},
                "hash": {"preset": "smoke", "epochs": 3},
                "all-same-steps": {"preset": "smoke", "use": "all", "steps_of": "hash"},
            },
            "baselines": {"none": {"weights": "none", "backbone": "resnet18"}},
            "tasks": {"lesions": {"data": str(archive / "labels.csv"), "mode": "linear", "side": 32}},
            "seeds": {"finetuning": 2},
            "comparison": {"resamples": 200},
        }
        content |= changes
        file = tmp_path / "tried.yaml"
        file.write_text(
            yaml.safe_dump({key: value for key, value in content.items() if value is not None}, sort_keys=False)
        )
        return file

    return to_file


class Stages:
    """In place of training: writes what the stages would, and notes what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.fail_at = 0
        self.error: BaseException | None = None

    def _note(self, kind: str, out: Path, options: dict[str, Any]) -> None:
        self.calls.append((kind, out.name.rpartition("-")[0], options))
        if self.error is not None and len(self.calls) == self.fail_at:
            raise self.error

    def pretrain(self, run: Path, *, out: Path, progress: Any, **options: Any) -> None:
        self._note("pretrain", out, options)
        assert (run / "manifest.parquet").is_file()
        slices = {"all": 100}.get(options.get("use", "kept"), 25)
        steps = options.get("steps") or slices * options.get("epochs", 2) // 5
        out.mkdir(parents=True)
        (out / "backbone.safetensors").write_bytes(b"")
        summary = {"slices": slices, "epochs": options.get("epochs"), "steps": steps, "seconds": 2.0}
        (out / "summary.json").write_text(json.dumps(summary))

    def finetune(self, data: str, *, out: Path, progress: Any, seeds: list[int], **options: Any) -> None:
        self._note("finetune", out, {"data": data, "seeds": seeds, **options})
        weights = options.get("weights")
        of_weights = None
        if weights not in (None, "none"):
            of_weights = json.loads((Path(weights).parent / "summary.json").read_text())
        model = predictions(LABELS, skill=1.5, seeds=len(seeds), seed=len(self.calls))
        write_result(out, LABELS, model, weights=of_weights)
        metrics = json.loads((out / "metrics.json").read_text()) | {"pooled": {"auc": {"mean": 0.9}}}
        (out / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    found = Stages()
    monkeypatch.setattr(ctprune, "pretrain", found.pretrain, raising=False)
    monkeypatch.setattr(ctprune, "finetune", found.finetune, raising=False)
    return found


def test_grid_is_carried_out_and_compared(write: Callable[..., Path], stages: Stages, tmp_path: Path) -> None:
    result = ctprune.run_experiment(write(), out=tmp_path / "out")
    assert [(kind, name) for kind, name, _ in stages.calls] == [
        ("pretrain", "phantom-hash6-all-seed0"),
        ("pretrain", "phantom-hash6-hash-seed0"),
        ("pretrain", "phantom-hash6-all-same-steps-seed0"),
        ("finetune", "lesions-none"),
        ("finetune", "lesions-phantom-hash6-all-seed0"),
        ("finetune", "lesions-phantom-hash6-hash-seed0"),
        ("finetune", "lesions-phantom-hash6-all-same-steps-seed0"),
    ]
    assert all(
        options["resume"] and options["seed"] == 0 for kind, _, options in stages.calls if kind == "pretrain"
    )
    # 25 slices and 3 epochs in steps of 5: as many steps for all slices.
    assert stages.calls[2][2]["steps"] == 15
    assert [one.name for one in result.comparisons["lesions"].results] == ["none", "all", "hash", "all-same-steps"]
    assert [one.slices for one in result.comparisons["lesions"].results] == [0, 100, 25, 100]
    page = result.page.read_text()
    assert "<h1>Tried</h1>" in page
    assert page.count("<td>done</td>") == 8
    assert sorted(file.name for file in result.page.parent.iterdir()) == [
        "comparison.html",
        "comparison.json",
        "table.md",
        "table.tex",
    ]


def test_finished_steps_are_skipped(write: Callable[..., Path], stages: Stages, tmp_path: Path) -> None:
    ctprune.run_experiment(write(), out=tmp_path / "out")
    stages.calls.clear()
    again = ctprune.run_experiment(write(), out=tmp_path / "out")
    assert stages.calls == []
    assert {status.state for status in again.statuses} == {"done before"}
    # A changed pre-training repeats itself, what takes its steps, and what is fine-tuned from them.
    changed = write(
        pretrainings={
            "all": {"preset": "smoke", "use": "all"},
            "hash": {"preset": "smoke", "epochs": 4},
            "all-same-steps": {"preset": "smoke", "use": "all", "steps_of": "hash"},
        }
    )
    ctprune.run_experiment(changed, out=tmp_path / "out")
    assert [name for _, name, _ in stages.calls] == [
        "phantom-hash6-hash-seed0",
        "phantom-hash6-all-same-steps-seed0",
        "lesions-phantom-hash6-hash-seed0",
        "lesions-phantom-hash6-all-same-steps-seed0",
    ]


def test_changed_inputs_repeat_what_reads_them(
    write: Callable[..., Path], stages: Stages, archive: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "dicoms"
    shutil.copytree(archive, copy)
    file = write(sources={"phantom": str(copy)})
    before = build_grid(load_experiment(file)).steps
    os.utime(copy / "labels.csv", (1, 1))
    after = build_grid(load_experiment(file)).steps
    assert all(a.digest != b.digest for a, b in zip(before, after, strict=True) if "none" not in a.name)
    # The baseline reads the task's data alone.
    assert [a.digest == b.digest for a, b in zip(before, after, strict=True)].count(True) == 1


def test_interrupted_experiment_goes_on(write: Callable[..., Path], stages: Stages, tmp_path: Path) -> None:
    stages.fail_at, stages.error = 3, KeyboardInterrupt()
    with pytest.raises(Interrupted, match=r"in pretrain phantom-hash6-all-same-steps-seed0, after 3 of 8 steps"):
        ctprune.run_experiment(write(), out=tmp_path / "out")
    stages.error = None
    stages.calls.clear()
    result = ctprune.run_experiment(write(), out=tmp_path / "out")
    assert [name for _, name, _ in stages.calls][:2] == ["phantom-hash6-all-same-steps-seed0", "lesions-none"]
    assert [status.state for status in result.statuses].count("done before") == 3


def test_failed_step_is_named(write: Callable[..., Path], stages: Stages, tmp_path: Path) -> None:
    stages.fail_at, stages.error = 4, WeightsError("no such weights")
    states = []
    with pytest.raises(WeightsError, match=r"^finetune lesions-none: no such weights$"):
        ctprune.run_experiment(
            write(), out=tmp_path / "out", progress=lambda now: states.append([one.state for one in now])
        )
    assert states[-1] == ["done"] * 4 + ["failed"] + ["waiting"] * 3


def test_seeds_of_pretraining_are_one_model(write: Callable[..., Path], stages: Stages, tmp_path: Path) -> None:
    result = ctprune.run_experiment(write(seeds={"pretraining": [3, 5], "finetuning": 2}), out=tmp_path / "out")
    assert [options["seed"] for kind, _, options in stages.calls if kind == "pretrain"] == [3, 5] * 3
    assert [len(one.seeds) for one in result.comparisons["lesions"].results] == [2, 4, 4, 4]


def test_names_of_models_say_what_differs(write: Callable[..., Path], archive: Path) -> None:
    file = write(
        sources={"a": str(archive), "b": str(archive)},
        reductions={"hash6": {}, "tenth": {"method": "every-n"}},
        pretrainings={"swav": {"preset": "smoke"}, "byol": {"preset": "smoke", "method": "byol", "sources": "a"}},
    )
    grid = build_grid(load_experiment(file))
    assert list(grid.tasks["lesions"]) == [
        "none",
        "a · hash6 · swav",
        "a · tenth · swav",
        "b · hash6 · swav",
        "b · tenth · swav",
        "a · hash6 · byol",
        "a · tenth · byol",
    ]
    assert [step.kind for step in grid.steps].count("reduce") == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": {}}, "task: unknown key: expected name,"),
        ({"sources": None}, "sources: expected at least one, found none"),
        ({"sources": {"phantom": 3}}, "sources.phantom: expected a folder or a list of folders, found 3"),
        ({"reductions": ["hash"]}, "reductions: expected names with options, found a list"),
        ({"reductions": {"a/b": {}}}, "reductions: 'a/b' is no name"),
        ({"reductions": {"h": {"treshold": 6}}}, "reductions.h.treshold: unknown key: expected some of method,"),
        ({"reductions": {"h": {"method": "hsh"}}}, "reductions.h: --method hsh: expected one of hash"),
        ({"reductions": {"h": {"threshold": "six"}}}, "reductions.h: a value is of another type.*'six'"),
        ({"pretrainings": {"p": {"epoch": 3}}}, "pretrainings.p.epoch: unknown key: expected some of sources,"),
        ({"pretrainings": {"p": {"seed": 3}}}, "pretrainings.p.seed: not here: seeds.pretraining is for all"),
        ({"pretrainings": {"p": {"epochs": 0}}}, "pretrainings.p: --epochs 0: expected a whole number"),
        ({"pretrainings": {"p": {"reductions": "none"}}}, "pretrainings.p.reductions: expected some of hash6"),
        ({"pretrainings": {"p": {"steps_of": "q"}}}, "pretrainings.p.steps_of: expected one of .*found q"),
        (
            {"pretrainings": {"p": {"steps_of": "q", "steps": 3}, "q": {}}},
            "pretrainings.p: steps_of and steps exclude each other",
        ),
        ({"tasks": {"t": {}}}, "tasks.t.data: expected a folder or file of labelled images, found none"),
        ({"seeds": 0}, "seeds.finetuning: expected a number of seeds from 1"),
        ({"seeds": {"training": 1}}, "seeds.training: unknown key: expected pretraining, finetuning"),
        ({"comparison": {"correction": "none"}}, "comparison.correction: expected one of holm"),
        ({"comparison": {"resamples": "many"}}, "comparison.resamples: expected int, found 'many'"),
        ({"comparison": {"reference": "best"}}, "comparison.reference: expected one of none, all"),
        (
            {"baselines": None, "pretrainings": {"p": {"preset": "smoke"}}},
            "expected two or more models to compare, found p alone",
        ),
        ({"sources": {"phantom": "${archive}"}}, r"sources.phantom: \$\{archive\} is none of the variables"),
        ({"variables": {"archive": None}}, "variables: archive has no value: give one with --set archive="),
    ],
)
def test_mistakes_are_found_before_anything_starts(
    write: Callable[..., Path], stages: Stages, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ctprune.run_experiment(write(**changes), out=tmp_path / "out")
    assert stages.calls == []
    assert not (tmp_path / "out").exists()


def test_files_that_are_not_there_are_named(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing.yaml: no such file"):
        load_experiment(tmp_path / "nothing.yaml")
    with pytest.raises(SourceError, match=r"tried.yaml: sources.phantom: nowhere: no such file or folder"):
        load_experiment(write(sources={"phantom": "nowhere"}))
    with pytest.raises(SourceError, match=r"tasks.t.data: nowhere: no such file or folder"):
        load_experiment(write(tasks={"t": {"data": "nowhere"}}))
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [")
    with pytest.raises(ConfigError, match=r"broken.yaml: expected YAML"):
        load_experiment(broken)


def test_variables_are_put_in(write: Callable[..., Path], archive: Path) -> None:
    file = write(
        variables={"archive": None, "epochs": 3},
        sources={"phantom": "${archive}"},
        pretrainings={"all": {"preset": "smoke", "epochs": "${epochs}"}, "hash": {"preset": "smoke"}},
        tasks={"lesions": {"data": "${archive}/labels.csv"}},
    )
    found = load_experiment(file, variables={"archive": str(archive), "epochs": "7"})
    assert found.pretrainings["all"].options["epochs"] == 7
    assert found.tasks["lesions"]["data"] == f"{archive}/labels.csv"
    with pytest.raises(ConfigError, match="--set epochs: expected a number such as 3, found many"):
        load_experiment(file, variables={"archive": str(archive), "epochs": "many"})
    with pytest.raises(ConfigError, match="--set archiv: expected one of archive, epochs"):
        load_experiment(file, variables={"archiv": str(archive)})


def test_option_without_a_value_is_taken_back(write: Callable[..., Path]) -> None:
    options = {"preset": "smoke", "epochs": None}
    found = load_experiment(write(pretrainings={"p": options, "q": {"preset": "smoke"}}))
    assert found.pretrainings["p"].options == {"preset": "smoke"}


@pytest.mark.parametrize("name", ["small", "paper", "covid"])
def test_experiments_of_the_project_are_valid(name: str, archive: Path, tmp_path: Path) -> None:
    for folder in ("slices/sars-cov-2", "slices/luna", "covid-ct/split", "split"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "organs.npz").touch()
    variables = {
        "small": {"archive": str(archive)},
        "covid": {"data": str(tmp_path)},
        "paper": {name: str(tmp_path) for name in ("lidc", "autopet", "covid", "haemorrhage")}
        | {"organs": str(tmp_path / "organs.npz")},
    }[name]
    experiment = load_experiment(ROOT / "experiments" / f"{name}.yaml", variables=variables)
    run = Run(experiment, tmp_path / "out")
    kinds = [status.step.kind for status in run.find()]
    # Reductions, pre-trainings, fine-tunings.
    expected = {"small": (1, 4, 5), "covid": (1, 8, 18), "paper": (12, 36, 111)}[name]
    assert tuple(kinds.count(kind) for kind in ("reduce", "pretrain", "finetune")) == expected


def test_dry_run_and_wrong_usage(write: Callable[..., Path], tmp_path: Path, cli: Cli) -> None:
    file = write()
    dry = cli("run", file, "--out", tmp_path / "out", "--dry-run")
    assert (dry.returncode, "8 steps, 8 to carry out" in dry.stdout) == (0, True)
    assert not (tmp_path / "out").exists()
    wrong = cli("run", file, "--set", "data")
    assert (wrong.returncode, "expected NAME=VALUE" in wrong.stderr) == (2, True)


@pytest.mark.slow
def test_small_experiment_for_real(archive: Path, tmp_path: Path) -> None:
    """Every stage as it is; killed in the middle, then gone on with."""
    command = [sys.executable, "-m", "ctprune", "run", str(ROOT / "experiments" / "small.yaml")]
    command += ["--set", f"archive={archive}", "--out", str(tmp_path / "out"), "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert first.stderr is not None
    while "pretrain phantom-hash6-all-seed0: done" not in (line := first.stderr.readline()):
        assert line, "ended before it could be killed"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert second.returncode == 0, second.stderr
    found = json.loads(second.stdout)
    assert [step["state"] for step in found["steps"]][:2] == ["done before"] * 2
    assert {step["state"] for step in found["steps"][2:]} <= {"done", "done before"}
    runs = {run["name"]: run for run in found["tasks"]["lesions"]["runs"]}
    assert runs["hash"]["slices"] == runs["random"]["slices"] < runs["all"]["slices"]
    assert (tmp_path / "out" / "comparison" / "comparison.html").is_file()
