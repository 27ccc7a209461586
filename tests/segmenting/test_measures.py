"""Dice and volumetric similarity against a plain loop, with the convention of empty masks; their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from ctprune.segmenting.dice import by_patient, count_voxels, measures_of
from ctprune.segmenting.loss import segmentation_loss
from ctprune.segmenting.measured import measure


def test_dice_equals_a_plain_loop_and_f1_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    predicted, reference = (random.integers(0, 4, (3, 5, 6)).astype(np.uint8) for _ in range(2))
    counts = count_voxels(predicted, reference, 3)
    for number in (1, 2, 3):
        both = mine = theirs = 0
        for one, other in zip(predicted.ravel(), reference.ravel(), strict=True):
            both += one == other == number
            mine += one == number
            theirs += other == number
        assert counts[number - 1].tolist() == [both, mine, theirs]
        found = {name: float(value[number - 1]) for name, value in measures_of(counts).items()}
        assert found["dice"] == pytest.approx(2 * both / (mine + theirs))
        assert found["dice"] == pytest.approx(f1_score(reference.ravel() == number, predicted.ravel() == number))
        assert found["volumetric_similarity"] == pytest.approx(1 - abs(mine - theirs) / (mine + theirs))


def test_a_patients_volumes_count_together() -> None:
    counts = np.arange(2 * 4 * 1 * 3).reshape(2, 4, 1, 3)
    patients, found = by_patient(counts, ["b", "a", "b", "c"])
    assert patients == ["b", "a", "c"]
    np.testing.assert_array_equal(found[:, 0], counts[:, 0] + counts[:, 2])
    np.testing.assert_array_equal(found[:, 1:], counts[:, [1, 3]])


#: Seeds, patients, classes, (both, predicted, reference): of the second class only two patients have any.
COUNTS = np.array(
    [
        [[[8, 10, 10], [0, 4, 0]], [[5, 10, 10], [2, 4, 4]], [[0, 0, 10], [0, 0, 0]]],
        [[[9, 10, 10], [0, 0, 0]], [[5, 10, 10], [3, 4, 4]], [[2, 10, 10], [0, 0, 0]]],
    ]
)


def test_empty_masks_count_as_the_convention_says() -> None:
    found = measure(COUNTS, ["a", "b", "c"], ["organ", "tumor"])
    organ = [(0.8 + 0.5 + 0) / 3, (0.9 + 0.5 + 0.2) / 3]
    # Predicted where there is none: 0. Of the second seed nothing is predicted there: not defined.
    tumor = [(0 + 0.5) / 2, 0.75]
    assert found.by_class["organ"]["dice"]["mean"] == pytest.approx(np.mean(organ))
    assert found.by_class["tumor"]["dice"]["mean"] == pytest.approx(np.mean(tumor))
    assert found.pooled["dice"]["mean"] == pytest.approx(np.mean([organ, tumor]))
    assert found.pooled["dice"]["std"] == pytest.approx(np.std(np.mean([organ, tumor], axis=0), ddof=1))
    assert [one["dice"] for one in found.by_seed] == pytest.approx(np.mean([organ, tumor], axis=0).tolist())
    assert found.defined == {"organ": 3, "tumor": 2}
    assert found.no_interval == "3 patients: no interval can be estimated from fewer than 6"
    assert math.isnan(found.pooled["dice"]["low"])


def test_the_interval_is_that_of_resampled_patients() -> None:
    random = np.random.default_rng(3)
    both = random.integers(0, 11, (1, 12, 2))
    counts = np.stack([both, np.full_like(both, 10), np.full_like(both, 10)], axis=-1)
    # Of the second class only five patients have any.
    counts[:, 5:, 1] = 0
    found = measure(counts, [str(number) for number in range(12)], ["organ", "tumor"])
    organ = found.by_class["organ"]["dice"]
    dice = both[0, :, 0] / 10
    draws = random.choice(dice, (4000, 12)).mean(axis=1)
    np.testing.assert_allclose([organ["low"], organ["high"]], np.percentile(draws, [2.5, 97.5]), atol=0.03)
    assert organ["low"] < organ["mean"] < organ["high"]
    assert math.isnan(found.by_class["tumor"]["dice"]["low"])
    assert math.isnan(found.pooled["dice"]["low"])
    assert found.no_interval == "5 patients: no interval can be estimated from fewer than 6"


def test_the_loss_equals_a_plain_loop() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    entropy, both, sums = 0.0, [0.0] * 3, [0.0] * 3
    for n, i, j in np.ndindex(2, 4, 5):
        exp = [math.exp(float(logits[n, c, i, j])) for c in range(3)]
        p = [value / sum(exp) for value in exp]
        truth = int(labels[n, i, j])
        entropy -= math.log(p[truth]) / 40
        for c in range(3):
            both[c] += p[c] * (c == truth)
            sums[c] += p[c] + (c == truth)
    dice = [(2 * both[c] + 1) / (sums[c] + 1) for c in (1, 2)]
    assert float(segmentation_loss(logits, labels)) == pytest.approx(entropy + 1 - sum(dice) / 2, abs=1e-5)
