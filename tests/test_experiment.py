from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import ctprune
from ctprune.cli import main
from ctprune.errors import ConfigError, Interrupted, SourceError, WeightsError
from ctprune.experiment.contrasts import resolve_contrasts
from ctprune.experiment.file import ExperimentFile, load_experiment
from ctprune.experiment.grid import build_grid
from ctprune.experiment.inputs import Inputs
from ctprune.experiment.run import Run
from ctprune.files.contents import Contents
from ctprune.files.run_lock import sole_writer
from tests.printed import result_of
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


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`ctprune experiment` in this process, which has torch loaded already: exit code, output, errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["ctprune", "experiment", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


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
        summary["seed"] = options["seed"]
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
    ctprune.run_experiment(file, out=tmp_path / "out")
    stages.calls.clear()
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    result = ctprune.run_experiment(file, out=tmp_path / "out")
    assert stages.calls == []
    assert {status.state for status in result.statuses} == {"done before"}
    with (copy / "labels.csv").open("a") as opened:
        opened.write("\n")
    result = ctprune.run_experiment(file, out=tmp_path / "out")
    # The baseline reads the task's data alone.
    assert [status.step.name for status in result.statuses if status.state == "done before"] == ["lesions-none"]


def test_moved_sources_are_read_again_for_what_is_left(
    write: Callable[..., Path], stages: Stages, archive: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "dicoms"
    shutil.copytree(archive, copy)
    stages.fail_at, stages.error = 3, KeyboardInterrupt()
    with pytest.raises(Interrupted):
        ctprune.run_experiment(write(sources={"phantom": str(copy)}), out=tmp_path / "out")
    stages.error = None
    stages.calls.clear()
    moved = tmp_path / "moved"
    copy.rename(moved)
    run = Run(load_experiment(write(sources={"phantom": str(moved)})), tmp_path / "out")
    reduction = run.grid.steps[0]
    digest = ctprune.Manifest.load(reduction.folder(run.out)).digest()
    with pytest.raises(SourceError, match="needs step 1, reduce phantom-hash6, which must record again"):
        run.carry_out_step(4)
    result = run.carry_out()
    assert [status.state for status in result.statuses] == ["done", *["done before"] * 2, *["done"] * 5]
    manifest = ctprune.Manifest.load(reduction.folder(run.out))
    assert set(manifest.rows["source"]) == {str(moved)}
    # What an interrupted pre-training goes by.
    assert manifest.digest() == digest


def test_interrupted_finetuning_of_other_weights_begins_again(
    write: Callable[..., Path], stages: Stages, tmp_path: Path
) -> None:
    run = Run(load_experiment(write()), tmp_path / "out")
    step = next(step for step in run.grid.steps if step.name == "lesions-phantom-hash6-hash-seed0")
    started = step.folder(run.out)
    for digest, left in (("of an earlier backbone", False), (sha256(b"").hexdigest(), True)):
        (started / "progress").mkdir(parents=True)
        (started / "inputs.json").write_text(f'{{"weights_sha256": "{digest}"}}')
        Run(load_experiment(write()), tmp_path / "out").carry_out()
        assert (started / "progress").exists() == left
        assert (started / "metrics.json").is_file()
        shutil.rmtree(started)


def test_two_at_once_are_one_sentence(
    write: Callable[..., Path], tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "out").mkdir()
    with sole_writer(tmp_path / "out"):
        assert command(write(), "--out", "out") == (
            1,
            "",
            "Error: out is in use by another ctprune: wait until it is done or choose another folder\n",
        )
    assert list((tmp_path / "out").iterdir()) == []


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
            write(), out=tmp_path / "out", changed=lambda now: states.append([one.state for one in now])
        )
    assert states[-1] == ["done"] * 4 + ["failed"] + ["waiting"] * 3


def test_seeds_of_pretraining_are_one_model(write: Callable[..., Path], stages: Stages, tmp_path: Path) -> None:
    result = ctprune.run_experiment(write(seeds={"pretraining": [3, 5], "finetuning": 2}), out=tmp_path / "out")
    assert [options["seed"] for kind, _, options in stages.calls if kind == "pretrain"] == [3, 5] * 3
    comparison = result.comparisons["lesions"]
    assert [len(one.seeds) for one in comparison.results] == [2, 4, 4, 4]
    # Both levels are kept; random weights are drawn anew with each seed.
    assert [str(levels) for levels in comparison.levels] == ["2 × 1", "2 × 2", "2 × 2", "2 × 2"]


def test_planned_contrasts_are_what_is_compared(
    write: Callable[..., Path], stages: Stages, tmp_path: Path
) -> None:
    planned = {"resamples": 200, "contrasts": [["hash", "all"], ["hash", "none"]], "margin": 0.05}
    result = ctprune.run_experiment(write(comparison=planned), out=tmp_path / "out")
    pairs = result.comparisons["lesions"].pairs
    assert [(pair.run, pair.other) for pair in pairs] == [("hash", "all"), ("hash", "none")]
    assert all(pair.equivalence is not None for pair in pairs)


def test_names_of_models_say_what_differs(write: Callable[..., Path], archive: Path) -> None:
    file = write(
        sources={"a": str(archive), "b": str(archive)},
        reductions={"hash6": {}, "tenth": {"method": "every-n"}},
        pretrainings={"swav": {"preset": "smoke"}, "byol": {"preset": "smoke", "method": "byol", "sources": "a"}},
    )
    grid = build_grid(load_experiment(file), Inputs(Contents()))
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
        ({"reductions": {"a/b": {}}}, "reductions: 'a/b' is not a valid name"),
        ({"reductions": {"h": {"treshold": 6}}}, "reductions.h.treshold: unknown key: expected some of method,"),
        ({"reductions": {"h": {"method": "hsh"}}}, "reductions.h.method hsh: expected one of hash"),
        ({"reductions": {"h": {"threshold": "six"}}}, "reductions.h.threshold six: expected a number"),
        ({"pretrainings": {"p": {"epoch": 3}}}, "pretrainings.p.epoch: unknown key: expected some of sources,"),
        (
            {"pretrainings": {"p": {"seed": 3}}},
            "pretrainings.p.seed: cannot be set here: seeds.pretraining sets the seeds of all",
        ),
        ({"pretrainings": {"p": {"epochs": 0}}}, "pretrainings.p.epochs 0: expected a whole number"),
        ({"pretrainings": {"p": {"reductions": "none"}}}, "pretrainings.p.reductions: expected some of hash6"),
        ({"pretrainings": {"p": {"steps_of": "q"}}}, "pretrainings.p.steps_of: expected one of .*found q"),
        (
            {"pretrainings": {"p": {"steps_of": "q", "steps": 3}, "q": {}}},
            "pretrainings.p: steps_of and steps are mutually exclusive",
        ),
        ({"tasks": {"t": {}}}, "tasks.t.data: expected a folder or file of labeled images, found none"),
        ({"seeds": 0}, "seeds.finetuning: expected a number of seeds from 1"),
        ({"seeds": {"training": 1}}, "seeds.training: unknown key: expected pretraining, finetuning"),
        ({"comparison": {"correction": "none"}}, "comparison.correction none: expected one of holm"),
        ({"comparison": {"resamples": "many"}}, "comparison.resamples many: expected a whole number, 100 to"),
        ({"comparison": {"reference": "best"}}, "comparison.reference: expected one of none, all"),
        (
            {"comparison": {"contrasts": []}},
            r"comparison.contrasts: expected pairs of models such as \[hash, all\]",
        ),
        ({"comparison": {"contrasts": ["hash"]}}, r"comparison.contrasts: expected two models .* found 'hash'"),
        (
            {"comparison": {"contrasts": [["hash", "some"]]}},
            r"comparison.contrasts: \[hash, some\]: no two models differ only in this: expected .* among none,",
        ),
        (
            {"comparison": {"contrasts": [["hash", "all"]], "reference": "all"}},
            "comparison: `reference` and `contrasts` are mutually exclusive",
        ),
        ({"comparison": {"margin": "small"}}, "comparison.margin small: expected a difference in AUC"),
        (
            {"baselines": None, "pretrainings": {"p": {"preset": "smoke"}}},
            "expected two or more models to compare, found p alone",
        ),
        ({"sources": {"phantom": "${archive}"}}, r"sources.phantom: \$\{archive\} is not one of the variables"),
        ({"variables": {"archive": None}}, "variables: archive has no value: give one with `variables` archive="),
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
    with pytest.raises(ConfigError, match="`variables` epochs: expected a number such as 3, found many"):
        load_experiment(file, variables={"archive": str(archive), "epochs": "many"})
    with pytest.raises(ConfigError, match="`variables` archiv: expected one of archive, epochs"):
        load_experiment(file, variables={"archiv": str(archive)})


def test_option_without_a_value_is_taken_back(write: Callable[..., Path]) -> None:
    options = {"preset": "smoke", "epochs": None}
    found = load_experiment(write(pretrainings={"p": options, "q": {"preset": "smoke"}}))
    assert found.pretrainings["p"].options == {"preset": "smoke"}


def variables_of(name: str, archive: Path, folder: Path) -> dict[str, str]:
    covid = folder / "covid-ct"
    for label in ("CT_COVID", "CT_NonCOVID"):
        for split in ("train", "val", "test"):
            for file in (covid / label / f"{split}.png", covid / "split" / f"{split}{label}.txt"):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{split}.png\n")
    for needed in ("slices/sars-cov-2", "slices/luna", "lidc", "autopet", "hemorrhage/0", "hemorrhage/1"):
        (folder / needed).mkdir(parents=True)
    for label in ("0", "1"):
        (folder / "hemorrhage" / label / "a.png").touch()
    (folder / "organs.npz").touch()
    return {
        "small": {"archive": str(archive)},
        "covid": {"data": str(folder)},
        "paper": {name: str(folder / name) for name in ("lidc", "autopet", "hemorrhage")}
        | {"covid": str(covid), "organs": str(folder / "organs.npz")},
    }[name]


@pytest.fixture
def paper(archive: Path, tmp_path: Path) -> ExperimentFile:
    return load_experiment(ROOT / "experiments" / "paper.yaml", variables=variables_of("paper", archive, tmp_path))


@pytest.mark.parametrize("name", ["small", "paper", "covid"])
def test_experiments_of_the_project_are_valid(name: str, archive: Path, tmp_path: Path) -> None:
    variables = variables_of(name, archive, tmp_path)
    experiment = load_experiment(ROOT / "experiments" / f"{name}.yaml", variables=variables)
    run = Run(experiment, tmp_path / "out")
    kinds = [status.step.kind for status in run.find()]
    # Reductions, pre-trainings, fine-tunings.
    expected = {"small": (1, 4, 5), "covid": (1, 8, 18), "paper": (12, 240, 723)}[name]
    assert tuple(kinds.count(kind) for kind in ("reduce", "pretrain", "finetune")) == expected


def test_paper_compares_each_reduction_with_all_slices(paper: ExperimentFile) -> None:
    """Within each source and method, at equal epochs and at equal steps; the hash also with its controls."""
    names = list(build_grid(paper, Inputs(None)).tasks["covid-ct"])
    pairs = resolve_contrasts(paper.comparison["contrasts"], names)
    expected = {
        (f"{source} · {reduction} · {method}", f"{source} · {other}")
        for source in ("lidc-idri", "autopet")
        for method in ("swav", "mocov2", "byol")
        for reduction in ("every-10", "ssim", "mi", "deep", "hash6")
        for other in (f"all · {method}", f"hash6 · {method}-all-same-steps")
    } | {
        (f"{source} · hash6 · {method}", f"{source} · {other}")
        for source in ("lidc-idri", "autopet")
        for method in ("swav", "mocov2", "byol")
        for other in (f"every-10 · {method}", f"hash6 · {method}-random")
    }
    assert set(pairs) == expected
    assert len(pairs) == len(expected)
    assert len(paper.pretraining_seeds) >= 3
    of_tasks = {task["data"] for task in paper.tasks.values()}
    assert all(of_tasks == set(one.options["exclude"]) for one in paper.pretrainings.values())


def test_dry_run_and_wrong_usage(
    write: Callable[..., Path], tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    file = write()
    code, shown, _ = command(file, "--out", "out", "--dry-run")
    assert (code, "8 steps, 8 to run" in shown) == (0, True)
    assert not (tmp_path / "out").exists()
    assert command(file, "--set", "data")[::2] == (
        2,
        "Error: --set data: expected NAME=VALUE, such as --set data=./archive\n",
    )
    assert command(file, "--list", "--step", 1)[::2] == (
        2,
        "Error: --dry-run, --list and --step are mutually exclusive: give only one\n",
    )


def test_list_and_step_on_the_command_line(
    write: Callable[..., Path], command: Callable[..., tuple[int, str, str]]
) -> None:
    file = write()
    listed = result_of("experiment", command(file, "--out", "out", "--list", "--json")[1])
    assert listed["arrays"] == ["1-1", "2-3", "4-4", "5-8"]
    assert [step["number"] for step in listed["steps"]] == list(range(1, 9))
    assert [step["needs"] for step in listed["steps"]] == [[], [1], [1], [1, 3], [], [2], [3], [4]]
    assert command(file, "--out", "out", "--step", 2) == (
        1,
        "",
        "Error: --step 2: pretrain phantom-hash6-all-seed0 needs step 1, reduce phantom-hash6, which is not done: "
        "run that first\n",
    )
    done = result_of("experiment", command(file, "--out", "out", "--step", 1, "--json")[1])
    assert [(step["number"], step["state"]) for step in done["steps"]] == [(1, "done")]
    table = command(file, "--out", "out", "--list")[1]
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


@pytest.mark.slow
def test_small_experiment_for_real(archive: Path, tmp_path: Path) -> None:
    """Every stage as it is; killed in the middle, then gone on with."""
    command = [sys.executable, "-m", "ctprune", "experiment", str(ROOT / "experiments" / "small.yaml")]
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
    found = result_of("experiment", second.stdout)
    assert [step["state"] for step in found["steps"]][:2] == ["done before"] * 2
    assert {step["state"] for step in found["steps"][2:]} <= {"done", "done before"}
    runs = {run["name"]: run for run in found["tasks"]["lesions"]["runs"]}
    assert runs["hash"]["slices"] == runs["random"]["slices"] < runs["all"]["slices"]
    assert (tmp_path / "out" / "comparison" / "comparison.html").is_file()
