"""`kcenter` keeps the farthest slice next: equal to a plain loop, and known to every command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import pairwise_distances

import ctprune
from ctprune.report.citation import method_sentence
from ctprune.report.run_slices import load_run
from ctprune.selection.points import select_points
from tests.conftest import Cli

Apart = npt.NDArray[np.float64]


def bits_apart(fingerprints: npt.NDArray[np.uint8]) -> Apart:
    return pairwise_distances(np.unpackbits(fingerprints, axis=1), metric="manhattan")


def farthest_first(apart: Apart, count: int) -> tuple[list[int], list[int]]:
    """Kept rows in the order in which they are taken, and the exemplar of each row; ties to the first."""
    kept, nearest, exemplar = [0], apart[0].copy(), np.zeros(len(apart), int)
    while len(kept) < count:
        open_rows = np.setdiff1d(np.arange(len(apart)), kept)
        new = int(open_rows[np.argmax(nearest[open_rows])])
        closer = apart[new] < nearest
        nearest[closer], exemplar[closer] = apart[new][closer], new
        kept.append(new)
    exemplar[kept] = kept
    return kept, exemplar.tolist()


@pytest.fixture
def fingerprints() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (120, 4), np.uint8)


@pytest.mark.parametrize("count", [1, 2, 17, 119, 120])
def test_fingerprints_are_chosen_as_by_a_plain_loop(fingerprints: npt.NDArray[np.uint8], count: int) -> None:
    found = select_points(fingerprints, "kcenter", budget=count)
    apart = bits_apart(fingerprints)
    kept, exemplar = farthest_first(apart, count)
    assert np.flatnonzero(found.kept).tolist() == sorted(kept)
    assert found.exemplar.tolist() == exemplar
    assert found.measured.tolist() == apart[np.arange(120), exemplar].tolist()
    assert found.threshold == apart[np.arange(120), exemplar].max()


def test_embeddings_are_chosen_as_by_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    embeddings = (rng.normal(size=(9, 24))[rng.integers(0, 9, 200)] + rng.normal(0, 0.2, (200, 24))).astype(
        np.float16
    )
    unit = embeddings.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    found = select_points(embeddings, "kcenter", keep=0.15)
    kept, exemplar = farthest_first(-(unit @ unit.T), 30)
    assert np.flatnonzero(found.kept).tolist() == sorted(kept)
    assert found.exemplar.tolist() == exemplar
    np.testing.assert_allclose(found.measured, (unit * unit[exemplar]).sum(axis=1), atol=1e-6)
    # Every clump has one of the first nine.
    assert found.threshold is not None
    assert found.threshold == found.measured.min() > 0.8


def test_a_threshold_ends_it_and_one_thread_finds_the_same(fingerprints: npt.NDArray[np.uint8]) -> None:
    found = [select_points(fingerprints, "kcenter", threshold=9, threads=threads) for threads in (1, 3)]
    assert found[0].exemplar.tolist() == found[1].exemplar.tolist()
    apart = bits_apart(fingerprints)
    assert found[0].measured.max() <= 9
    assert apart[np.ix_(found[0].kept, found[0].kept)][~np.eye(found[0].kept.sum(), dtype=bool)].min() > 9


def test_volumes_end_at_one_radius_and_a_budget_is_exact(archive: Path, tmp_path: Path) -> None:
    manifest = ctprune.reduce(archive, method="kcenter", budget=40, out=tmp_path)
    assert manifest.counts()["kept"] == 40
    summary = json.loads((tmp_path / "summary.json").read_text())
    slices = manifest.slices()
    assert summary["threshold"] == slices.similarity.max()
    for start, stop in zip(slices.starts[:-1], slices.starts[1:], strict=True):
        own = slice(start, stop)
        kept = slices.kept[own].sum()
        assert kept >= 1
        _, exemplar = farthest_first(bits_apart(slices.fingerprints[own]), int(kept))
        assert (slices.exemplar[own] - start).tolist() == exemplar
    assert ctprune.verify(tmp_path) == []
    # One slice of each volume stays, however small the number.
    assert ctprune.reduce(archive, method="kcenter", budget=1).counts()["kept"] == len(slices.starts) - 1
    assert ctprune.reduce(archive, method="kcenter", budget=1, scope="dataset").counts()["kept"] == 1


def test_sweep_and_report_know_it(archive: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, method="kcenter", keep=0.25, out=tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["kept"] == round(0.25 * summary["slices"])
    result = ctprune.sweep(tmp_path / "run", methods=["kcenter", "hash"], thresholds={"kcenter": [0, 5, 9, 64]})
    thresholds, fractions = result.curve("kcenter")
    for threshold, fraction in zip(thresholds, fractions, strict=True):
        counts = ctprune.reduce(archive, method="kcenter", threshold=threshold).counts()
        assert fraction == pytest.approx(counts["kept"] / summary["slices"])
    assert "kcenter" in {row["a"] for row in result.agreement}
    page = ctprune.write_report(tmp_path / "run").path.read_text()
    assert 'id="borderline"' in page
    sentence = method_sentence(load_run(tmp_path / "run"))
    assert "by farthest-first k-center selection on fingerprints of 64 bits (Sener and Savarese 2018)" in sentence
    assert f"(Hamming distance ≤ {summary['threshold']} bits, compared within each volume)" in sentence


def test_the_command_says_what_it_did(archive: Path, tmp_path: Path, cli: Cli) -> None:
    shown = cli("reduce", archive, "--method", "kcenter", "--budget", 30, "--out", tmp_path / "run")
    assert shown.returncode == 0, shown.stderr
    assert "threshold (Hamming distance)" in shown.stdout
    assert "--budget" not in shown.stderr
    few = cli("reduce", archive, "--method", "kcenter", "--budget", 2, "--out", tmp_path / "few")
    assert "--budget 2: the nearest that can be reached is" in few.stderr
    assert "keeps at least one slice" in few.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "kcenter"}, r"method kcenter needs `threshold` .*`keep` .* or `budget`"),
        ({"method": "kcenter", "threshold": 65}, "expected a whole number of bits, 0 to 64"),
        ({"method": "kcenter", "threshold": 0.5}, "expected a whole number of bits, 0 to 64"),
        ({"method": "kcenter", "features": "embeddings", "threshold": 6}, "expected a cosine similarity, -1 to 1"),
        ({"method": "kcenter", "keep": 0.1, "budget": 3}, "`keep` and `budget` are mutually exclusive"),
        ({"method": "kcenter", "keep": 0.1, "weights": "a.pt"}, "weights belongs to `features` embeddings"),
        ({"method": "kcenter", "keep": 0.1, "download": True}, "download belongs to `features` embeddings"),
        ({"method": "kcenter", "keep": 0.1, "stable": True}, "stable belongs to `method` hash"),
        ({"method": "kcenter", "keep": 0.1, "max_gap_mm": 5}, "max_gap_mm belongs to `method` hash"),
        ({"method": "hash", "features": "embeddings"}, "features belongs to `method` kcenter"),
        ({"method": "kcenter", "budget": 0}, "budget 0: expected"),
    ],
)
def test_mistakes_are_one_sentence(archive: Path, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ctprune.ConfigError, match=sentence):
        ctprune.reduce(archive, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        (np.zeros((2, 3, 4)), "expected points of shape"),
        (np.full((2, 3), np.nan), "embedding 0: expected finite numbers"),
        (np.zeros((2, 0)), "at least one feature"),
    ],
)
def test_points_that_cannot_be_compared(points: npt.NDArray[np.float64], sentence: str) -> None:
    with pytest.raises(ctprune.ConfigError, match=sentence):
        select_points(points, "kcenter", budget=1)
    with pytest.raises(ctprune.ConfigError, match=r"method hash: expected .*kcenter"):
        select_points(np.zeros((2, 3)), "hash", budget=1)


def test_a_budget_is_what_every_method_can_be_given(archive: Path) -> None:
    slices = ctprune.reduce(archive, method="all").counts()["kept"]

    def kept(method: str) -> int:
        return ctprune.reduce(archive, method=method, budget=50).counts()["kept"]

    assert kept("random") == kept("random-per-volume") == kept("kcenter") == 50
    by_budget = ctprune.reduce(archive, budget=50)
    by_fraction = ctprune.reduce(archive, keep=50 / slices)
    assert by_budget.slices().exemplar.tolist() == by_fraction.slices().exemplar.tolist()
    assert ctprune.reduce(archive, method="random", budget=10**6).counts()["kept"] == slices
