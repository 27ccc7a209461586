"""`semdedup` is the greedy rule within clusters: exact in one cluster, and a part of the pairs in several."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

import ctprune
from ctprune.selection.cosine import cosine_exemplars
from ctprune.selection.points import select_points


@pytest.fixture
def embeddings() -> npt.NDArray[np.float16]:
    rng = np.random.default_rng(3)
    clumps = rng.normal(size=(12, 40))[rng.integers(0, 12, 400)]
    return (clumps + rng.normal(0, 0.3, (400, 40))).astype(np.float16)


def test_one_cluster_is_the_exact_rule(embeddings: npt.NDArray[np.float16]) -> None:
    found = select_points(embeddings, "semdedup", threshold=0.9, clusters=1)
    exact = cosine_exemplars(embeddings, threshold=0.9)
    assert found.exemplar.tolist() == exact.exemplar.tolist()
    assert found.measured.tolist() == exact.similarity.tolist()


def test_clusters_only_miss_pairs(embeddings: npt.NDArray[np.float16]) -> None:
    found = select_points(embeddings, "semdedup", threshold=0.9, clusters=20)
    unit = embeddings.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = (unit * unit[found.exemplar]).sum(axis=1)
    np.testing.assert_allclose(found.measured, similarity, atol=1e-6)
    assert similarity.min() >= 0.9 - 1e-6
    assert found.kept[found.exemplar].all()
    assert found.kept.sum() >= cosine_exemplars(embeddings, threshold=0.9).kept.sum()


def test_a_fraction_and_one_thread(embeddings: npt.NDArray[np.float16]) -> None:
    found = [select_points(embeddings, "semdedup", keep=0.2, threads=threads) for threads in (1, 3)]
    assert found[0].exemplar.tolist() == found[1].exemplar.tolist()
    assert found[0].kept.mean() == pytest.approx(0.2, abs=0.05)
    again = select_points(embeddings, "semdedup", threshold=found[0].threshold)
    assert again.exemplar.tolist() == found[0].exemplar.tolist()


def test_mistakes_are_one_sentence(embeddings: npt.NDArray[np.float16]) -> None:
    with pytest.raises(ctprune.ConfigError, match="scope volume: expected dataset"):
        select_points(embeddings, "semdedup", keep=0.2, starts=[0, 200, 400])
    with pytest.raises(ctprune.ConfigError, match="features fingerprints: expected embeddings"):
        select_points(np.zeros((4, 8), np.uint8), "semdedup", keep=0.2)
    with pytest.raises(ctprune.ConfigError, match="clusters belongs to `method` semdedup or balanced"):
        ctprune.ReduceConfig(clusters=3)
