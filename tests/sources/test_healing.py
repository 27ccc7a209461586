"""Runs in an object store that are damaged, or that others change at the same time, are whole again afterwards."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import ctprune
from ctprune.embedding import saved
from ctprune.manifest import parts
from ctprune.manifest.manifest import FILE_NAME
from ctprune.manifest.remote_run import RemoteRun
from ctprune.manifest.shards import Shard
from tests.sources.faulty import Fault, Plan

OUT = "s3://bucket/runs/a/"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("healing") / "in"
    ctprune.phantom.write_archive(folder, patients=1, size=64, slices=6)
    return folder


@pytest.mark.parametrize("kind", ["torn", "damaged"])
def test_a_part_that_is_torn_or_damaged_is_read_again_and_put_anew(source: Path, bucket: Path, kind: str) -> None:
    ctprune.read_shard(source, shard="1/2", out=OUT)
    (part,) = bucket.rglob("part-*.parquet")
    whole = part.read_bytes()
    part.write_bytes(whole[:-20] if kind == "torn" else whole[:-1] + b"x")
    said: list[str] = []
    again = ctprune.read_shard(source, shard="1/2", out=OUT, note=said.append)
    assert again.files_read == again.files
    name = part.relative_to(bucket / "runs/a").as_posix()
    assert f"s3://bucket/runs/a/{name} is damaged: its files are read again" in said
    assert part.read_bytes() == whole
    assert ctprune.read_shard(source, shard="1/2", out=OUT).files_read == 0


def test_what_belongs_to_a_manifest_and_is_damaged_is_put_anew(source: Path, bucket: Path) -> None:
    ctprune.reduce(source, out=OUT)
    (summary,) = bucket.rglob("summary.json")
    summary.write_text("{}")
    with pytest.raises(ctprune.ManifestError, match=r"summary.json is missing or damaged: run 'ctprune reduce'"):
        ctprune.verify(OUT)
    ctprune.reduce(source, out=OUT)
    assert ctprune.verify(OUT) == []
    # Also if what is published next is another manifest: nothing of the old one is left.
    next(bucket.rglob("summary.json")).write_text("{}")
    ctprune.reduce(source, out=OUT, threshold=4)
    assert ctprune.verify(OUT) == []
    assert len(list(bucket.rglob("summary.json"))) == 1


def test_no_part_is_put_after_the_manifest(
    source: Path, bucket: Path, faults: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that is on its way while the run is published would stay there for ever."""
    monkeypatch.setattr(parts, "SLICES_PER_PART", 1)
    slow: list[str] = []

    def fault(method: str, key: str, before: int) -> Fault:
        if method == "PUT" and "/part-" in key:
            slow.append(key)
            time.sleep(0.5)
        return None

    faults.fault = fault
    ctprune.reduce(source, out=OUT)
    assert slow
    assert not list(bucket.rglob("part-*"))
    # Of two failures the user hears of the one that ended the run.
    faults.fault = lambda method, key, before: (
        None if method != "PUT" else 501 if "/part-" in key else 403 if key.endswith(FILE_NAME) else None
    )
    with pytest.raises(ctprune.OutputError, match=rf"s3://bucket/runs/b/{FILE_NAME}: cannot be .*\(403\)"):
        ctprune.reduce(source, out="s3://bucket/runs/b")


@pytest.mark.parametrize("status", [403, 503])
def test_a_run_is_published_although_what_is_old_cannot_be_removed(
    source: Path, bucket: Path, faults: Plan, status: int
) -> None:
    ctprune.reduce(source, out=OUT)
    published: list[str] = []

    def fault(method: str, key: str, before: int) -> Fault:
        if method == "PUT" and key.endswith(FILE_NAME):
            published.append(key)
        return status if published and not key else None

    faults.fault = fault
    said: list[str] = []
    found = ctprune.reduce(source, out=OUT, threshold=4, note=said.append)
    assert [one for one in said if "published, but what is no longer needed is still there" in one]
    faults.fault = lambda method, key, before: None
    assert ctprune.Manifest.load(OUT) == found


def test_a_part_that_is_gone_when_it_is_copied_is_looked_for_again(
    source: Path, bucket: Path, faults: Plan
) -> None:
    for number in (1, 2):
        ctprune.read_shard(source, shard=f"{number}/2", out=OUT)
    gone: list[str] = []

    def fault(method: str, key: str, before: int) -> Fault:
        if method == "GET" and "/part-" in key and len(gone) < 3:
            gone.append(key)
            return 404
        return None

    faults.fault = fault
    run = RemoteRun(OUT)
    run.fetch()
    assert len(gone) == 3
    assert len(list(run.folder.rglob("part-*.parquet"))) == 2
    assert not list(run.folder.glob(".fetched-*"))


def test_embeddings_that_are_still_being_put_are_copied_once_they_are_whole(bucket: Path) -> None:
    one, other = RemoteRun(OUT), RemoteRun(OUT)
    rows = np.uint64([1, 2]), np.float16([[1, 2], [3, 4]])
    about = saved.layout_of({"intensity": "lung"}) | {"features": 2}
    saved.write_embeddings(Shard(1, 2).folder(one.folder) / "embeddings", iter([rows]), about)
    one.parts.save()
    (last,) = bucket.rglob("embeddings.json")
    text = last.read_bytes()
    last.unlink()
    other.fetch()
    assert saved.part_folders(other.folder) == []
    last.write_bytes(text)
    other.fetch()
    (folder,) = saved.part_folders(other.folder)
    assert saved.open_embeddings(folder).tolist() == rows[1].tolist()
    # Damaged ones are nobody's, and are put anew by who makes them again.
    (there,) = bucket.rglob("embeddings.npy")
    whole = there.read_bytes()
    there.write_bytes(whole[:-1] + b"x")
    said: list[str] = []
    third = RemoteRun(OUT, said.append)
    third.fetch()
    assert saved.part_folders(third.folder) == []
    assert [sentence for sentence in said if "is damaged: its slices are embedded again" in sentence]
    saved.write_embeddings(Shard(1, 2).folder(third.folder) / "embeddings", iter([rows]), about)
    third.parts.save()
    assert there.read_bytes() == whole
