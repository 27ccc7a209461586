"""An experiment carried out: what is repeated, skipped, gone on with and compared."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

import ctprune
from ctprune.errors import Interrupted, SourceError, WeightsError
from ctprune.experiment.file import load_experiment
from ctprune.experiment.run import Run
from tests.experiments import Stages


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


@pytest.mark.parametrize(("seeds", "paired"), [([3, 5], True), ([3], False)])
def test_seeds_are_paired_if_there_are_several(
    seeds: list[int], paired: bool, write: Callable[..., Path], stages: Stages, tmp_path: Path
) -> None:
    planned = {"resamples": 200, "contrasts": [["hash", "all"]], "pair_seeds": True}
    file = write(seeds={"pretraining": seeds, "finetuning": 2}, comparison=planned)
    [pair] = ctprune.run_experiment(file, out=tmp_path / "out").comparisons["lesions"].pairs
    assert pair.paired == paired


def test_planned_contrasts_are_what_is_compared(
    write: Callable[..., Path], stages: Stages, tmp_path: Path
) -> None:
    planned = {"resamples": 200, "contrasts": [["hash", "all"], ["hash", "none"]], "margin": 0.05}
    result = ctprune.run_experiment(write(comparison=planned), out=tmp_path / "out")
    pairs = result.comparisons["lesions"].pairs
    assert [(pair.run, pair.other) for pair in pairs] == [("hash", "all"), ("hash", "none")]
    assert all(pair.equivalence is not None for pair in pairs)


def test_numbers_of_slices_and_epochs_are_taken_from_others(
    write: Callable[..., Path], stages: Stages, tmp_path: Path
) -> None:
    def file(threshold: int) -> Path:
        return write(
            reductions={
                "tenth": {"method": "every-n", "as_many_as": "hash6"},
                "centers": {"method": "kcenter", "as_many_as": "hash6"},
                "hash6": {"method": "hash", "threshold": threshold},
            },
            pretrainings={
                "all": {"preset": "smoke", "use": "all", "reductions": "hash6", "epochs_of": "hash"},
                "hash": {"preset": "smoke", "steps": 30, "reductions": "hash6"},
                "tenth": {"preset": "smoke", "steps": 30, "reductions": "tenth"},
                "centers": {"preset": "smoke", "steps": 30, "reductions": "centers"},
            },
            baselines=None,
        )

    run = Run(load_experiment(file(6)), tmp_path / "out")
    assert run.grid.arrays() == ((1, 1), (2, 3), (4, 6), (7, 7), (8, 11))
    run.carry_out()
    kept = {}
    for step in run.grid.steps[:3]:
        summary = json.loads((step.folder(run.out) / "summary.json").read_text())
        kept[step.name] = (summary["kept"], summary["slices"], summary["config"])
    hashed, slices, _ = kept["phantom-hash6"]
    assert kept["phantom-centers"][0] == hashed
    # The nearest that whole numbers allow: one less or one more keeps a number that is farther away.
    tenth, _, config = kept["phantom-tenth"]
    n = config["n"]
    assert abs(slices / n - hashed) <= min(abs(slices / other - hashed) for other in (n - 1 or 2, n + 1))
    assert tenth >= slices // n
    # 30 steps of 5 slices are 6 passes over 25 slices.
    [options] = [options for _, name, options in stages.calls if name == "phantom-hash6-all-seed0"]
    assert options["epochs"] == 6
    stages.calls.clear()
    again = Run(load_experiment(file(20)), tmp_path / "out")
    # What takes its number from another is of no use when that one changes.
    assert {status.state for status in again.find()} == {"waiting"}
