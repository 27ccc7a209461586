"""`retrieval` keeps what is closest to another run: equal to a plain loop, with mistakes told in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import pairwise_distances

import ctprune
from ctprune import _core
from ctprune.manifest.manifest import FILE_NAME, PLACES, write_manifest
from ctprune.options.option import options_of
from ctprune.selection.points import retrieve_points, select_points
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
        (np.ones((3, 4)), np.ones((2, 5)), {"budget": 1}, "found embeddings of 4 features and embeddings of 5"),
        (np.ones((3, 4)), np.ones((2, 4), np.uint8), {"budget": 1}, "4 features and fingerprints of 4 bytes"),
        (np.ones((3, 1), np.uint8), np.ones((2, 8), np.uint8), {"budget": 1}, "found fingerprints of 1 bytes"),
        (np.ones((3, 4), np.int64), np.ones((2, 4)), {"budget": 1}, "fingerprints of uint8, found int64"),
        (np.ones((3, 4)), np.ones((0, 4)), {"budget": 1}, "at least one slice"),
        (np.ones((3, 4)), np.full((1, 4), np.nan), {"budget": 1}, "expected finite numbers"),
        (np.ones((3, 4)), np.ones(4), {"budget": 1}, "expected points of shape"),
        (np.ones((3, 4)), np.ones((2, 4)), {}, "expected either `keep` or `budget`"),
        (np.ones((3, 4)), np.ones((2, 4)), {"keep": 2}, "keep 2: expected a fraction"),
        (np.ones((3, 4)), np.ones((2, 4)), {"budget": -1}, "budget -1: expected a whole number, 1 to"),
        (np.ones((3, 4)), np.ones((2, 4)), {"budget": 1.5}, "budget 1.5: expected a whole number"),
    ],
)
def test_arrays_that_cannot_be_used(
    points: np.ndarray, targets: np.ndarray, options: dict[str, float], sentence: str
) -> None:
    with pytest.raises(ctprune.ConfigError, match=sentence):
        retrieve_points(points, targets, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"budget": -1}, "budget -1: expected a whole number"),
        ({"budget": 2, "seed": -1}, "seed -1: expected a whole number"),
        ({"budget": 2, "clusters": 0}, "clusters 0: expected a whole number"),
    ],
)
def test_numbers_out_of_range(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ctprune.ConfigError, match=sentence):
        select_points(np.ones((3, 4)), "balanced", **options)


@pytest.mark.parametrize("method", ["semdedup", "balanced", "kcenter", "facility"])
def test_nothing_to_choose_from(method: str) -> None:
    found = select_points(np.zeros((0, 4), np.float16), method, keep=0.5)
    assert found.kept.tolist() == []


def test_where_the_target_lies_does_not_matter(archive: Path, tmp_path: Path) -> None:
    sources = sorted(path for path in archive.iterdir() if path.is_dir())
    ctprune.reduce(sources[0], out=tmp_path / "target")
    shutil.copytree(tmp_path / "target", tmp_path / "copy")
    found = [
        ctprune.reduce(archive, method="retrieval", budget=9, target=tmp_path / name)
        for name in ("target", "copy")
    ]
    assert found[0].digest() == found[1].digest()
    other = ctprune.reduce(archive, method="retrieval", budget=10, target=tmp_path / "copy")
    assert other.digest() != found[0].digest()


def test_an_address_as_a_path_keeps_its_slashes() -> None:
    given: dict[str, Any] = {"target": Path("s3://bucket/run")}
    config = ctprune.ReduceConfig(method="retrieval", budget=1, **given)
    assert config.target == "s3://bucket/run"


def test_options_that_name_files_do_not_decide_on_a_digest() -> None:
    options = options_of(ctprune.ReduceConfig)
    paths = {name for name, option in options.items() if option.about.is_path and option.about.decides}
    assert set(PLACES) == paths


def test_a_selection_is_checked_against_its_target(archive: Path, tmp_path: Path) -> None:
    sources = sorted(path for path in archive.iterdir() if path.is_dir())
    ctprune.reduce(sources[0], out=tmp_path / "target")
    run = tmp_path / "run"
    manifest = ctprune.reduce(archive, method="retrieval", budget=9, target=tmp_path / "target", out=run)
    kept, dropped = (np.flatnonzero(manifest.slices().kept == is_kept)[0] for is_kept in (True, False))
    table = pa.table(manifest.rows).to_pydict()
    for name in ("status", "exemplar", "similarity"):
        values = table[name]
        values[kept], values[dropped] = values[dropped], values[kept]
    table["exemplar"][dropped] = dropped
    rows = _core.Rows.from_arrow(pa.table(table, schema=pa.table(manifest.rows).schema), 8)
    whole = (run / FILE_NAME).read_bytes()
    write_manifest(run / FILE_NAME, [rows], manifest.config)
    [finding] = ctprune.verify(run)
    assert finding.check == "exemplars"
    assert finding.sentence.startswith(
        "slices that are kept or dropped other than by how close they are to the target: 2, rows"
    )

    (run / FILE_NAME).write_bytes(whole)
    assert ctprune.verify(run) == []
    ctprune.reduce(sources[:2], out=tmp_path / "target")
    [finding] = ctprune.verify(run)
    assert finding.check == "target"
    assert "the selection was not compared with its target" in finding.sentence
    assert "it has changed since" in finding.sentence
    shutil.rmtree(tmp_path / "target")
    [finding] = ctprune.verify(run)
    assert (finding.check, "found none" in finding.sentence) == ("target", True)


def test_a_set_is_its_own_target() -> None:
    rng = np.random.default_rng(8)
    points = rng.normal(size=(1500, 300)).astype(np.float16)
    found = retrieve_points(points, points, budget=700)
    assert np.flatnonzero(found.kept).tolist() == list(range(700))
    assert found.threshold == 1.0


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
    assert summary["retrieval"] == {
        "target_slices": len(theirs),
        "target_digest": target.digest(),
        "farthest_kept": closest[expected[-1]],
    }
    assert ctprune.verify(tmp_path / "run") == []
    page = ctprune.write_report(tmp_path / "run").path.read_text()
    assert str(tmp_path) not in page
    assert "--target target" in page
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
        "expected a reduction with `intensity` hu:-1350,150, found minmax": {
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
