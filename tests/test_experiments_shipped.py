"""The experiments that come with the project."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from experiments.less_is_more.archives import DOSES_MM, MIXED

from ctprune.experiment.contrasts import resolve_contrasts
from ctprune.experiment.file import ExperimentFile, load_experiment
from ctprune.experiment.grid import build_grid
from ctprune.experiment.inputs import Inputs
from ctprune.experiment.run import Run
from tests.printed import result_of

ROOT = Path(__file__).parents[1]


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
    for needed in (
        "dicom/chest-1mm",
        "dicom/chest-8mm-two-kernels",
        *(f"doses/{name}" for name in (*DOSES_MM, MIXED)),
    ):
        (folder / needed).mkdir(parents=True)
    # The same archive stands for the labeled one.
    (folder / "doses" / "labeled").symlink_to(archive, target_is_directory=True)
    return {
        "small": {"archive": str(archive)},
        "covid": {"data": str(folder)},
        "less-is-more": {"data": str(folder / "doses")},
        "less-is-more-epochs": {"data": str(folder / "doses")},
        "less-is-more-methods": {"data": str(folder / "doses")},
        "less-is-more-real": {"data": str(folder), "publications": str(covid / "split")},
        "paper": {name: str(folder / name) for name in ("lidc", "autopet", "hemorrhage")}
        | {"covid": str(covid), "organs": str(folder / "organs.npz")},
    }[name]


@pytest.fixture
def paper(archive: Path, tmp_path: Path) -> ExperimentFile:
    return load_experiment(ROOT / "experiments" / "paper.yaml", variables=variables_of("paper", archive, tmp_path))


#: Reductions, pre-trainings, fine-tunings.
STEPS = {
    "small": (1, 4, 5),
    "covid": (1, 8, 18),
    "paper": (12, 240, 723),
    "less-is-more": (18, 150, 151),
    "less-is-more-epochs": (2, 25, 26),
    "less-is-more-methods": (18, 310, 311),
    "less-is-more-real": (2, 25, 104),
}


@pytest.mark.parametrize("name", STEPS)
def test_experiments_of_the_project_are_valid(name: str, archive: Path, tmp_path: Path) -> None:
    variables = variables_of(name, archive, tmp_path)
    experiment = load_experiment(ROOT / "experiments" / f"{name}.yaml", variables=variables)
    run = Run(experiment, tmp_path / "out")
    kinds = [status.step.kind for status in run.find()]
    assert tuple(kinds.count(kind) for kind in ("reduce", "pretrain", "finetune")) == STEPS[name]


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
