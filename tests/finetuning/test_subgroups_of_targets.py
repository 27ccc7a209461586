"""Subgroups of several labels and of levels, against scikit-learn and a plain loop of resamples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, recall_score, roc_auc_score

from ctprune.evaluation.estimate import mean_estimate
from ctprune.evaluation.measured import worth_of
from ctprune.finetuning.bags import Units
from ctprune.finetuning.splits import Splits
from ctprune.finetuning.subgroup_tables import subgroup_lines, subgroup_sentences
from ctprune.finetuning.target_measured import measure_target
from ctprune.tasks.listing import Entry

LEVELS = ("none", "mild", "severe")

#: What one seed's predictions for these images are worth.
Measure = Callable[[list[int], int], float]


def measured(
    target: str, names: tuple[str, ...], cells: list[str], sites: list[str], predictions: np.ndarray
) -> dict[str, Any]:
    """The report by site of seeds' predictions, (seeds, images, columns); two images of each patient."""
    entries = [
        Entry(f"{number}.png", cell, "test", f"p{number // 2}", subgroups=(site,))
        for number, (cell, site) in enumerate(zip(cells, sites, strict=True))
    ]
    zeros = np.zeros(len(entries), np.int64)
    images = Units("image", entries, zeros, zeros, ("images",), target, names, np.arange(len(entries)))
    splits = Splits(np.full(len(entries), "test"), "test", "val", ())
    [found] = measure_target(images, splits, dict(enumerate(predictions)), ["site"]).of_all["subgroups"]
    return found  # type: ignore[no-any-return]


def two_sites(shares: dict[str, float], images: int) -> tuple[np.ndarray, list[str], np.ndarray, dict[str, Any]]:
    """Truth, sites, predictions and report of labels with these shares; the labels of site b are harder to see."""
    random = np.random.default_rng(3)
    names = tuple(sorted(shares))
    truth = np.zeros((images, len(names)), np.int64)
    for column, name in enumerate(names):
        truth[:: round(1 / shares[name]), column] = 1
    sites = ["ab"[number * 2 // images] for number in range(images)]
    skill = np.where(np.array(sites) == "a", 2.0, 0.5)[:, None]
    logits = skill * truth - 1 + random.normal(size=truth.shape) + 0.3 * random.normal(size=(2, *truth.shape))
    # Equal scores count as half a win.
    predictions = np.round(1 / (1 + np.exp(-logits)), 2)
    cells = [";".join(name for name, has in zip(names, row, strict=True) if has) for row in truth]
    return truth, sites, predictions, measured("multi-label", names, cells, sites, predictions)


def plain_auc(truth: np.ndarray, score: np.ndarray) -> float:
    there, not_there = score[truth == 1][:, None], score[truth == 0]
    return float((there > not_there).mean() + (there == not_there).mean() / 2)


def by_loop(
    measure: Measure, sites: list[str], seeds: int, worths: list[float]
) -> tuple[float, tuple[float, float]]:
    """Value of site a minus that of site b, and its interval, from resamples of patients with two images each."""

    def difference(images: list[int]) -> list[float]:
        mine = {site: [image for image in images if sites[image] == site] for site in "ab"}
        return [measure(mine["a"], seed) - measure(mine["b"], seed) for seed in range(seeds)]

    patients = len(sites) // 2
    raw = np.random.PCG64(0).random_raw(500 * patients).reshape(500, patients)
    drawn = [[int((number >> 11) * 2.0**-53 * patients) for number in line] for line in raw.tolist()]
    samples = np.array([difference([2 * p + k for p in line for k in (0, 1)]) for line in drawn]).T
    everything = np.array(difference(list(range(len(sites)))))
    covariance = np.cov(samples) * patients / (patients - 1)
    found = mean_estimate(everything, covariance, image_freedom=min(worths) - 1)
    return float(everything.mean()), found.interval(0.05)


def worths_of(labels: np.ndarray, sites: list[str]) -> list[float]:
    units = np.arange(len(sites)) // 2
    parts = [np.array(sites) == site for site in "ab"]
    return [worth_of(labels[part], units[part]) for part in parts]


def check_gap(gap: dict[str, Any], expected: tuple[float, tuple[float, float]]) -> None:
    assert (gap["highest"], gap["lowest"]) == ("a", "b")
    assert gap["difference"] == pytest.approx(expected[0])
    assert (gap["low"], gap["high"]) == pytest.approx(expected[1])


def test_a_rare_label_leaves_the_others_measured() -> None:
    truth, sites, predictions, found = two_sites({"common": 0.5, "rare": 0.01}, 400)
    reason = "2 patients with images with label rare: no interval can be estimated from fewer than 6"
    assert [(one["value"], one["pooled"], one["reason"]) for one in found["groups"]] == [
        ("a", None, reason),
        ("b", None, reason),
    ]
    common, rare = found["by_output"]["common"], found["by_output"]["rare"]
    assert [one["reason"] for one in rare["groups"]] == [reason, reason]
    assert (rare["gaps"], rare["pairs"], found["gaps"], found["pairs"]) == ({}, 0, {}, 0)
    for group in common["groups"]:
        mine = np.array(sites) == group["value"]
        assert (group["images"], group["patients"], group["reason"]) == (200, 100, None)
        expected = [roc_auc_score(truth[mine, 0], seed[mine, 0]) for seed in predictions]
        assert group["pooled"]["auc"]["mean"] == pytest.approx(np.mean(expected))
        assert group["pooled"]["auc"]["low"] < np.mean(expected) < group["pooled"]["auc"]["high"]
        expected = [recall_score(truth[mine, 0], seed[mine, 0] > 0.5) for seed in predictions]
        assert group["pooled"]["sensitivity"]["mean"] == pytest.approx(np.mean(expected))
    assert common["gaps"]["auc"]["low"] > 0
    text = "\n".join(subgroup_lines(found, "image", {"auc": {}, "sensitivity": {}}, "label"))
    assert "| site | images | patients | AUC |\n|---|---|---|---|\n| a | 200 | 100 | 2 patients with" in text
    assert "| label | site a | site b | largest gap |\n|---|---|---|---|\n| common | 0." in text
    assert f"), a above b |\n| rare | {reason} | {reason} | – |" in text
    lines = subgroup_sentences(found, {"auc": {}})
    assert [line.partition(" by site: ")[0] for line in lines] == [
        *("AUC", "common: AUC", "common: largest gap", "rare: AUC")
    ]
    assert "largest gap by site: the AUC of a is 0." in lines[2]


def test_gaps_of_labels_and_of_their_mean_equal_a_plain_loop() -> None:
    truth, sites, predictions, found = two_sites({"one": 0.5, "two": 0.25}, 80)
    worths = [worths_of(column, sites) for column in truth.T]

    def of_label(column: int) -> Measure:
        return lambda images, seed: plain_auc(truth[images, column], predictions[seed, images, column])

    for column, name in enumerate(("one", "two")):
        expected = by_loop(of_label(column), sites, 2, worths[column])
        check_gap(found["by_output"][name]["gaps"]["auc"], expected)
    mean = by_loop(
        lambda images, seed: (of_label(0)(images, seed) + of_label(1)(images, seed)) / 2,
        sites,
        2,
        [*worths[0], *worths[1]],
    )
    check_gap(found["gaps"]["auc"], mean)
    of_groups = [group["pooled"]["auc"]["mean"] for group in found["groups"]]
    assert of_groups[0] - of_groups[1] == pytest.approx(mean[0])


def levels_at(sites: list[str], level: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    random = np.random.default_rng(5)
    skill = np.where(np.array(sites) == "a", 1.5, 0.4)[:, None]
    score = skill * (level[:, None] - 1) + random.normal(size=(len(sites), 1))
    passed = 1 / (1 + np.exp(-score - [0.5, -0.5] - 0.2 * random.normal(size=(2, len(sites), 1))))
    ends = [np.ones((2, len(sites), 1)), passed, np.zeros((2, len(sites), 1))]
    shares = -np.diff(np.concatenate(ends, axis=2), axis=2)
    return shares, measured("ordinal", LEVELS, [LEVELS[one] for one in level], sites, shares)


def test_levels_by_subgroup_equal_scikit_learn_and_a_plain_loop() -> None:
    sites, level = ["a"] * 60 + ["b"] * 60, np.arange(120) % 3
    shares, found = levels_at(sites, level)
    guess = (shares.cumsum(axis=2)[:, :, :2] < 0.5).sum(axis=2)
    for group in found["groups"]:
        mine = np.array(sites) == group["value"]
        kappas = [cohen_kappa_score(level[mine], one[mine], weights="quadratic") for one in guess]
        assert group["pooled"]["quadratic_kappa"]["mean"] == pytest.approx(np.mean(kappas))
    check_gap(
        found["gaps"]["accuracy"],
        by_loop(
            lambda images, seed: float((guess[seed, images] == level[images]).mean()),
            sites,
            2,
            worths_of(level, sites),
        ),
    )
    for threshold, name in enumerate(("above none", "above mild")):
        above, score = (level > threshold).astype(int), shares[:, :, threshold + 1 :].sum(axis=2)
        one = found["by_output"][name]
        for group in one["groups"]:
            mine = np.array(sites) == group["value"]
            areas = [roc_auc_score(above[mine], seed[mine]) for seed in score]
            assert group["pooled"]["auc"]["mean"] == pytest.approx(np.mean(areas))
        check_gap(
            one["gaps"]["auc"],
            by_loop(
                lambda images, seed, above=above, score=score: plain_auc(above[images], score[seed, images]),
                *(sites, 2, worths_of(above, sites)),
            ),
        )


def test_a_level_that_a_subgroup_lacks_leaves_other_thresholds_measured() -> None:
    sites = ["a"] * 60 + ["b"] * 60
    _, found = levels_at(sites, np.where(np.array(sites) == "a", np.arange(120) % 3, np.arange(120) % 2))
    assert [one["reason"] for one in found["groups"]] == [None, "no image of level severe"]
    none, mild = found["by_output"]["above none"], found["by_output"]["above mild"]
    assert ([one["reason"] for one in none["groups"]], list(none["gaps"])) == ([None, None], ["auc"])
    assert [one["reason"] for one in mild["groups"]] == [None, "no image above mild"]
    text = "\n".join(subgroup_lines(found, "image", {"quadratic_kappa": {}, "auc": {}}, "threshold"))
    assert "| threshold | site a | site b | largest gap |" in text
    assert "| no image above mild | – |" in text
