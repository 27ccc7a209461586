"""`facility` keeps what adds most to the similarity of all slices to the kept ones: equal to a plain loop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import ctprune
from ctprune.selection.points import select_points

#: Neighbors of a slice, itself among them: in groups no larger than this all pairs count.
NEIGHBORS = 32


def greedy(similarity: npt.NDArray[np.int64], count: int) -> list[int]:
    """Always the one that adds most, ties to the first."""
    kept: list[int] = []
    now = np.zeros(len(similarity), np.int64)
    while len(kept) < count:
        gains = np.maximum(similarity, now[:, np.newaxis]).sum(axis=0)
        gains[kept] = -1
        kept.append(int(gains.argmax()))
        now = np.maximum(now, similarity[:, kept[-1]])
    return kept


def shared_bits(fingerprints: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    bits = np.unpackbits(fingerprints, axis=1).astype(np.int64)
    return (bits[:, np.newaxis] == bits[np.newaxis]).sum(axis=2)


@pytest.mark.parametrize("count", [1, 3, 8, NEIGHBORS])
def test_it_is_the_plain_loop(count: int) -> None:
    fingerprints = np.random.default_rng(2).integers(0, 256, (NEIGHBORS, 8), np.uint8)
    found = select_points(fingerprints, "facility", budget=count)
    similarity = shared_bits(fingerprints)
    kept = greedy(similarity, count)
    assert np.flatnonzero(found.kept).tolist() == sorted(kept)
    best = similarity[:, kept].max(axis=1)
    assert (similarity[np.arange(NEIGHBORS), found.exemplar] == best).all()
    assert found.measured.tolist() == (64 - best).tolist()


def test_volumes_share_a_budget(archive: Path, tmp_path: Path) -> None:
    manifest = ctprune.reduce(archive, method="facility", budget=30, out=tmp_path)
    slices = manifest.slices()
    assert slices.kept.sum() == 30
    # Neighbors are of one volume, all of whose slices are few enough here to be neighbors.
    assert np.diff(slices.starts).max() <= NEIGHBORS
    similarity = shared_bits(slices.fingerprints)
    similarity[slices.volume[:, np.newaxis] != slices.volume] = 0
    assert np.flatnonzero(slices.kept).tolist() == sorted(greedy(similarity, 30))
    assert ctprune.verify(tmp_path) == []
    page = ctprune.write_report(tmp_path).path.read_text()
    assert (
        "facility location on the graph of nearest neighbors by fingerprints of 64 bits (Wei et al. 2015)" in page
    )
    summary = json.loads((tmp_path / "summary.json").read_text())
    swept = ctprune.sweep(tmp_path, methods=["facility"])
    assert {target["kept"] for target in swept.targets} == {
        int(target["keep"] * summary["slices"] + 0.5) for target in swept.targets
    }
    one = ctprune.reduce(archive, method="facility", budget=30, threads=1)
    assert one.slices().exemplar.tolist() == slices.exemplar.tolist()


def test_mistakes_are_one_sentence() -> None:
    with pytest.raises(ctprune.ConfigError, match=r"method facility needs `keep` .* or `budget`"):
        ctprune.ReduceConfig(method="facility")
    with pytest.raises(ctprune.ConfigError, match="threshold belongs to `method`"):
        ctprune.ReduceConfig(method="facility", keep=0.1, threshold=3)
