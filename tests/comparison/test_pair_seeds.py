"""Pre-trainings of the same seed, compared with each other."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

import ctprune
from benches import pair_seeds
from ctprune.comparison.comparison import Comparison
from ctprune.errors import ConfigError
from ctprune.evaluation.estimate import paired_estimate
from tests.comparison.made_up import LABELS, of_one_way
from tests.conftest import Cli
from tests.results import predictions, write_result

#: How skilled the backbone of each seed is, whatever was pre-trained on.
LUCK = np.array([0.6, 1.4, 0.9, 1.8, 1.1])


@pytest.fixture(scope="module")
def two_ways(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five pre-trainings each: `hash` is a little better than `all` with every seed."""
    folder = tmp_path_factory.mktemp("ways")
    worse = of_one_way(folder / "all", LUCK, seed=10)
    return worse + of_one_way(folder / "hash", LUCK + 0.15, seed=10)


def compared(folders: Sequence[Path], **options: object) -> Comparison:
    names = [folder.parent.name for folder in folders]
    return ctprune.compare(folders, names=names, contrasts=[["hash", "all"]], resamples=100, **options)  # type: ignore[arg-type]


def test_without_images_it_is_the_paired_t_test() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(0.8, 0.02, size=6), random.normal(0.75, 0.05, size=6)
    found = paired_estimate([first, second], [1, -1], [[np.zeros((6, 6))] * 2] * 2, image_freedom=100)
    paired = stats.ttest_rel(first, second)
    assert (found.value, found.p_value()) == (pytest.approx((first - second).mean()), pytest.approx(paired.pvalue))
    assert found.freedom == pytest.approx(paired.df)
    assert found.interval() == pytest.approx(tuple(paired.confidence_interval()))


def test_what_seeds_share_cancels(two_ways: list[Path]) -> None:
    apart, paired = compared(two_ways), compared(two_ways, pair_seeds=True)
    assert (apart.pair_seeds, apart.pairs[0].paired) == (False, False)
    assert (paired.pair_seeds, paired.pairs[0].paired) == (True, True)
    assert (apart.pairs[0].verdict, paired.pairs[0].verdict) == ("noise", "larger")
    for name, difference in apart.pairs[0].differences.items():
        assert paired.pairs[0].differences[name].value == pytest.approx(difference.value), name
    # Each result alone is as before.
    assert paired.measures == apart.measures


def test_numbers_are_those_of_a_loop_over_seeds(two_ways: list[Path]) -> None:
    found = compared(two_ways, pair_seeds=True)
    [hash_, all_] = (next(one for one in found.results if one.name == name) for name in ("hash", "all"))

    def differences(keep: np.ndarray) -> np.ndarray:
        """Of each seed the mean AUC of both fine-tunings of `hash` less that of `all`."""
        areas = np.array(
            [[roc_auc_score(LABELS[keep], one[keep, 1]) for one in way.probabilities] for way in (hash_, all_)]
        )
        of_seeds: np.ndarray = areas.reshape(2, 5, 2).mean(axis=2)
        return of_seeds[0] - of_seeds[1]

    values = differences(np.ones(118, bool))
    without = np.array([differences(np.arange(118) != image) for image in range(118)])
    covariance = np.cov(without, rowvar=False) * 117**2 / 118
    shared = (covariance.sum() - covariance.trace()) / 20
    variance = max(values.var(ddof=1), covariance.trace() / 5 - shared) / 5 + max(shared, 0)
    pair = found.pairs[0]
    assert pair.differences["auc"].value == pytest.approx(values.mean())
    low, high = pair.differences["auc"].low, pair.differences["auc"].high
    # At least four degrees of freedom, and the jackknife is DeLong's covariance but for a little.
    assert 1.96 <= (high - low) / 2 / math.sqrt(variance) <= 1.02 * stats.t.ppf(0.975, 4)
    # With one planned contrast nothing is corrected.
    assert (pair.low, pair.high) == (low, high)


def test_the_order_of_folders_is_of_no_account(two_ways: list[Path]) -> None:
    expected = compared(two_ways, pair_seeds=True).pairs[0].differences["auc"]
    turned = compared(two_ways[::-1], pair_seeds=True).pairs[0].differences["auc"]
    assert (turned.value, turned.p_value) == (pytest.approx(expected.value), pytest.approx(expected.p_value))


def test_outputs_say_that_seeds_are_paired(two_ways: list[Path], tmp_path: Path, cli: Cli) -> None:
    plain = [word for folder in two_ways for word in (str(folder), "--name", folder.parent.name)]
    cli("compare", *plain, "--contrast", "hash,all", "--pair-seeds", "--out", str(tmp_path / "out"))
    told = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert (told["pair_seeds"], told["pairs"][0]["paired"]) == (True, True)
    [note] = [note for note in told["notes"] if "the same seed" in note]
    assert note.startswith("Pre-trainings of the same seed were compared with each other, so")
    assert "(not for" not in note
    said = "Differences are between pre-trainings of the same seed."
    for name in ("comparison.html", "table.md", "table.tex"):
        assert said in (tmp_path / "out" / name).read_text(), name
    compared(two_ways, out=tmp_path / "apart")
    assert not any("same seed" in file.read_text() for file in (tmp_path / "apart").iterdir())


def test_a_single_backbone_is_compared_as_ever(two_ways: list[Path], tmp_path: Path) -> None:
    published = write_result(
        tmp_path / "published", LABELS, predictions(LABELS, skill=0.5, seeds=3, seed=50), weights={"slices": 9}
    )
    folders = [*two_ways, published]
    names = [*(folder.parent.name for folder in two_ways), "published"]
    plans = [["hash", "all"], ["hash", "published"]]
    found = ctprune.compare(folders, names=names, contrasts=plans, resamples=100, pair_seeds=True)
    assert [pair.paired for pair in found.pairs] == [True, False]
    assert any("(not for hash and published: a single backbone has no other seed)" in note for note in found.notes)
    alone = ctprune.compare(folders, names=names, contrasts=plans, resamples=100)
    assert found.pairs[1].differences == alone.pairs[1].differences


def test_networks_without_pretraining_go_by_the_seed_of_their_weights(
    two_ways: list[Path], tmp_path: Path
) -> None:
    random = write_result(tmp_path / "none", LABELS, predictions(LABELS, skill=0.2, seeds=5, seed=70))
    names = [*(folder.parent.name for folder in two_ways), "none"]
    found = ctprune.compare(
        [*two_ways, random], names=names, contrasts=[["hash", "none"]], resamples=100, pair_seeds=True
    )
    assert (found.results[2].pretraining_seeds, found.pairs[0].paired) == ((0, 1, 2, 3, 4), True)


def one_missing(folders: list[Path], _: Path) -> list[Path]:
    return folders[:-1]


def one_twice(folders: list[Path], elsewhere: Path) -> list[Path]:
    again = write_result(
        elsewhere / "hash",
        LABELS,
        predictions(LABELS, skill=1.0, seeds=2, seed=90),
        # Of another machine, say: other weights of the same seed.
        weights={"slices": 1000, "seconds": 61.0, "seed": 4, "way": "hash"},
    )
    return [*folders[:-2], folders[-1], again]


def without_seed(folders: list[Path], elsewhere: Path) -> list[Path]:
    of_unknown_seed = [
        write_result(
            elsewhere / str(number) / "hash",
            LABELS,
            predictions(LABELS, skill=1.0, seeds=2, seed=90 + number),
            weights={"slices": number},
        )
        for number in range(2)
    ]
    return [*folders[:5], *of_unknown_seed]


def one_each(folders: list[Path], _: Path) -> list[Path]:
    return [folders[0], folders[5]]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            one_missing,
            "pair_seeds: expected pre-trainings of the same seeds, found 0, 1, 2, 3 of hash and 0, 1, 2, 3, 4 of "
            "all: pre-train the missing ones, or leave `pair_seeds` out",
        ),
        (
            one_twice,
            "pair_seeds: expected one pre-training of each seed, found two of seed 4 of hash: leave one out",
        ),
        (
            without_seed,
            "pair_seeds: expected weights whose seed of pre-training is known, found others of hash: leave",
        ),
        (one_each, "pair_seeds: expected two results with several pre-trainings each, found none: give those of"),
    ],
)
def test_seeds_that_cannot_be_paired_are_refused(
    two_ways: list[Path], tmp_path: Path, spoil: Callable[[list[Path], Path], list[Path]], message: str
) -> None:
    folders = spoil(two_ways, tmp_path)
    names = [folder.name if folder.name == "hash" else folder.parent.name for folder in folders]
    with pytest.raises(ConfigError, match=message):
        ctprune.compare(
            folders,
            names=names,
            contrasts=[["hash", "all"]],
            resamples=100,
            pair_seeds=True,
            out=tmp_path / "new" / "out",
        )
    assert not (tmp_path / "new" / "out").exists()


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_false_alarms_and_power(share: float) -> None:
    """A small version of benches/pair_seeds.py."""
    cell = pair_seeds.SharedSeeds(5, 1, 0.045, 118, False, 0.0, share)
    repetitions = 400
    found = pair_seeds.simulate(cell, repetitions)
    # Three standard errors.
    assert found["paired_alarm"] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repetitions)
    assert found["paired_held"] >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / repetitions)
    if share:
        assert found["paired_half_width"] < 0.9 * found["independent_half_width"]
