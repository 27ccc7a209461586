"""Methods that compare points, on the embeddings of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.embedding import embeddings as embedding
from ctprune.selection.points import select_points


@pytest.mark.parametrize("scope", ["volume", "dataset"])
@pytest.mark.parametrize(
    "options",
    [{"method": "kcenter", "features": "embeddings"}, {"method": "facility", "features": "embeddings"}],
    ids=lambda options: options["method"],
)
def test_the_manifest_holds_the_selection(
    run: Path, small: Path, weights: Path, scope: str, options: dict[str, Any]
) -> None:
    manifest = ctprune.reduce(small, weights=weights, budget=6, scope=scope, out=run, **options)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["embeddings"]["slices_embedded"] == 0
    slices = manifest.slices()
    embeddings = np.load(run / "embeddings" / "embeddings.npy")
    starts = slices.starts.tolist() if scope == "volume" else None
    found = select_points(embeddings, options["method"], budget=6, starts=starts)
    assert slices.kept.sum() == 6
    assert slices.kept.tolist() == found.kept.tolist()
    exemplar = found.exemplar.astype(np.int64)
    assert slices.exemplar.tolist() == np.where(exemplar == 2**32 - 1, -1, exemplar).tolist()
    np.testing.assert_array_equal(slices.similarity, found.measured)
    assert summary["threshold"] == found.threshold
    assert ctprune.verify(run) == []
    page = ctprune.write_report(run).path.read_text()
    assert "embeddings of a network" in page
    least = found.threshold or 0.1
    swept = ctprune.sweep(run, methods=[options["method"]], thresholds={options["method"]: [least, 1.0]})
    fractions = swept.curve(options["method"])[1]
    assert fractions[0] == 1.0 > fractions[1]


def test_embeddings_of_another_run_are_a_target(run: Path, small: Path, weights: Path, tmp_path: Path) -> None:
    ctprune.reduce(small, out=tmp_path / "hashed")
    options: dict[str, Any] = {"method": "retrieval", "features": "embeddings", "weights": weights, "budget": 5}
    with pytest.raises(ctprune.ConfigError, match="expected embeddings by the same network, found none"):
        ctprune.reduce(small, target=tmp_path / "hashed", **options)
    manifest = ctprune.reduce(small, target=run, out=tmp_path / "found", **options)
    summary = json.loads((tmp_path / "found" / "summary.json").read_text())
    assert "retrieval" not in summary["embeddings"]
    slices = len(manifest.slices())
    # Each slice is its own nearest one: the first of equals are kept.
    assert summary["retrieval"] == {
        "target_slices": slices,
        "target_digest": ctprune.Manifest.load(run).digest(),
        "target_not_embedded": 0,
        "farthest_kept": 1.0,
    }
    assert manifest.slices().kept.tolist() == [True] * 5 + [False] * (slices - 5)
    assert ctprune.verify(tmp_path / "found") == []
    shutil.rmtree(tmp_path / "found" / "embeddings")
    [finding] = ctprune.verify(tmp_path / "found")
    assert finding.check == "target"
    assert "the embeddings that it was made by are gone" in finding.sentence


def test_a_slice_of_the_target_without_an_embedding_is_left_out(
    small: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = embedding.read_resized

    def all_but_one(lines: list[dict[str, Any]], *rest: Any, **options: Any) -> Any:
        outcomes = read(lines, *rest, **options)
        return [
            (*outcome[:2], "gone") if line["path"] == first else outcome
            for line, outcome in zip(lines, outcomes, strict=True)
        ]

    first = ctprune.reduce(small, method="all").rows["path"][0]
    options: dict[str, Any] = {"weights": weights, "out": tmp_path / "target"}
    with monkeypatch.context() as patch:
        patch.setattr(embedding, "read_resized", all_but_one)
        ctprune.reduce(small, method="deep", threshold=0.99, **options)
    summary = json.loads((tmp_path / "target" / "summary.json").read_text())
    assert summary["embeddings"]["not_embedded"] == {"gone": 1}
    found = ctprune.reduce(
        small,
        method="retrieval",
        features="embeddings",
        weights=weights,
        budget=4,
        target=tmp_path / "target",
        out=tmp_path / "found",
    )
    facts = json.loads((tmp_path / "found" / "summary.json").read_text())["retrieval"]
    assert (facts["target_slices"], facts["target_not_embedded"]) == (len(found.slices()), 1)
    # What is not in the target is not the closest.
    assert found.slices().kept.tolist()[:5] == [False, True, True, True, True]
    assert ctprune.verify(tmp_path / "found") == []


@pytest.mark.parametrize("method", ["semdedup", "balanced"])
def test_methods_that_cluster(run: Path, small: Path, weights: Path, method: str) -> None:
    options: dict[str, Any] = {"method": method, "weights": weights, "scope": "dataset", "clusters": 3}
    manifest = ctprune.reduce(small, keep=0.5, seed=4, out=run, **options)
    slices = manifest.slices()
    embeddings = np.load(run / "embeddings" / "embeddings.npy")
    found = select_points(embeddings, method, keep=0.5, seed=4, clusters=3)
    assert slices.kept.tolist() == found.kept.tolist()
    assert ctprune.verify(run) == []
    page = ctprune.write_report(run).path.read_text()
    assert "3 clusters" in page
    swept = ctprune.sweep(run, methods=[method], thresholds={method: [found.threshold or 0.5]})
    assert swept.curve(method)[1].tolist() == [slices.kept.mean()]
    with pytest.raises(ctprune.ConfigError, match=f"method {method} needs `scope` dataset"):
        ctprune.reduce(small, method=method, keep=0.5)
