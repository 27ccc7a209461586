"""`retrieval` keeps what is closest to another run: equal to a plain loop, with mistakes told in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances

import ctprune
from ctprune.selection.points import retrieve_points
from ctprune.torch import SliceDataset


def test_embeddings_are_chosen_as_by_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    points, targets = (rng.normal(size=(n, 20)).astype(np.float16) for n in (150, 17))
    unit, other = (a / np.linalg.norm(a.astype(np.float64), axis=1, keepdims=True) for a in (points, targets))
    closest = (unit @ other.T).max(axis=1)
    order = np.argsort(-closest, kind="stable")
    for count in (1, 40, 150):
        found = retrieve_points(points, targets, budget=count, threads=2)
        assert np.flatnonzero(found.kept).tolist() == sorted(order[:count].tolist())
        assert found.threshold == pytest.approx(closest[order[count - 1]], abs=1e-6)
    assert retrieve_points(points, targets, keep=0.1).kept.sum() == 15


@pytest.mark.parametrize(
    ("points", "targets", "options", "sentence"),
    [
        (np.ones((3, 4)), np.ones((2, 5)), {"budget": 1}, "described in the same way"),
        (np.ones((3, 4)), np.ones((0, 4)), {"budget": 1}, "at least one slice"),
        (np.ones((3, 4)), np.full((1, 4), np.nan), {"budget": 1}, "expected finite numbers"),
        (np.ones((3, 4)), np.ones(4), {"budget": 1}, "expected points of shape"),
        (np.ones((3, 4)), np.ones((2, 4)), {}, "expected either `keep` or `budget`"),
        (np.ones((3, 4)), np.ones((2, 4)), {"keep": 2}, "keep 2: expected a fraction"),
    ],
)
def test_arrays_that_cannot_be_used(
    points: np.ndarray, targets: np.ndarray, options: dict[str, float], sentence: str
) -> None:
    with pytest.raises(ctprune.ConfigError, match=sentence):
        retrieve_points(points, targets, **options)  # type: ignore[arg-type]


def test_a_run_is_the_target(archive: Path, tmp_path: Path) -> None:
    sources = sorted(path for path in archive.iterdir() if path.is_dir())
    target = ctprune.reduce(sources[0], out=tmp_path / "target")
    manifest = ctprune.reduce(
        archive, method="retrieval", budget=30, target=tmp_path / "target", out=tmp_path / "run"
    )
    slices, theirs = manifest.slices(), target.slices()
    bits = [np.unpackbits(of.fingerprints, axis=1) for of in (slices, theirs)]
    closest = pairwise_distances(*bits, metric="manhattan").min(axis=1)
    expected = np.argsort(closest, kind="stable")[:30]
    assert np.flatnonzero(slices.kept).tolist() == sorted(expected.tolist())
    assert (slices.exemplar[~slices.kept] == -1).all()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["retrieval"] == {"target_slices": len(theirs), "farthest_kept": closest[expected[-1]]}
    assert ctprune.verify(tmp_path / "run") == []
    page = ctprune.write_report(tmp_path / "run").path.read_text()
    assert "retrieval of the slices closest to a target set by fingerprints of 64 bits" in page
    # No kept slice stands for another one here; in the target some do.
    assert (slices.stands_for == slices.kept).all()
    assert theirs.stands_for.sum() == len(theirs)
    dataset = SliceDataset(target, side=32)
    assert dataset.weights.tolist() == theirs.stands_for[theirs.kept].tolist()
    assert SliceDataset(target, side=32, use="all").weights.tolist() == [1] * len(theirs)

    mistakes = {
        "needs `target`": {"method": "retrieval", "budget": 3},
        "needs `keep`": {"method": "retrieval", "target": tmp_path / "target"},
        "target belongs to `method` retrieval": {"method": "hash", "target": tmp_path / "target"},
        "expected a run with `intensity` hu:-1350,150, found minmax": {
            "method": "retrieval",
            "budget": 3,
            "target": tmp_path / "target",
            "intensity": "lung",
        },
    }
    for sentence, options in mistakes.items():
        with pytest.raises(ctprune.ConfigError, match=sentence):
            ctprune.reduce(archive, **options)  # type: ignore[arg-type]
    with pytest.raises(ctprune.ManifestError):
        ctprune.reduce(archive, method="retrieval", budget=3, target=tmp_path / "none")
