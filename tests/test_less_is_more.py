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
from experiments.less_is_more.by_seed import estimates_by_seed
from experiments.less_is_more.collected import load_collected, save_collected
from experiments.less_is_more.contrasts import (
    answers,
    gain_over_nothing,
    look_reached,
    looked_at,
    measured_cells,
    planned,
)
from experiments.less_is_more.page import write_report
from experiments.less_is_more.trained import ARMS, NOTHING, Trained, load_trained, untrained, whole_probabilities
from sklearn.metrics import roc_auc_score

from ctprune.comparison.result import Result
from ctprune.comparison.verdict import signed
from ctprune.errors import EvaluationError, SourceError
from tests.results import write_result

SWAV, LONGER, AGAIN = planned("swav")
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
        pretraining_seeds=(seed,),
        images=tuple(f"{number}.dcm" for number in range(len(LABELS))),
        labels=LABELS,
        # As results are stored.
        probabilities=whole_probabilities(ill.astype(np.float32)[None, :, None]),
        patients=tuple(f"P{number // 2}" for number in range(len(LABELS))),
        config={"positive": "1"},
        weights={"slices": 100},
        seconds=1.0,
    )


def without_weights() -> Result:
    return replace(result("none", 0.2, 1), weights=None)


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
    everything = trained(HELPS)
    cells, found = measured_cells(everything)
    difference = found.difference(cells["mixed", "hash"], cells["mixed", "all"], "auc")
    for contrast in (one for family in planned("swav") for one in family.contrasts):
        assert sum(contrast.weights.values()) == pytest.approx(0)
    answered = {one.contrast.name: one for one in answers(SWAV, everything, (cells, found))}
    assert answered["mixed"].estimate.value == pytest.approx(difference.value)  # type: ignore[union-attr]
    assert answered["mixed"].independent >= difference.p_value() != answered["mixed"].estimate.p_value()  # type: ignore[union-attr]
    of_cells = {cell: float(found.values(index, "auc").mean()) for cell, index in cells.items()}
    differences = [of_cells[source, "hash"] - of_cells[source, "all"] for source in DOSES_MM]
    assert answered["steps"].estimate.value == pytest.approx(np.mean(differences[2:]))  # type: ignore[union-attr]
    slices = [math.log2(1 / mm) for mm in DOSES_MM.values()]
    slope = np.polyfit(slices, differences, 1)[0]
    assert answered["dose"].estimate.value == pytest.approx(slope)  # type: ignore[union-attr]


def auc_by_loop(one: Trained, keep: np.ndarray | None = None) -> float:
    of = slice(None) if keep is None else keep
    return float(roc_auc_score(one.result.labels[of], one.result.probabilities[0, of, 1]))


def test_a_contrasts_error_is_that_of_its_values_by_seed() -> None:
    everything = trained({}, seeds=6)
    weights = {("mm1", "hash"): 0.5, ("mm2", "hash"): 0.5, ("mm2", "all"): -1.0}
    chosen = [one for one in everything if (one.source, one.arm) in weights]
    # Not in order, and one seed that an arm does not have.
    chosen = [one for one in reversed(chosen) if (one.arm, one.seed) != ("all", 2)]
    [found] = estimates_by_seed(chosen, [weights])
    seeds = (0, 1, 3, 4, 5)

    def by_seed(keep: np.ndarray | None = None) -> np.ndarray:
        of = {(one.source, one.arm, one.seed): auc_by_loop(one, keep) for one in chosen}
        return np.array([sum(weight * of[(*cell, seed)] for cell, weight in weights.items()) for seed in seeds])

    values = by_seed()
    assert found.value == pytest.approx(values.mean())
    # What leaving out each patient in turn changes: the patients' part of each seed's value.
    patients = np.array(everything[0].result.patients)
    without = np.array([by_seed(patients != patient) for patient in np.unique(patients)])
    covariance = np.cov(without, rowvar=False) * (len(without) - 1) ** 2 / len(without)
    shared = (covariance.sum() - covariance.trace()) / 20
    of_seeds = max(values.var(ddof=1), covariance.trace() / 5 - shared) / 5
    assert found.error == pytest.approx(math.sqrt(of_seeds + max(shared, 0)), rel=0.05)


def alike(one: Trained, seed: int) -> Trained:
    """With the predictions of a seed, as if the first weights decided everything."""
    same = result(one.result.name, 0.6, seed).probabilities
    return replace(one, result=replace(one.result, probabilities=same))


def test_what_arms_of_a_seed_share_is_counted_where_it_does_not_cancel() -> None:
    # All arms share the luck of their seed: their difference is sure.
    same = [alike(one, one.seed) for one in trained({})]
    steps = {name: next(one for one in SWAV.contrasts if one.name == name) for name in ("steps", "epochs")}
    [difference] = estimates_by_seed(same, [steps["steps"].weights])
    assert (difference.value, difference.error) == (pytest.approx(0), 0)
    # Both archives of an arm share the luck, and the other arm's another one: taken for independent, the error is
    # too small by √2.
    apart = [alike(one, one.seed + (1000 if one.arm == "all-epochs" else 0)) for one in trained({}, seeds=10)]
    cells, found = measured_cells(apart)
    weights = steps["epochs"].weights
    independent = found.combination({cells[cell]: weight for cell, weight in weights.items()}, "auc")
    [by_seed] = estimates_by_seed(apart, [weights])
    assert 1.2 < by_seed.error / independent.error < 1.8


def test_a_contrast_without_a_common_seed_has_no_error() -> None:
    everything = trained({}, seeds=2)
    parted = [one for one in everything if one.seed == (one.arm == "hash")]
    with pytest.raises(ValueError, match="a seed that all cells have"):
        estimates_by_seed(parted, [SWAV.contrasts[0].weights])


def test_answers_say_what_is_shown() -> None:
    verdicts = {one.contrast.name: one.verdict for one in answers(SWAV, trained(HELPS))}
    assert (verdicts["steps"], verdicts["dose"]) == ("larger", "larger")
    assert verdicts["mixed"] in ("equivalent", "unanswered")
    # Nothing is said before there are five pre-trainings of each arm that a contrast compares, or any at all.
    few = trained(HELPS, seeds=2)
    for one in answers(SWAV, [one for one in few if one.source != "mm05"]):
        assert one.verdict == "unfinished"
        assert one.estimate is None
        assert one.pretrainings == (0 if any(cell[0] == "mm05" for cell in one.contrast.weights) else 2)


def test_a_look_waits_for_every_arm_of_the_plan(tmp_path: Path) -> None:
    def shortened(found: list[Trained], arm: str) -> list[Trained]:
        """With six pre-trainings of an arm in one archive."""
        return [one for one in found if (one.source, one.arm) != ("mm05", arm) or one.seed < 6]

    ten = trained({}, seeds=10)
    assert (look_reached(ten, SWAV), len(looked_at(ten, SWAV))) == (10, len(ten))
    for method, arm, look in (
        ("swav", "all-epochs", 5),
        ("dino", "all-epochs", 10),
        ("swav", "kcenter", 5),
    ):
        found = shortened(trained({}, method=method, seeds=10), arm)
        counted = looked_at(found, planned(method)[0])
        assert look_reached(found, planned(method)[0]) == look
        assert max(one.seed for one in counted) == look - 1
    # Arms with five seeds each, but not the same ones, cannot be compared seed by seed.
    shifted = [replace(one, seed=one.seed + (one.arm == "kcenter")) for one in trained({})]
    assert look_reached(shifted, SWAV) is None
    # Before all have five there is no verdict, whatever the others have.
    early = [one for one in trained(HELPS, seeds=6) if one.arm != "all-epochs" or one.seed < 4]
    assert (look_reached(early, SWAV), len(looked_at(early, SWAV))) == (None, len(early))
    assert {one.verdict for one in write_report(early, tmp_path)["swav"]} == {"unfinished"}


def test_longer_trainings_are_a_family_of_their_own(tmp_path: Path) -> None:
    # The others' look does not wait for this arm, nor this arm for them.
    without = [one for one in trained(HELPS) if one.arm != "hash-longer"]
    assert (look_reached(without, SWAV), look_reached(without, LONGER)) == (5, None)
    alone = [one for one in trained({("mm2", "hash-longer"): 1.2}) if (one.source, one.arm) in LONGER.cells]
    assert (look_reached(alone, SWAV), look_reached(alone, LONGER)) == (None, 5)
    [answer] = answers(LONGER, alone)
    assert (answer.verdict, answer.level) == ("larger", 0.05)
    # With a single contrast nothing is corrected.
    assert answer.estimate is not None
    assert answer.corrected == answer.estimate.p_value()
    assert (answer.low, answer.high) == answer.estimate.interval()
    write_report([*without, *alone], tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "### SwAV: Longer trainings\n\n**Look 1 of 1**: 5 pre-trainings of every arm.\n" in page
    numbers = json.loads((tmp_path / "contrasts.json").read_text())["methods"]["swav"]["contrasts"]
    assert [one["level"] for one in numbers] == [0.025] * len(SWAV.contrasts) + [0.05, 0.05]


def test_new_seeds_are_tested_without_those_that_had_their_verdict(tmp_path: Path) -> None:
    # The first five seeds show a difference, the next five the reverse.
    early = trained({("mm2", "hash-longer"): 1.2})
    late = [one for one in trained({("mm2", "hash-longer"): 0.2}, seeds=10) if one.seed >= 5]
    assert (look_reached(early, LONGER), look_reached(early, AGAIN)) == (5, None)
    four = [one for one in late if (one.arm, one.seed) != ("hash-longer", 9)]
    assert (look_reached(early + four, AGAIN), look_reached(late, AGAIN)) == (None, 5)
    assert [one.pretrainings for one in answers(AGAIN, early)] == [0]
    both = early + late
    for family, seeds in ((LONGER, {0, 1, 2, 3, 4}), (AGAIN, {5, 6, 7, 8, 9})):
        assert {one.seed for one in looked_at(both, family)} == seeds
    found = write_report(both, tmp_path)["swav"]
    verdicts = {one.contrast.name: one.verdict for one in found}
    assert (verdicts["longer"], verdicts["longer-again"]) == ("larger", "smaller")
    page = (tmp_path / "README.md").read_text()
    assert "### SwAV: Longer trainings, five new seeds\n\n**Look 1 of 1**" in page
    of_seeds = {
        (one.arm, one.seed): auc_by_loop(one)
        for one in both
        if one.source == "mm2" and one.arm in ("hash-longer", "all-epochs")
    }
    mean = np.mean([of_seeds["hash-longer", seed] - of_seeds["all-epochs", seed] for seed in range(10)])
    assert f"over all 10 seeds the value is {signed(float(mean))} [" in page


def test_report_shows_every_pretraining_and_is_the_same_each_time(tmp_path: Path) -> None:
    none = untrained(without_weights())
    both = [*none, *trained(HELPS), *none, *trained({}, method="dino", seeds=1)]
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
    assert "So far 252 pre-trainings. AUC of a linear probe on 160 slices of\n80 unseen synthetic patients" in page
    larger = [one.contrast.name for one in found["swav"] if one.verdict == "larger"]
    assert {"steps", "dose"} <= set(larger)
    assert page.count("| hash is better |") == len(larger) - 1
    assert "| 0.5 mm | 100 | 100 (100 %) |" in page
    assert page.count("| hash gains with redundancy |") == 1
    assert "## SwAV\n\n**Look 1 of 2**: 5 pre-trainings of every arm.\n" in page
    assert "## DINO\n\n**No look yet**: 1 of 5 pre-trainings of every arm" in page
    # The new seeds of SwAV are not there either.
    assert page.count("| not yet |") == len(planned("dino")[0].contrasts) + 1
    numbers = json.loads((tmp_path / "first" / "contrasts.json").read_text())["methods"]["swav"]["contrasts"]
    values = [None if one.estimate is None else one.estimate.value for one in found["swav"]]
    assert [one["value"] for one in numbers] == [
        None if value is None else pytest.approx(value) for value in values
    ]


def test_the_second_look_tells_what_the_first_had_answered(tmp_path: Path) -> None:
    # From the sixth seed on, the hash does harm.
    turned = {(source, "hash"): -1.0 for source in SOURCES}
    early, late = trained(HELPS), [one for one in trained(turned, seeds=10) if one.seed >= 5]
    write_report([*early, *late], tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "**Look 2 of 2**: 10 pre-trainings of every arm. The look at 5 had answered: steps: hash is" in page
    assert "hash is better |" not in page


def test_networks_without_pretraining_are_told_by_seed(tmp_path: Path) -> None:
    probabilities = np.concatenate([result("none", 0.2, 100 + seed).probabilities for seed in range(5)])
    write_result(tmp_path / "none", LABELS, probabilities, classes=("0", "1"))
    nothing = load_trained(tmp_path / "none")
    assert [(one.method, one.seed, one.result.seeds) for one in nothing] == [(NOTHING, s, (s,)) for s in range(5)]
    write_result(tmp_path / "given", LABELS, probabilities, classes=("0", "1"), weights={"method": "swav"})
    with pytest.raises(EvaluationError, match="given: expected a fine-tuning of random weights"):
        load_trained(tmp_path / "given")
    with pytest.raises(SourceError, match="nowhere: no such folder: name one of"):
        load_trained(tmp_path / "nowhere")
    nothing = [one for seed in range(5) for one in untrained(replace(without_weights(), seeds=(seed,)))]
    gain = gain_over_nothing([*trained({}), *nothing], least=5)
    equal = np.mean([auc_by_loop(one) for one in trained({}) if one.arm not in ("all-epochs", "hash-longer")])
    assert gain is not None
    assert gain.value == pytest.approx(equal - auc_by_loop(nothing[0]))
    assert gain_over_nothing([*trained({}), *nothing[:4]], least=5) is None
    assert gain_over_nothing([*trained({}, seeds=4), *nothing], least=5) is None
    save_collected([*trained({}, seeds=1), *nothing], tmp_path / "all.npz")
    assert [one.seed for one in load_collected(tmp_path / "all.npz") if one.method == NOTHING] == list(range(5))


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
