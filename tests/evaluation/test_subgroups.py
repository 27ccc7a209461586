"""Measures by subgroup against scikit-learn and a plain loop of resamples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ctprune.evaluation.class_judge import ClassJudge
from ctprune.evaluation.estimate import mean_estimate
from ctprune.evaluation.measured import worth_of
from ctprune.evaluation.pooled import pooled_metrics
from ctprune.evaluation.subgroups import BySubgroup, in_order, measure_subgroups
from tests.evaluation.some import some_predictions

CLASSES = ("healthy", "ill")


def three_sites() -> tuple[np.ndarray, np.ndarray, list[str | None], list[str | None]]:
    """Two seeds' predictions for 200 images of 100 patients at sites a and b, and 6 images of site c."""
    labels, first, _ = some_predictions(206, 2, 0)
    # Of site b the predictions know nothing.
    first[100:200] = first[100:200].mean(axis=0)
    first[100:200, 1] += np.random.default_rng(1).uniform(-0.2, 0.2, 100)
    first[100:200, 0] = 1 - first[100:200, 1]
    second = (first + 0.3) / 1.6
    second[:6] = second[:6][::-1]
    patients = [f"p{image // 2}" for image in range(206)]
    sites = ["a"] * 100 + ["b"] * 100 + ["c"] * 4 + [None] * 2
    return labels, np.stack([first, second]), list(patients), sites


def judged() -> tuple[ClassJudge, BySubgroup, list[str | None]]:
    labels, probabilities, patients, sites = three_sites()
    judge = ClassJudge(labels, probabilities, CLASSES, "ill", patients)
    return judge, measure_subgroups("site", sites, patients, judge), sites


def test_each_subgroup_is_measured_as_if_it_were_alone() -> None:
    judge, found, sites = judged()
    assert [(one.value, one.images, one.patients) for one in found.groups] == [
        *(("a", 100, 50), ("b", 100, 50)),
        ("c", 4, 2),
    ]
    assert found.images_without == 2
    for one in found.groups[:2]:
        rows = np.array([site == one.value for site in sites])
        alone = pooled_metrics(
            judge.labels[rows],
            judge.probabilities[:, rows],
            CLASSES,
            patients=[patient for patient, mine in zip(judge.patients, rows, strict=True) if mine],
            positive="ill",
        )
        assert one.pooled == alone
        of_seeds = [roc_auc_score(judge.labels[rows], seed[rows, 1]) for seed in judge.probabilities]
        assert alone["auc"]["mean"] == pytest.approx(np.mean(of_seeds))
    assert found.groups[2].pooled is None
    assert found.groups[2].reason == "2 patients: no interval can be estimated from fewer than 6"


def plain_auc(labels: np.ndarray, score: np.ndarray) -> float:
    ill, healthy = score[labels == 1][:, None], score[labels == 0]
    return float((ill > healthy).mean() + (ill == healthy).mean() / 2)


def test_a_gap_equals_a_plain_loop() -> None:
    judge, found, sites = judged()
    gap = found.gaps["auc"]
    assert (gap.highest, gap.lowest, found.pairs) == ("a", "b", 1)

    def difference(images: list[int]) -> list[float]:
        auc = {}
        for site in "ab":
            rows = [image for image in images if sites[image] == site]
            auc[site] = [plain_auc(judge.labels[rows], seed[rows, 1]) for seed in judge.probabilities]
        return [a - b for a, b in zip(auc["a"], auc["b"], strict=True)]

    everything = difference(list(range(200)))
    assert gap.difference == pytest.approx(np.mean(everything))
    generator = np.random.PCG64(0)
    raw = generator.random_raw(500 * 100).reshape(500, 100)
    drawn = [[int((number >> 11) * 2.0**-53 * 100) for number in line] for line in raw.tolist()]
    samples = np.array([difference([2 * p + k for p in line for k in (0, 1)]) for line in drawn[:500]]).T
    units = np.arange(200) // 2
    expected = mean_estimate(
        np.array(everything),
        np.cov(samples) * 100 / 99,
        image_freedom=min(worth_of(judge.labels[part], units[part]) for part in (slice(100), slice(100, 200))) - 1,
    )
    assert (gap.low, gap.high) == pytest.approx(expected.interval(0.05))
    assert gap.low > 0


def test_the_interval_of_a_gap_is_wider_with_more_pairs() -> None:
    labels, probabilities, patients, sites = three_sites()
    judge = ClassJudge(labels, probabilities, CLASSES, "ill", patients)
    halves = [site and (f"{site}{image // 50 % 2}" if site == "a" else site) for image, site in enumerate(sites)]
    two, three = judged()[1], measure_subgroups("site", halves, patients, judge)
    assert (two.pairs, three.pairs) == (1, 3)
    wide, narrow = (one.gaps["accuracy"] for one in (three, two))
    assert wide.high - wide.low > narrow.high - narrow.low


def test_one_subgroup_has_no_gap_and_equal_ones_a_gap_of_zero() -> None:
    labels, probabilities, _ = some_predictions(60, 2, 3)
    twice = np.concatenate([labels, labels]), np.concatenate([probabilities, probabilities])[None]
    patients: list[str | None] = [f"p{image}" for image in range(120)]
    judge = ClassJudge(*twice, CLASSES, "ill", patients)
    assert measure_subgroups("sex", ["f"] * 120, patients, judge).gaps == {}
    gap = measure_subgroups("sex", ["f"] * 60 + ["m"] * 60, patients, judge).gaps["auc"]
    assert (gap.highest, gap.lowest, gap.difference) == ("f", "m", 0.0)
    assert gap.low < 0 < gap.high


def test_a_subgroup_without_a_class_names_it() -> None:
    labels, probabilities, _ = some_predictions(60, 2, 3)
    values = ["x" if label else "y" for label in labels]
    judge = ClassJudge(labels, probabilities[None], CLASSES, "ill", [None] * 60)
    found = measure_subgroups("site", values, [None] * 60, judge)
    assert [one.reason for one in found.groups] == ["no image of class healthy", "no image of class ill"]
    assert (found.gaps, found.pairs, found.groups[0].patients) == ({}, 0, 0)
    assert not any(math.isnan(value) for value in in_numbers(["2", "10"]))


def in_numbers(values: list[str | None]) -> list[float]:
    assert in_order(values) == ["2", "10"]
    return [float(value) for value in in_order(values)]
