"""Experiments whose tasks have several labels, or numbers: carried out and compared in their own measures."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune.errors import ConfigError, TaskError
from ctprune.experiment.file import load_experiment
from tests.experiments import Stages
from tests.labeled import write as write_picture

TABLE = {"patient_column": "patient", "mode": "knn", "neighbors": 3, "side": 32}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A table of 48 patients with a picture each, half of them in test: columns `found` and `volume`."""
    rows = [["path", "found", "volume", "patient", "split"]]
    for number in range(48):
        write_picture(tmp_path / "data" / f"{number:02d}.png", number % 2 == 1, number)
        found = ["", "nodule", "edema", "edema;nodule"][number % 4]
        split = "test" if number >= 24 else "val" if number >= 12 else "train"
        rows.append([f"{number:02d}.png", found, str(10 + 20 * (number % 2) + number / 10), f"p{number}", split])
    with (tmp_path / "data" / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "data" / "table.csv"


def tasks(data: Path) -> dict[str, dict[str, Any]]:
    shared = TABLE | {"data": str(data)}
    return {
        "findings": shared | {"target": "multi-label", "label_column": "found"},
        "size": shared | {"target": "regression", "label_column": "volume"},
    }


def test_tasks_of_labels_and_numbers_are_compared(write: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    small = {"preset": "smoke", "backbone": "test_resnet", "side": 32, "use": "all", "steps": 2}
    file = write(
        pretrainings={"swav": small},
        baselines={"none": {"weights": "none", "backbone": "test_resnet"}},
        tasks=tasks(data),
        seeds=1,
        comparison={"resamples": 100, "reference": "none", "margin": {"findings": 0.1, "size": 20}},
    )
    result = ctprune.run_experiment(file, out=tmp_path / "out")
    said = [status.text for status in result.statuses if status.step.kind == "finetune"]
    assert [text.rpartition(" on test")[0].rpartition(" ")[0] for text in said] == [
        *["AUC"] * 2,
        *["Mean absolute error"] * 2,
    ]
    findings, size = result.comparisons["findings"].pairs[0], result.comparisons["size"].pairs[0]
    for pair, title in ((findings, "AUC"), (size, "mean absolute error")):
        # One backbone of each: larger than the noise or not.
        assert re.search(
            f"difference in {title} with these|with these backbones the {title} differs", pair.sentence
        )
    margins = [pair.equivalence and pair.equivalence.margin for pair in (findings, size)]
    assert margins == [0.1, 20]
    page = result.page.read_text()
    assert "Difference in mean absolute error of each pair" in page
    assert "Difference in AUC of each pair" in page
    again = ctprune.run_experiment(file, out=tmp_path / "out")
    assert {status.state for status in again.statuses} == {"done before"}


@pytest.mark.parametrize(
    ("margin", "message"),
    [
        (
            0.02,
            r"comparison.margin: tasks are decided by different measures \(findings by AUC, size by mean absolute "
            r"error\): give each its own margin, such as \{findings: 0.02, size: 0.02\}",
        ),
        ({"sizes": 3}, "comparison.margin: expected names of tasks, findings, size, found sizes"),
        ({"findings": 2}, "comparison.margin.findings 2: expected a difference in AUC below 1"),
        ({"size": 0}, "comparison.margin.size 0: expected a difference above 0"),
    ],
)
def test_margins_that_no_task_can_use_are_refused(
    write: Callable[..., Path], data: Path, margin: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_experiment(write(tasks=tasks(data), comparison={"margin": margin}))


def test_a_margin_may_be_given_for_some_tasks_only(write: Callable[..., Path], data: Path) -> None:
    found = load_experiment(write(tasks=tasks(data), comparison={"margin": {"size": 3}}))
    assert found.comparison == {"margin": {"size": 3}}


def test_what_labels_are_belongs_to_a_task(
    write: Callable[..., Path], stages: Stages, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"baselines.none.target: cannot be set here: it belongs to a task"):
        load_experiment(write(baselines={"none": {"target": "ordinal"}}))
    wrong = {"t": TABLE | {"data": str(data), "target": "regression", "label_column": "path"}}
    with pytest.raises(TaskError, match=r"tasks.t: .*expected numbers as labels for `target` regression"):
        ctprune.run_experiment(write(tasks=wrong), out=tmp_path / "out")
    assert stages.calls == []
