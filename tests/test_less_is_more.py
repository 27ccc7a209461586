"""The contrasts and the page of experiments/less-is-more.md, on results that are made up."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from experiments.less_is_more.archives import ARCHIVES, DOSES_MM, MIXED, write_archives
from experiments.less_is_more.collected import load_collected, save_collected
from experiments.less_is_more.contrasts import answers, look_reached, looked_at, measured_cells, planned
from experiments.less_is_more.page import write_report
from experiments.less_is_more.trained import ARMS, NOTHING, Trained, load_trained, untrained, whole_probabilities

from ctprune.comparison.result import Result
from ctprune.errors import EvaluationError
from tests.results import write_result

LABELS = np.arange(160) % 2
SOURCES = (*DOSES_MM, MIXED)


def result(name: str, skill: float, seed: int) -> Result:
    """Predictions whose AUC rises with the skill; their noise comes from the image more than from the training."""
    of_images = np.random.default_rng(7).normal(size=len(LABELS))
    own = np.random.default_rng(seed).normal(size=len(LABELS))
    odds = skill * (2 * LABELS - 1) + of_images + 0.1 * own
    ill = 1 / (1 + np.exp(-odds))
    return Result(
        name=name,
        path=name,
        classes=("0", "1"),
        split="test",
        selection_split="val",
        seeds=(0,),
        backbones=(name,),
        images=tuple(f"{number}.dcm" for number in range(len(LABELS))),
        labels=LABELS,
        # As results are stored.
        probabilities=whole_probabilities(ill.astype(np.float32)[None, :, None]),
        patients=tuple(f"P{number // 2}" for number in range(len(LABELS))),
        config={"positive": "1"},
        weights={"slices": 100},
        seconds=1.0,
    )


def trained(skill: dict[tuple[str, str], float], *, method: str = "swav", seeds: int = 5) -> list[Trained]:
    found = []
    for number, (source, arm) in enumerate((source, arm) for source in SOURCES for arm in ARMS):
        for seed in range(seeds):
            predicted = result(f"{source}{arm}{seed}", skill.get((source, arm), 0.6), 100 * number + seed)
            found.append(
                Trained(
                    method=method,
                    source=source,
                    arm=arm,
                    seed=seed,
                    slices=100,
                    steps=30,
                    epochs=3.0,
                    seconds=9.0,
                    result=predicted,
                )
            )
    return found


#: The hash helps the more, the more redundant an archive is.
HELPS = {(source, "hash"): 0.6 + 0.15 * number for number, source in enumerate(DOSES_MM)}


def test_contrasts_are_weighted_sums_of_differences() -> None:
    cells, found = measured_cells(trained(HELPS))
    difference = found.difference(cells["mixed", "hash"], cells["mixed", "all"], "auc")
    for contrast in planned("swav"):
        assert sum(contrast.weights.values()) == pytest.approx(0)
    answered = {one.contrast.name: one for one in answers(planned("swav"), cells, found)}
    assert answered["mixed"].estimate == difference
    of_cells = {cell: float(found.values(index, "auc").mean()) for cell, index in cells.items()}
    differences = [of_cells[source, "hash"] - of_cells[source, "all"] for source in DOSES_MM]
    assert answered["steps"].estimate.value == pytest.approx(np.mean(differences[2:]))  # type: ignore[union-attr]
    slices = [math.log2(1 / mm) for mm in DOSES_MM.values()]
    slope = np.polyfit(slices, differences, 1)[0]
    assert answered["dose"].estimate.value == pytest.approx(slope)  # type: ignore[union-attr]
    # Where all arms are alike, a mean of three differences is surer than one of them.
    cells, found = measured_cells(trained({}))
    answered = {one.contrast.name: one for one in answers(planned("swav"), cells, found)}
    assert answered["steps"].estimate.error < answered["mixed"].estimate.error  # type: ignore[union-attr]


def test_answers_say_what_is_shown() -> None:
    cells, found = measured_cells(trained(HELPS))
    verdicts = {one.contrast.name: one.verdict for one in answers(planned("swav"), cells, found)}
    assert (verdicts["steps"], verdicts["dose"]) == ("larger", "larger")
    assert verdicts["mixed"] in ("equivalent", "unanswered")
    # Nothing is said before there are five pre-trainings of each arm that a contrast compares, or any at all.
    few = trained(HELPS, seeds=2)
    cells, found = measured_cells([one for one in few if one.source != "mm05"])
    for one in answers(planned("swav"), cells, found):
        assert one.verdict == "unfinished"
        assert one.estimate is None
        assert one.pretrainings == (0 if any(cell[0] == "mm05" for cell in one.contrast.weights) else 2)


def test_a_look_waits_for_every_arm_of_the_plan(tmp_path: Path) -> None:
    def shortened(found: list[Trained], arm: str) -> list[Trained]:
        """With six pre-trainings of an arm in one archive."""
        return [one for one in found if (one.source, one.arm) != ("mm05", arm) or one.seed < 6]

    ten = trained({}, seeds=10)
    assert (look_reached(ten), len(looked_at(ten))) == (10, len(ten))
    for method, arm, look in (
        ("swav", "all-epochs", 5),
        ("dino", "all-epochs", 10),
        ("swav", "kcenter", 5),
    ):
        found = shortened(trained({}, method=method, seeds=10), arm)
        counted = looked_at(found)
        assert look_reached(found) == look
        assert max(one.seed for one in counted) == look - 1
    # Before all have five there is no verdict, whatever the others have.
    early = [one for one in trained(HELPS, seeds=6) if one.arm != "all-epochs" or one.seed < 4]
    assert (look_reached(early), len(looked_at(early))) == (None, len(early))
    assert {one.verdict for one in write_report(early, tmp_path)["swav"]} == {"unfinished"}


def test_report_shows_every_pretraining_and_is_the_same_each_time(tmp_path: Path) -> None:
    none = untrained(result("none", 0.2, 1))
    both = [none, *trained(HELPS), none, *trained({}, method="dino", seeds=1)]
    found = write_report(both, tmp_path / "first")
    write_report(both, tmp_path / "second")
    files = sorted(file.name for file in (tmp_path / "first").iterdir())
    assert files == ["README.md", "contrasts.json", "curve-dino.svg", "curve-swav.svg", "results.csv"]
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    with (tmp_path / "first" / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1 + len(SOURCES) * len(ARMS) * (5 + 1)
    page = (tmp_path / "first" / "README.md").read_text()
    assert "So far 216 pre-trainings. AUC of a linear probe on 160 slices of\n80 unseen synthetic patients" in page
    assert page.count("yes: the first is better") == sum(one.verdict == "larger" for one in found["swav"]) >= 2
    assert page.count("not yet: fewer than 5 pre-trainings") == len(planned("dino"))
    numbers = json.loads((tmp_path / "first" / "contrasts.json").read_text())["methods"]["swav"]["contrasts"]
    assert [one["value"] for one in numbers] == pytest.approx([one.estimate.value for one in found["swav"]])  # type: ignore[union-attr]


def test_finished_pretrainings_are_found_in_an_experiments_folder(tmp_path: Path) -> None:
    steps = [
        {"kind": "reduce", "name": "mm05-hash6", "folder": "reduce/a", "needs": []},
        {
            "kind": "pretrain",
            "name": "mm05-hash6-swav-all-epochs-seed3",
            "folder": "pretrain/a",
            "needs": ["reduce/a"],
        },
        {"kind": "finetune", "name": "lesions-no-pretraining", "folder": "finetune/none", "needs": []},
        {"kind": "finetune", "name": "lesions-mm05-…", "folder": "finetune/a", "needs": ["pretrain/a"]},
        {"kind": "finetune", "name": "lesions-mm1-…", "folder": "finetune/waiting", "needs": ["pretrain/b"]},
    ]
    (tmp_path / "experiment.json").write_text(json.dumps({"steps": steps}))
    (tmp_path / "pretrain" / "a").mkdir(parents=True)
    summary = {"method": "swav", "seed": 3, "slices": 200, "steps": 30, "slices_per_step": 20, "seconds": 4.5}
    (tmp_path / "pretrain" / "a" / "summary.json").write_text(json.dumps(summary))
    probabilities = np.full((1, 160, 2), 0.5)
    for name in ("none", "a"):
        write_result(tmp_path / "finetune" / name, LABELS, probabilities)
    none, found = load_trained(tmp_path)
    assert (none.method, none.arm) == (NOTHING, NOTHING)
    assert (found.method, found.source, found.arm, found.seed) == ("swav", "mm05", "all-epochs", 3)
    assert (found.slices, found.steps, found.epochs, found.seconds) == (200, 30, 3.0, 4.5)


def test_collected_pretrainings_make_the_same_report(tmp_path: Path) -> None:
    everything = trained(HELPS, seeds=5)
    write_report(everything, tmp_path / "first")
    half = len(everything) // 2
    save_collected(everything[:half], tmp_path / "half.npz")
    save_collected([*load_collected(tmp_path / "half.npz"), *everything[half:]], tmp_path / "all.npz")
    again = load_collected(tmp_path / "all.npz")
    write_report(again, tmp_path / "second")
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes(), file.name
    assert [one.seconds for one in again] == [one.seconds for one in everything]
    other = replace(everything[0], result=replace(everything[0].result, split="val"))
    with pytest.raises(EvaluationError, match="expected the test images of"):
        save_collected([*everything[1:], other], tmp_path / "other.npz")


def test_archives_that_are_there_are_left_alone(tmp_path: Path) -> None:
    tiny = {"mm10": ARCHIVES["mm10"] | {"patients": 1, "length_mm": 20}}
    write_archives(tmp_path, tiny)
    assert len(list((tmp_path / "mm10").rglob("IM*"))) == 3
    (tmp_path / "mm10" / "labels.csv").write_text("mine")
    write_archives(tmp_path, tiny)
    assert (tmp_path / "mm10" / "labels.csv").read_text() == "mine"
    # The doses are archives of the same patients.
    others = [{key: value for key, value in one.items() if key != "spacing_mm"} for one in ARCHIVES.values()]
    assert all(one == others[0] for one in others[:6])
    assert others[6]["seed"] != others[0]["seed"]
