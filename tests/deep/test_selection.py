"""Selection by embeddings: cosines equal numpy's, embeddings a plain loop's, and they are reused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ctprune
from ctprune.embedding.embedder import Embedder
from ctprune.embedding.embeddings import embed_slices, kept_embeddings
from ctprune.embedding.saved import part_folders
from ctprune.files import pace
from ctprune.networks.backbone import create_backbone, save_backbone
from tests.conftest import Cli


def summary(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "summary.json").read_text()))


def slices(manifest: ctprune.Manifest) -> list[dict[str, Any]]:
    return [row for row in manifest.rows.to_dicts() if row["status"] in ("kept", "dropped")]


def leader(embeddings: np.ndarray, volumes: list[int], threshold: float) -> list[int]:
    """The greedy rule, word for word."""
    unit = embeddings.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    kept: list[int] = []
    exemplars = []
    for row, volume in enumerate(volumes):
        near = (k for k in kept if volumes[k] == volume and np.float32(unit[k] @ unit[row]) >= threshold)
        exemplars.append(next(near, row))
        if exemplars[-1] == row:
            kept.append(row)
    return exemplars


def test_embeddings_equal_a_plain_loop(run: Path, weights: Path) -> None:
    embeddings = np.load(run / "embeddings" / "embeddings.npy")
    store = ctprune.build_store(run, use="all", side=224)
    backbone = ctprune.load_backbone(weights).eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        for square, embedding in zip(store.pixels, embeddings, strict=True):
            picture = torch.from_numpy(np.array(square)).float().div(255).expand(1, 3, 224, 224)
            features = backbone((picture - mean.view(3, 1, 1)) / std.view(3, 1, 1))[0]
            expected = (features / features.norm()).numpy()
            np.testing.assert_allclose(embedding.astype(np.float32), expected, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("scope", ["volume", "dataset"])
def test_the_manifest_holds_the_greedy_rule_on_the_embeddings(
    run: Path, small: Path, weights: Path, scope: str
) -> None:
    threshold = summary(run)["threshold"]
    manifest = ctprune.reduce(small, method="deep", weights=weights, threshold=threshold, scope=scope, out=run)
    rows = slices(manifest)
    embeddings = np.load(run / "embeddings" / "embeddings.npy")
    volumes = [row["volume"] if scope == "volume" else 0 for row in rows]
    assert [row["exemplar"] for row in rows] == leader(embeddings, volumes, threshold)
    assert {row["status"] for row in rows} == {"kept", "dropped"}
    for row, embedding in zip(rows, embeddings.astype(np.float64), strict=True):
        other = embeddings[row["exemplar"]].astype(np.float64)
        cosine = embedding @ other / np.linalg.norm(embedding) / np.linalg.norm(other)
        assert row["similarity"] == pytest.approx(cosine, abs=1e-7)


def test_embeddings_are_reused_for_unchanged_files(small: Path, weights: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "in")
    options: dict[str, Any] = {"method": "deep", "weights": weights, "threshold": 0.999, "out": tmp_path / "run"}
    rows = slices(ctprune.reduce(tmp_path / "in", **options))
    first = np.load(tmp_path / "run" / "embeddings" / "embeddings.npy")
    again = slices(ctprune.reduce(tmp_path / "in", **options))
    assert again == rows
    assert summary(tmp_path / "run")["embeddings"]["slices_reused"] == len(rows)
    touched = rows[0]["path"]
    os.utime(tmp_path / "in" / touched, ns=(5, 5))
    ctprune.reduce(tmp_path / "in", **options)
    embedded = summary(tmp_path / "run")["embeddings"]
    assert embedded["slices_embedded"] == sum(row["path"] == touched for row in rows)
    np.testing.assert_array_equal(np.load(tmp_path / "run" / "embeddings" / "embeddings.npy"), first)
    torch.manual_seed(9)
    save_backbone(create_backbone("resnet18"), tmp_path / "other.safetensors", name="resnet18", metadata={})
    ctprune.reduce(tmp_path / "in", **(options | {"weights": tmp_path / "other.safetensors"}))
    assert summary(tmp_path / "run")["embeddings"]["slices_reused"] == 0


def test_embeddings_of_another_precision_are_not_mixed_in(run: Path, weights: Path, tmp_path: Path) -> None:
    config = ctprune.Manifest.load(run).config
    lines = slices(ctprune.Manifest.load(run))[:3]
    embedder = Embedder(weights)
    reused = []
    for precision in ("32", "32", "bf16"):
        embedder.precision = precision
        reused.append(embed_slices(lambda _: iter([lines]), embedder, config, out=tmp_path).reused)
    assert reused == [0, 3, 0]


def test_one_flipped_bit_is_one_sentence_that_names_the_file(run: Path, weights: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "embeddings", tmp_path / "embeddings")
    config = ctprune.Manifest.load(run).config
    lines = slices(ctprune.Manifest.load(run))
    random = np.random.default_rng(0)
    for file in sorted((tmp_path / "embeddings").iterdir()):
        whole = file.read_bytes()
        for bit in (66, 700, *random.integers(0, 8 * len(whole), 10)):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            file.write_bytes(damaged)
            with pytest.raises(ctprune.StoreError, match=f"{file.name}: the file is damaged"):
                kept_embeddings(lambda _: iter([lines]), config, out=tmp_path)
        file.write_bytes(whole)
    found = kept_embeddings(lambda _: iter([lines]), config, out=tmp_path)
    assert found is not None
    assert found[0].reused == len(lines)


def test_ctrl_c_keeps_what_is_embedded(run: Path, weights: Path, tmp_path: Path) -> None:
    config = ctprune.Manifest.load(run).config
    lines = slices(ctprune.Manifest.load(run))

    def one_by_one(_: int) -> Any:
        return ([line] for line in lines)

    def stop_at_3(done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    embedder = Embedder(weights)
    with pytest.raises(KeyboardInterrupt):
        embed_slices(one_by_one, embedder, config, out=tmp_path, progress=stop_at_3)
    # Interrupted once more before anything is written: nothing of it is lost.
    with pytest.raises(KeyboardInterrupt):
        embed_slices(lambda _: iter([lines[:2]]), embedder, config, out=tmp_path, progress=_interrupt)
    done = embed_slices(one_by_one, embedder, config, out=tmp_path)
    assert (done.reused, done.made) == (2, len(lines) - 2)
    alone = embed_slices(one_by_one, embedder, config, out=None)
    np.testing.assert_allclose(done.embeddings.astype(float), alone.embeddings.astype(float), atol=1e-3)


def _interrupt(_: int) -> None:
    raise KeyboardInterrupt


def test_what_is_embedded_is_saved_while_it_goes_on(
    run: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "SHORTEST", 0.0)
    monkeypatch.setattr(pace, "LONGEST", 0.0)
    config = ctprune.Manifest.load(run).config
    lines = slices(ctprune.Manifest.load(run))
    saved: list[int] = []

    def look(done: int) -> None:
        saved.append(len(part_folders(tmp_path)))
        if done == 5:
            # As much as is left of a process that was killed here, and of a disk that then lost a bit.
            shutil.copytree(tmp_path / "parts", tmp_path / "killed" / "parts")

    def one_by_one(_: int) -> Any:
        return ([line] for line in lines)

    embedder = Embedder(weights)
    embed_slices(one_by_one, embedder, config, out=tmp_path, progress=look)
    assert saved[:5] == [0, 1, 2, 3, 4]
    assert part_folders(tmp_path) == []
    damaged = part_folders(tmp_path / "killed")[1] / "embeddings.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    again = embed_slices(one_by_one, embedder, config, out=tmp_path / "killed")
    assert (again.reused, again.made) == (3, len(lines) - 3)
    whole = np.load(tmp_path / "embeddings" / "embeddings.npy")
    np.testing.assert_array_equal(again.embeddings, whole)


def test_an_error_keeps_what_is_embedded(run: Path, weights: Path, tmp_path: Path) -> None:
    config = ctprune.Manifest.load(run).config
    lines = slices(ctprune.Manifest.load(run))

    def fail(_: int) -> Any:
        yield from ([line] for line in lines[:4])
        raise RuntimeError("the GPU is out of memory")

    embedder = Embedder(weights)
    with pytest.raises(RuntimeError, match="out of memory"):
        embed_slices(fail, embedder, config, out=tmp_path)
    done = embed_slices(lambda _: iter([lines]), embedder, config, out=tmp_path)
    assert done.reused == 3


def test_a_slice_that_vanished_is_kept_and_counted(run: Path, weights: Path, tmp_path: Path) -> None:
    lines = slices(ctprune.Manifest.load(run))[:3]
    lines[1] = lines[1] | {"path": "gone.dcm"}
    config = ctprune.Manifest.load(run).config
    done = embed_slices(lambda _: iter([lines]), Embedder(weights), config, out=tmp_path)
    assert sum(done.left_out.values()) == 1
    assert not done.embeddings[1].any()
    assert ctprune.cosine_exemplars(done.embeddings, threshold=0.1).kept.tolist() == [True, True, False]


def test_exemplars_equal_numpy_at_any_number_of_threads() -> None:
    random = np.random.default_rng(4)
    embeddings = np.cumsum(random.normal(size=(500, 37)), axis=0).astype(np.float16)
    groups = [0, 190, 190, 500]
    volumes = np.repeat([0, 2], [190, 310]).tolist()
    for threshold in (0.5, 0.9, 0.99):
        found = ctprune.cosine_exemplars(embeddings, threshold=threshold, starts=groups, threads=1)
        assert found.exemplar.tolist() == leader(embeddings, volumes, threshold)
        other = ctprune.cosine_exemplars(embeddings, threshold=threshold, starts=groups, threads=4)
        np.testing.assert_array_equal(found.similarity, other.similarity)
    kept = ctprune.cosine_exemplars(embeddings, keep=0.1, starts=groups)
    assert abs(kept.kept.sum() - 50) <= 10
    repeated = ctprune.cosine_exemplars(embeddings, threshold=kept.threshold, starts=groups)
    np.testing.assert_array_equal(kept.exemplar, repeated.exemplar)


def test_nothing_to_select(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    manifest = ctprune.reduce(tmp_path / "in", method="deep", weights=weights, threshold=0.9, out=tmp_path / "run")
    assert sum(manifest.counts().values()) == 0


def test_mistakes_are_one_sentence(cli: Cli, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    missing = cli("reduce", small, "--method", "deep", "--threshold", "0.9", "--out", "run")
    assert missing.returncode == 1
    assert "not on disk" in missing.stderr
    assert "--download" in missing.stderr
    assert "Traceback" not in missing.stderr
    for options, sentence in (
        ({"method": "deep"}, "needs `threshold`"),
        ({"method": "deep", "threshold": 6}, "expected a cosine"),
        ({"method": "hash", "threshold": 5.5}, "whole number of bits"),
        ({"method": "hash", "weights": "x"}, "weights belongs to `method` deep"),
        ({"method": "hash", "download": True}, "download belongs to `method` deep"),
    ):
        with pytest.raises(ctprune.ConfigError, match=sentence):
            ctprune.reduce(small, **options)
    with pytest.raises(ctprune.ConfigError, match="expected embeddings of shape"):
        ctprune.cosine_exemplars(np.zeros(3))
    with pytest.raises(ctprune.ConfigError, match="not finite"):
        ctprune.cosine_exemplars(np.full((2, 2), np.nan), threshold=0.5)
    with pytest.raises(ctprune.ConfigError, match="one of them"):
        ctprune.cosine_exemplars(np.zeros((2, 2)))
