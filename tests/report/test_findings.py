"""What the report finds out: nearest slices, borderline pairs, losses, groups, ranges."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import ctprune
from ctprune.files.checksums import seal, unseal
from ctprune.report.borderline import dropped_pairs, kept_pairs
from ctprune.report.citation import method_sentence
from ctprune.report.groups import choose_groups
from ctprune.report.losses import losses
from ctprune.report.nearest import nearest_kept_before
from ctprune.report.ranges import ranges
from ctprune.report.run_slices import load_run
from ctprune.selection.methods import METHODS
from tests.report.page import Page
from tests.report.test_page import with_column, write_table


def test_nearest_kept_slices_are_those_of_the_plain_search(archive: Path, tmp_path: Path) -> None:
    for scope in ("volume", "dataset"):
        ctprune.reduce(archive, out=tmp_path / scope, scope=scope, threshold=3)
        slices = load_run(tmp_path / scope)
        found = nearest_kept_before(slices)
        assert found is not None
        rows = slices.rows.to_dicts()
        kept = np.flatnonzero(slices.kept).tolist()
        expected = []
        for row in kept:
            before = [
                other
                for other in kept
                if other < row and (scope == "dataset" or rows[other]["volume"] == rows[row]["volume"])
            ]
            bits = [
                bin(
                    int.from_bytes(rows[row]["fingerprint"], "big")
                    ^ int.from_bytes(rows[other]["fingerprint"], "big")
                ).count("1")
                for other in before
            ]
            if bits:
                expected.append((row, before[bits.index(min(bits))], min(bits)))
        assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
        assert found.value.min() > 3


def test_nearest_kept_slices_by_embeddings_are_those_of_the_plain_search(tmp_path: Path) -> None:
    from ctprune.networks.backbone import create_backbone, save_backbone

    ctprune.phantom.write_archive(tmp_path / "dicoms", patients=1, size=64, slices=6)
    weights = tmp_path / "backbone.safetensors"
    save_backbone(create_backbone("resnet18"), weights, name="resnet18", metadata={})
    run = tmp_path / "run"
    ctprune.reduce(tmp_path / "dicoms", out=run, method="deep", weights=weights, keep=0.7)
    slices = load_run(run)
    found = nearest_kept_before(slices)
    assert found is not None
    # All slices were embedded in order.
    embeddings = np.load(run / "embeddings" / "embeddings.npy").astype(np.float64)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    kept = np.flatnonzero(slices.kept)
    expected = {}
    for row in kept:
        before = [other for other in kept if other < row and slices.volume[other] == slices.volume[row]]
        if before:
            expected[row] = max(embeddings[row] @ embeddings[other] for other in before)
    assert found.rows.tolist() == list(expected)
    assert found.value == pytest.approx(list(expected.values()), abs=1e-6)
    for row, partner, value in zip(*found, strict=True):
        assert embeddings[row] @ embeddings[partner] == pytest.approx(value, abs=1e-6)
    assert slices.threshold is not None
    assert found.value.max() < slices.threshold
    text = Page(ctprune.write_report(run).path).text
    assert f"{found.value.max():.6g}" in text
    # Other weights' embeddings say nothing about this run.
    about = run / "embeddings" / "embeddings.json"
    about.write_text(seal(unseal(about.read_text()) | {"weights_sha256": "0" * 64}))
    assert nearest_kept_before(slices) is None


def test_borderline_pairs_are_the_closest_to_the_threshold_from_different_volumes(run: Path) -> None:
    slices = load_run(run)
    dropped = dropped_pairs(slices, 5)
    assert [pair.value for pair in dropped] == sorted((pair.value for pair in dropped), reverse=True)
    assert dropped[0].value == np.nanmax(slices.similarity[~slices.kept])
    most = dropped[0].value
    at_most = [pair.row for pair in dropped if pair.value == most]
    possible = {
        slices.volume[row] for row in range(len(slices)) if not slices.kept[row] and slices.similarity[row] == most
    }
    assert len({slices.volume[row] for row in at_most}) == min(len(at_most), len(possible))
    nearest = nearest_kept_before(slices)
    assert nearest is not None
    kept = kept_pairs(slices, nearest, 5)
    assert [pair.value for pair in kept] == sorted(nearest.value.tolist())[:5]
    assert kept_pairs(slices, None, 5) == []


def test_losses_add_up(run: Path) -> None:
    slices = load_run(run)
    tables = losses(slices)
    assert [table.attribute for table in tables] == ["Scanner", "Convolution kernel", "Slice thickness", "Series"]
    for table in tables:
        assert sum(loss.slices for loss in table.losses) == len(slices)
        assert sum(loss.kept for loss in table.losses) == slices.kept.sum()
        assert sum(loss.volumes for loss in table.losses) == slices.volumes
        shares = [loss.dropped_fraction for loss in table.losses]
        assert shares == sorted(shares, reverse=True)


def test_groups_are_whole_where_they_are_small_and_hold_the_farthest_slice_where_not(run: Path) -> None:
    slices = load_run(run)
    for group in choose_groups(slices, 10**6):
        covered = np.flatnonzero(~slices.kept & (slices.exemplar == group.exemplar))
        assert group.covered == len(covered)
        assert len(set(group.shown)) == min(len(covered), 12)
        assert set(group.shown) <= set(covered.tolist())
        if len(covered):
            assert group.largest == slices.similarity[covered].max() == slices.similarity[group.shown].max()
    few = choose_groups(slices, 20)
    assert sum(1 + len(group.shown) for group in few) <= 20


def test_slices_ruled_by_padding_are_shown_as_they_were_compared_too(archive: Path, tmp_path: Path) -> None:
    for intensity, beside in (("minmax", 1), ("window:40,400", 0)):
        manifest = ctprune.reduce(archive, out=tmp_path / intensity, intensity=intensity)
        # The phantom's third scanner pads with -3024.
        low = manifest.rows["min_hu"]
        assert np.nanmin(low) == -3024
        page = Page(ctprune.write_report(tmp_path / intensity).path)
        assert "−3024 … " in page.text
        alternatives = [image for image in page.all("img") if (image["alt"] or "").endswith("as it was compared")]
        assert len(alternatives) == beside


def test_metal_and_padding_are_counted_by_their_rules(archive: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, out=tmp_path / "run")
    manifest = ctprune.Manifest.load(tmp_path / "run")
    slices = manifest.counts()["kept"] + manifest.counts()["dropped"]
    rows = np.arange(len(manifest))
    low = np.where(rows == 1, -1024.5, -1024).astype(np.float32)
    high = np.where(rows == 3, 3000, 2999).astype(np.float32)
    table = with_column(pa.table(manifest), "min_hu", pa.array(low))
    table = with_column(table, "max_hu", pa.array(high))
    write_table(tmp_path / "run" / "manifest.parquet", table, manifest.config)
    found = ranges(load_run(tmp_path / "run"), 4)
    assert found.in_hu == slices
    assert [(ruled.name, ruled.rows.tolist()) for ruled in found.ruled] == [("metal", [3]), ("padding", [1])]


@pytest.mark.parametrize("method", [*METHODS])
def test_every_method_has_a_measure_and_a_sentence(method: str) -> None:
    described = METHODS[method]
    assert described.citation
    assert (described.measure is None) == (method in ("all", "random-per-volume"))
    measures_nothing = ("all", "random", "random-per-volume", "balanced", "retrieval")
    assert (described.recorded is None) == (method in measures_nothing)


@pytest.mark.parametrize("method", ["all", "every-n", "random"])
def test_methods_that_compare_nothing_say_so(archive: Path, tmp_path: Path, method: str) -> None:
    ctprune.reduce(archive, out=tmp_path / "run", method=method)
    ctprune.write_report(tmp_path / "run")
    page = Page(tmp_path / "run" / "report.html")
    assert "borderline" not in [section["id"] for section in page.all("section")]
    assert method_sentence(load_run(tmp_path / "run")) in page.text
    assert ("compares no slices" in page.text) == (method != "every-n")


def test_a_cosine_similarity_is_shown_as_such(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    manifest = ctprune.Manifest.load(run)
    config = manifest.config | {"method": "deep", "threshold": 0.95, "weights": "/home/mary/Mary.safetensors"}
    similarity = pa.array(np.linspace(0.95, 1, len(manifest), dtype=np.float32))
    table = with_column(pa.table(manifest), "similarity", similarity)
    write_table(tmp_path / "run" / "manifest.parquet", table, config)
    summary = json.loads((run / "summary.json").read_text()) | {"config": config, "threshold": 0.95}
    (tmp_path / "run" / "summary.json").write_text(json.dumps(summary))
    ctprune.write_report(tmp_path / "run")
    page = Page(tmp_path / "run" / "report.html")
    assert "cosine similarity ≥ 0.95," in page.text
    assert "The embeddings for these pairs are no longer beside the manifest" in page.text
    assert "/home/mary" not in page.text
    slices = load_run(tmp_path / "run")
    assert dropped_pairs(slices, 1)[0].value == pytest.approx(np.nanmin(slices.similarity[~slices.kept]))
