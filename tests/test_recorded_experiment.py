"""The committed results of experiments, and what the pages say of them."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiments.compare_again import compare_again
from experiments.less_is_more.collected import load_collected
from experiments.less_is_more.page import write_report

from ctprune.comparison.verdict import signed

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results" / "covid"
LESS = ROOT / "experiments" / "results" / "less-is-more"


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return dict(json.loads((RESULTS / "comparison" / "comparison.json").read_text())["tasks"])


def test_tables_are_those_of_the_raw_predictions(tmp_path: Path) -> None:
    copy = tmp_path / "covid"
    shutil.copytree(RESULTS, copy)
    for file in ("table.md", "table.tex", "comparison.json"):
        (copy / "comparison" / file).write_text('{"steps": []}')
    compare_again(ROOT / "experiments" / "covid.yaml", copy)
    assert (copy / "comparison" / "table.md").read_text() == (RESULTS / "comparison" / "table.md").read_text()
    assert (copy / "comparison" / "table.tex").read_text() == (RESULTS / "comparison" / "table.tex").read_text()


#: Models of the experiment by their rows in the page's table.
ROWS = {
    "none": "no-pretraining",
    "all, same epochs": "all-same-epochs",
    "all, same steps": "all-same-steps",
    "hash": "hash",
    "random, as many": "random",
}


def test_the_page_quotes_the_tables(recorded: dict[str, Any]) -> None:
    text = (ROOT / "experiments" / "README.md").read_text()
    for label, name in ROWS.items():
        [line] = [line for line in text.splitlines() if line.startswith(f"| {label} |")]
        for task in ("fine-tuned", "linear-probe"):
            [run] = [run for run in recorded[task]["runs"] if run["name"] == name]
            auc = run["metrics"]["auc"]
            assert f"| {auc['mean']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}] |" in line, (label, task)
        assert f"| {run['slices']:,} |" in line


def test_pages_claim_no_more_than_the_verdicts(recorded: dict[str, Any]) -> None:
    assert {pair["verdict"] for task in recorded.values() for pair in task["pairs"]} == {"few"}
    for page in ("README.md", "experiments/README.md"):
        text = " ".join((ROOT / page).read_text().split())
        assert re.search("nine publications .*no verdict|no verdict.* nine publications", text), page
    [pair] = [pair for pair in recorded["fine-tuned"]["pairs"] if pair["other"] == "all-same-steps"]
    assert f"{signed(pair['differences']['auc']['value'])} [{signed(pair['low'])}, {signed(pair['high'])}]" in text
    assert f"{pair['detectable']:.2f}" in text


def test_less_is_more_is_that_of_the_raw_predictions_and_pages_quote_it(tmp_path: Path) -> None:
    write_report(load_collected(LESS / "pretrainings.npz"), tmp_path)
    assert (tmp_path / "README.md").read_text() == (LESS / "README.md").read_text()
    contrasts = json.loads((LESS / "contrasts.json").read_text())["methods"]["swav"]["contrasts"]
    found = {one["name"]: one for one in contrasts}
    assert {one["verdict"] for one in contrasts if one["name"] != "longer"} == {"unanswered"}

    def unsigned(value: float) -> str:
        return signed(value).removeprefix("+")

    def plain(page: Path) -> str:
        return " ".join(page.read_text().split()).replace("+", "")

    def with_interval(one: dict[str, Any]) -> str:
        return f"{unsigned(one['value'])} [{unsigned(one['low'])}, {unsigned(one['high'])}]"

    # The pages say by how much all slices are better, so the difference the other way round.
    epochs = {"value": -found["epochs"]["value"], "low": -found["epochs"]["high"], "high": -found["epochs"]["low"]}
    for page in ("README.md", "experiments/README.md"):
        text = plain(ROOT / page)
        assert with_interval(found["steps"]) in text, page
        assert f"by {with_interval(epochs)}" in text, page
        assert "no answer yet" in text
        assert "not shown yet" in text
    assert with_interval(found["mixed"]) in text
    assert f"A difference of {found['steps']['detectable']:.3f} ({found['mixed']['detectable']:.3f})" in text
    assert f"a corrected p of {found['epochs']['corrected']:.3f}" in text
    others = [found[name] for name in ("random", "every-n", "kcenter")]
    assert (
        "by {}, {} and {}. Differences of {:.3f}, {:.3f} and {:.3f}".format(
            *(unsigned(one["value"]) for one in others), *(one["detectable"] for one in others)
        )
        in text
    )
    [gain] = re.findall(r"the same seeds is (.*?\]) \(95 % interval\)", plain(LESS / "README.md"))
    assert f"exceeds the random weights by {gain} (95 %" in text
    p_values = f"the corrected p of `epochs` is {found['epochs']['corrected']:.3f} instead of"
    assert f"{p_values} {found['epochs']['independent']:.3f}" in plain(ROOT / "experiments" / "less-is-more.md")


def test_arms_of_a_seed_are_as_alike_as_the_plan_says() -> None:
    """The mean correlation of two arms at equal steps over seeds, and the AUCs of random weights."""
    with (LESS / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    arms: dict[tuple[str, str], list[float]] = {}
    for row in sorted(rows, key=lambda row: int(row["seed"])):
        if (row["method"], row["steps"]) == ("swav", "200"):
            arms.setdefault((row["source"], row["arm"]), []).append(float(row["auc"]))
    between = np.cov(np.array(list(arms.values())))
    share = (between.sum() - between.trace()) / (len(between) - 1) / between.trace()
    assert len(arms) == 30
    assert f"two arms of a seed correlate by {share:.1f}" in " ".join(
        (ROOT / "experiments" / "less-is-more.md").read_text().split()
    )
    nothing = [float(row["auc"]) for row in rows if row["method"] == "none"]
    means = [np.mean(of_arm) for of_arm in arms.values()]
    text = " ".join((ROOT / "experiments" / "README.md").read_text().split())
    assert f"{min(nothing):.3f} to {max(nothing):.3f}, on average {np.mean(nothing):.3f}" in text
    assert f"the arms have {min(means):.3f} to {max(means):.3f}" in text
    spreads = [np.std(of_arm, ddof=1) for of_arm in arms.values()]
    assert f"pre-trainings of one arm is {min(spreads):.3f} to {max(spreads):.3f}" in text


def test_page_quotes_the_calibration() -> None:
    """Ranges over the lines of the newest record, as docs/compare.md gives them."""
    file = sorted((ROOT / "benches" / "record").glob("*-calibration.json"))[-1]
    null, few, power = (table["raw"] for table in json.loads(file.read_text())["tables"])
    page = (ROOT / "docs" / "compare.md").read_text()
    assert file.name.removesuffix("-calibration.json") in page
    for design in ("1 × 5", "2 × 3", "3 × 3", "5 × 1", "5 × 3"):
        [line] = [line for line in page.splitlines() if line.startswith(f"| {design} |")]
        lines = [one for one in null if f"{one['pretrainings']} × {one['finetunings']}" == design]
        assert len(lines) == 12
        held = [100 * one["held"] for one in lines]
        assert f"{min(held):.1f}–{max(held):.1f} %" in line
        # Backbones that truly differ give no false alarm.
        alarms = [100 * one["alarm"] for one in lines if design != "1 × 5" or one["deviation"] == 0]
        assert f"{min(alarms):.1f}–{max(alarms):.1f} %" in line
        better = [100 * one["better"] for one in lines]
        assert ("never" in line) == (max(better) == 0)
        found = {
            one["images"]: 100 * one["right"]
            for one in power
            if f"{one['pretrainings']} × {one['finetunings']}" == design
            and one["deviation"] == 0.02
            and not one["patients"]
        }
        assert f"{found[118]:.0f} %; {found[500]:.0f} %" in line
    held = [100 * one["held"] for one in few if one["of_class"] == 10]
    assert f"{min(held):.1f}–{max(held):.1f} %" in page
