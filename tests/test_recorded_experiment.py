"""The committed results of experiments, and what the pages say of them."""

from __future__ import annotations

import csv
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiments.collect_results import collect
from experiments.compare_again import compare_again
from experiments.less_is_more.collected import load_collected
from experiments.less_is_more.page import write_report
from scipy.stats import ttest_1samp

from ctprune.comparison.verdict import signed

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results" / "covid"
LESS = ROOT / "experiments" / "results" / "less-is-more"
REAL = ROOT / "experiments" / "results" / "less-is-more-real"


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return dict(json.loads((RESULTS / "comparison" / "comparison.json").read_text())["tasks"])


@pytest.mark.parametrize("results", [RESULTS, REAL], ids=lambda results: str(results.name))
def test_tables_are_those_of_the_raw_predictions(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / results.name
    collect(results, copy, {})
    for file in ("table.md", "table.tex", "comparison.json"):
        (copy / "comparison" / file).write_text('{"steps": []}')
    compare_again(ROOT / "experiments" / f"{results.name}.yaml", copy)
    for file in ("table.md", "table.tex"):
        assert (copy / "comparison" / file).read_text() == (results / "comparison" / file).read_text()


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
    text = " ".join((ROOT / "experiments" / "README.md").read_text().split())
    assert re.search("no verdict.* nine publications", text)
    [pair] = [pair for pair in recorded["fine-tuned"]["pairs"] if pair["other"] == "all-same-steps"]
    assert f"{signed(pair['differences']['auc']['value'])} [{signed(pair['low'])}, {signed(pair['high'])}]" in text
    assert f"{pair['detectable']:.2f}" in text


#: Columns of the page on real slices; the first one decides.
TASKS = ("fine-tuned-by-publication", "linear-probe-by-publication", "fine-tuned", "linear-probe")

#: Its rows, by the model's name.
ARMS = {
    "no-pretraining": "no pre-training",
    "hash6 · hash": "`hash`",
    "kcenter · hash": "`kcenter`",
    "hash6 · all": "`all`",
    "hash6 · random": "`random`",
    "hash6 · all-epochs": "`all-epochs`",
}


def test_pages_quote_the_real_part() -> None:
    tasks = json.loads((REAL / "comparison" / "comparison.json").read_text())["tasks"]
    page = (ROOT / "experiments" / "README.md").read_text()
    section = " ".join(page[page.index("## Less is more on real slices") :].partition("\n## ")[0].split())
    aucs = {task: {run["name"]: run["metrics"]["auc"] for run in tasks[task]["runs"]} for task in TASKS}
    for name, label in ARMS.items():
        cells = [
            f"{one['mean']:.3f} [{one['low']:.3f}, {one['high']:.3f}]" for one in (aucs[t][name] for t in TASKS)
        ]
        [row] = re.findall(rf"\| {label} \| [^|]+ (\|(?: [\d.]+ \[[\d., ]+\] \|){{4}})", section)
        assert row == f"| {' | '.join(cells)} |", name
    for pairs in zip(*(tasks[task]["pairs"] for task in TASKS), strict=True):
        cells = []
        for pair in pairs:
            assert (pair["run"], pair["other"]) == (pairs[0]["run"], pairs[0]["other"])
            interval = f"[{signed(pair['low'])}, {signed(pair['high'])}]"
            cells.append(f"{signed(pair['differences']['auc']['value'])} {interval}")
        assert f"| {ARMS[pairs[0]['run']]} − {ARMS[pairs[0]['other']]} | {' | '.join(cells)} |" in section
    every = [pair for task in TASKS for pair in tasks[task]["pairs"]]
    assert {pair["verdict"] for pair in every} == {"noise", "few"}
    assert all(pair["corrected"] > 0.6 and pair["paired"] and not pair["equivalence"]["shown"] for pair in every)
    [steps] = [pair for pair in tasks[TASKS[0]]["pairs"] if pair["other"] == "hash6 · all"]
    difference = (
        f"{signed(steps['differences']['auc']['value'])} [{signed(steps['low'])}, {signed(steps['high'])}]"
    )
    assert f"`hash` and `all` differ by {difference} at equal steps" in section
    assert f"A difference below {steps['detectable']:.2f} would hardly have been detected" in section
    said = f"Real slices give {difference.replace('+', '')} on COVID-CT at equal steps: no answer."
    assert said in plain(ROOT / "README.md")
    without = {task: of_task.pop("no-pretraining")["mean"] for task, of_task in aucs.items()}
    low, high = ({task: of(one["mean"] for one in aucs[task].values()) for task in TASKS} for of in (min, max))
    tuned, probed, official, _ = TASKS
    assert (
        f"AUC is {low[tuned]:.3f} to {high[tuned]:.3f} after pre-training, and {without[tuned]:.3f} with"
        in section
    )
    assert f"on the same 131 images has {low[probed]:.3f} to {high[probed]:.3f}." in section
    assert f"have {low[official]:.3f} to {max(high[official], without[official]):.3f} there" in section
    ends = f"{low[probed]:.3f} to {high[probed]:.3f} with it, {without[probed]:.3f} without."
    assert ends in section


def test_counts_of_the_real_part_are_those_of_its_results() -> None:
    section = plain(ROOT / "experiments" / "README.md").partition("Less is more on real slices ")[2]
    summaries = [json.loads(file.read_text()) for file in REAL.glob("pretrain/*/summary.json")]
    assert len(summaries) == 25
    counts = {(one["slices"], one["steps"]) for one in summaries}
    assert counts == {(1439, 660), (1441, 660), (2413, 660), (2413, 1073)}
    assert {f"| {slices:,}; {steps:,} |" in section for slices, steps in counts} == {True}
    for task, kept, tested in (("fine-tuned-by-publication", 131, 280), ("fine-tuned", 360, 118)):
        [file] = REAL.glob(f"finetune/{task}-no-pretraining-*/metrics.json")
        found = json.loads(file.read_text())
        images = {split: sum(classes.values()) for split, classes in found["splits"].items()}
        assert (images["train"], images[found["evaluated_split"]]) == (kept, tested)
        assert f"{kept} images" in section or f"({kept})" in section
    near = next(one for one in found["overlaps"] if one["splits"] == ["train", "val"])["near_duplicates"]
    assert f"{near} images that test have a near-duplicate" in section


#: Rows of the page's table of differences, by the name of the contrast.
DIFFERENCES = {
    "steps": "`hash` − `all`, equal steps, slices every 2, 1 and 0.5 mm",
    "mixed": "`hash` − `all`, equal steps, patients differ in redundancy",
    "epochs": "`hash` − `all`, equal epochs",
    "longer": "`hash` − `all`, 2,205 steps each, every 2 mm",
    "longer-again": "the same with five new seeds",
    "random": "`hash` − `random`",
    "every-n": "`hash` − `every-n`",
    "kcenter": "`hash` − `kcenter`",
}

METHODS = {"swav": "SwAV", "mocov2": "MoCo v2", "dino": "DINO"}


def plain(page: Path) -> str:
    return " ".join(page.read_text().split()).replace("+", "")


def with_interval(one: dict[str, Any], *, turned: bool = False) -> str:
    values = [-one["value"], -one["high"], -one["low"]] if turned else [one["value"], one["low"], one["high"]]
    value, low, high = (signed(number).removeprefix("+") for number in values)
    return f"{value} [{low}, {high}]"


def test_less_is_more_is_that_of_the_raw_predictions(tmp_path: Path) -> None:
    write_report(load_collected(LESS / "pretrainings.npz"), tmp_path)
    assert (tmp_path / "README.md").read_text() == (LESS / "README.md").read_text()


def test_pages_quote_less_is_more() -> None:
    methods = json.loads((LESS / "contrasts.json").read_text())["methods"]
    found = {name: {one["name"]: one for one in of["contrasts"]} for name, of in methods.items()}
    first, page = plain(ROOT / "README.md"), plain(ROOT / "experiments" / "README.md")
    for name, said in DIFFERENCES.items():
        cells = [with_interval(of[name]) if name in of else "–" for of in (found[method] for method in METHODS)]
        assert f"| {said} | {' | '.join(cells)} |" in page
    # One contrast is answered, and not again, so no page says that others are.
    longer, again = found["swav"]["longer"], found["swav"]["longer-again"]
    verdicts = {(method, name): one["verdict"] for method, of in found.items() for name, one in of.items()}
    assert verdicts.pop(("swav", "longer")) == "larger"
    assert set(verdicts.values()) == {"unanswered"}
    seeds = f"{with_interval(longer)}, with five new seeds by {with_interval(again)}: not confirmed"
    assert f"the hash at 2,205 steps each by {seeds}" in first
    assert f"the first five seeds gave {with_interval(longer)}, p = {longer['corrected']:.3f}," in page
    assert f"gave {with_interval(again)}, p = {again['corrected']:.2f}:" in page
    [ten] = re.findall(r"over all 10 seeds the value is (.*?\]) \(95 % interval\)", plain(LESS / "README.md"))
    assert f"Over all ten it is {ten} (95 %;" in page
    for text in (first, page):
        assert "no answer yet" in text
        assert "not shown yet" in text
        assert f"by {with_interval(found['swav']['epochs'], turned=True)}" in text
    for method, written in METHODS.items():
        assert f"{with_interval(found[method]['steps'])} ({written})" in first
        assert f"{found[method]['steps']['detectable']:.3f} ({written})" in page
    assert f"a corrected p of {found['swav']['epochs']['corrected']:.3f}" in page
    others = [found[method][name]["detectable"] for method in METHODS for name in ("random", "every-n", "kcenter")]
    assert f"are {min(others):.3f} to {max(others):.3f}." in page
    gains = re.findall(r"the same seeds is (.*?\]) \(95 % interval\)", plain(LESS / "README.md"))
    assert f"exceeds the random weights by {gains[0]} (95 %" in page
    assert f"With MoCo v2 the gain is {gains[1]}, with DINO {gains[2]}." in page
    epochs = found["swav"]["epochs"]
    p_values = f"the corrected p of `epochs` is {epochs['corrected']:.3f} instead of {epochs['independent']:.3f}"
    assert p_values in plain(ROOT / "experiments" / "less-is-more.md")


def test_arms_of_a_seed_are_as_alike_as_the_plan_says() -> None:
    """The mean correlation of two arms at equal steps over seeds, and the AUCs of random weights."""
    with (LESS / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    arms: dict[tuple[str, str], list[float]] = {}
    for row in sorted(rows, key=lambda row: int(row["seed"])):
        # Those of the first look: one arm has later seeds, too.
        if (row["method"], row["steps"]) == ("swav", "200") and int(row["seed"]) < 5:
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
    assert f"of SwAV, the arms have {min(means):.3f} to {max(means):.3f}" in text
    spreads = [np.std(of_arm, ddof=1) for of_arm in arms.values()]
    assert f"pre-trainings of one arm is {min(spreads):.3f} to {max(spreads):.3f}" in text


def test_page_quotes_a_plain_test_of_the_longer_trainings() -> None:
    with (LESS / "results.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if (row["method"], row["source"]) == ("swav", "mm2")]
    aucs = {(row["arm"], int(row["seed"])): float(row["auc"]) for row in rows}
    differences = [aucs["hash-longer", seed] - aucs["all-epochs", seed] for seed in range(5)]
    p = ttest_1samp(differences, 0).pvalue
    assert f"a plain t test of the five differences has p = {p:.3f}" in plain(ROOT / "experiments" / "README.md")


def test_page_quotes_the_simulation_of_pairs() -> None:
    """Ranges over the lines of the newest record, as docs/compare.md gives them."""
    file = sorted((ROOT / "benches" / "record").glob("*-pair_seeds.json"))[-1]
    null, power = (table["raw"] for table in json.loads(file.read_text())["tables"])
    page = (ROOT / "docs" / "compare.md").read_text()
    assert file.name.removesuffix("-pair_seeds.json") in page
    for pretrainings, share in itertools.product((3, 5, 10), (0.0, 0.6)):
        design = (pretrainings, share)
        alarms, found = [], []
        for way in ("independent", "paired"):
            lines = [100 * one[f"{way}_alarm"] for one in null if (one["pretrainings"], one["share"]) == design]
            alarms.append(f"{min(lines):.1f}–{max(lines):.1f} %")
            [right] = [
                100 * one[f"{way}_right"]
                for one in power
                if (one["pretrainings"], one["share"]) == design
                and (one["deviation"], one["images"], one["finetunings"], one["patients"])
                == (0.045, 500, 1, False)
            ]
            found.append(f"{right:.0f} %")
        assert f"| {pretrainings} | {100 * share:.0f} % | {' | '.join(alarms + found)} |" in page


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
