"""Reductions in an object store: shards without a common disk, put-if-absent, and later commands by address."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.embedding import saved
from ctprune.manifest.manifest import FILE_NAME
from ctprune.manifest.remote_run import RemoteRun
from ctprune.manifest.shards import Shard
from ctprune.sources import prefix
from tests.conftest import Cli
from tests.sources.faulty import Fault, Plan

OUT = "s3://bucket/runs/a/"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "in"
    ctprune.phantom.write_archive(folder, patients=1, size=64, slices=6)
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return whole(source, tmp_path_factory.mktemp("whole"))


def whole(source: Path, out: Path, **options: Any) -> bytes:
    ctprune.reduce(source, out=out, **options)
    return (out / FILE_NAME).read_bytes()


def names(bucket: Path) -> list[str]:
    """What is published, without the digests in names."""
    found = [file.relative_to(bucket / "runs/a").as_posix() for file in bucket.rglob("*") if file.is_file()]
    return sorted(f"about/{name.split('/', 1)[1]}" if name.startswith("about-") else name for name in found)


WHOLE = ["about/config.yaml", "about/sha256.json", "about/summary.json", FILE_NAME]


def test_shards_without_a_common_disk_are_one_run(source: Path, bucket: Path, expected: bytes) -> None:
    numbers = (2, 3, 1)
    for done, number in enumerate(numbers, 1):
        read = ctprune.read_shard(source, shard=f"{number}/3", out=OUT)
        assert set(read.missing) == set(numbers[done:])
        assert ctprune.missing_shards(OUT) == tuple(sorted(numbers[done:]))
    assert read.can_be_joined
    again = ctprune.read_shard(source, shard="1/3", out=OUT)
    assert (again.files_read, again.files, again.digest) == (0, read.files, read.digest)
    with pytest.raises(ctprune.ConfigError, match=r"1/3 in s3://bucket/runs/a was read with `threshold` 6, not 4"):
        ctprune.read_shard(source, shard="1/3", out=OUT, threshold=4)
    with pytest.raises(ctprune.ConfigError, match="use the same number of shards"):
        ctprune.read_shard(source, shard="1/2", out=OUT)
    counts: list[int] = []
    ctprune.reduce(source, out=OUT, progress=lambda now: counts.append(now.facts["files_read"]))
    assert max(counts) == 0
    assert (bucket / "runs/a" / FILE_NAME).read_bytes() == expected
    assert names(bucket) == WHOLE


def test_a_run_goes_on_from_what_is_published(source: Path, bucket: Path, tmp_path: Path) -> None:
    """A reduction there is reused, replaced only by who has seen it, and what belongs to the old one goes."""
    ctprune.reduce(source, out=OUT)
    counts: list[int] = []
    again = ctprune.reduce(
        source, out=OUT, threshold=4, progress=lambda now: counts.append(now.facts["files_read"])
    )
    assert max(counts) == 0
    assert (bucket / "runs/a" / FILE_NAME).read_bytes() == whole(source, tmp_path / "one", threshold=4)
    assert names(bucket) == WHOLE
    assert ctprune.Manifest.load(OUT) == again
    kept = bucket / "runs/a" / FILE_NAME
    before = kept.stat().st_mtime_ns
    ctprune.reduce(source, out=OUT, threshold=4)
    assert kept.stat().st_mtime_ns == before


def test_what_belongs_to_a_manifest_is_made_anew_where_it_is_gone(source: Path, bucket: Path) -> None:
    ctprune.reduce(source, out=OUT)
    summary = next(bucket.rglob("summary.json"))
    summary.write_text("{}")
    with pytest.raises(ctprune.ManifestError, match=r"s3://bucket/runs/a: about-\w+/summary.json is missing"):
        ctprune.verify(OUT)
    next(bucket.rglob("sha256.json")).unlink()
    summary.unlink()
    ctprune.reduce(source, out=OUT)
    assert ctprune.verify(OUT) == []
    assert names(bucket) == WHOLE


@pytest.mark.parametrize("fault", [503, "reset", "lost"])
def test_faults_of_a_moment_change_nothing(
    source: Path, bucket: Path, faults: Plan, expected: bytes, fault: Fault
) -> None:
    """Also if what was put is there and nobody hears of it: the second try finds it there, and the same."""
    seen = itertools.count()
    faults.fault = lambda method, key, before: (
        fault if next(seen) % 3 == 0 and (fault != "lost" or method in ("PUT", "POST")) else None
    )
    for number in (1, 2):
        ctprune.read_shard(source, shard=f"{number}/2", out=OUT)
    ctprune.reduce(source, out=OUT)
    assert (bucket / "runs/a" / FILE_NAME).read_bytes() == expected
    assert names(bucket) == WHOLE
    assert ctprune.verify(OUT) == []


def test_two_that_read_the_same_shard_and_join_at_once_publish_one_run(
    source: Path, bucket: Path, expected: bytes
) -> None:
    failures: list[BaseException] = []

    def call(work: Any) -> None:
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    def at_once(work: Any) -> None:
        threads = [threading.Thread(target=call, args=(work,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures

    at_once(lambda: ctprune.read_shard(source, shard="1/1", out=OUT, threads=1))
    at_once(lambda: ctprune.reduce(source, out=OUT, threads=1))
    assert (bucket / "runs/a" / FILE_NAME).read_bytes() == expected
    assert ctprune.verify(OUT) == []


def test_of_two_that_publish_something_else_one_is_told_so(source: Path, bucket: Path, tmp_path: Path) -> None:
    def other(progress: ctprune.Progress) -> None:
        if progress.stage == "writing" and not (bucket / "runs/a" / FILE_NAME).exists():
            ctprune.reduce(source, out=OUT, threshold=4)

    with pytest.raises(ctprune.OutputError, match="s3://bucket/runs/a: another call has published"):
        ctprune.reduce(source, out=OUT, progress=other)
    assert (bucket / "runs/a" / FILE_NAME).read_bytes() == whole(source, tmp_path / "four", threshold=4)
    assert ctprune.verify(OUT) == []
    ctprune.reduce(source, out=OUT)
    assert (bucket / "runs/a" / FILE_NAME).read_bytes() == whole(source, tmp_path / "six")


def test_parts_that_are_damaged_or_torn_are_read_again(source: Path, bucket: Path, expected: bytes) -> None:
    for number in (1, 2):
        ctprune.read_shard(source, shard=f"{number}/2", out=OUT)
    first, second = sorted(bucket.rglob("part-*.parquet"))
    first.write_bytes(first.read_bytes()[:-20])
    second.write_bytes(second.read_bytes()[:-1] + b"x")
    said: list[str] = []
    ctprune.reduce(source, out=OUT, note=said.append)
    assert len([one for one in said if "s3://bucket/runs/a/parts/shard" in one and "is damaged" in one]) == 2
    assert (bucket / "runs/a" / FILE_NAME).read_bytes() == expected
    assert names(bucket) == WHOLE


class Killed(BaseException):
    """What follows is not done: nothing is tidied up either."""


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_ended_at_every_change_of_the_store(
    source: Path, bucket: Path, expected: bytes, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    """Nothing more reaches the store from the k-th change on, that one undone or done; a rerun gives the same."""
    left = 0

    def dying(change: Any) -> Any:
        def one(*given: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left > 0 or (left == 0 and is_done):
                change(*given, **more)
            if left <= 0:
                raise Killed

        return one

    for name in ("put", "delete"):
        monkeypatch.setattr(prefix.obstore, name, dying(getattr(prefix.obstore, name)))

    def run(changes: int) -> bool:
        nonlocal left
        left = changes
        try:
            for number in (1, 2):
                ctprune.read_shard(source, shard=f"{number}/2", out=OUT, threads=1)
            ctprune.reduce(source, out=OUT, threads=1)
        except Killed:
            return False
        return True

    for changes in itertools.count(1):
        if run(changes):
            assert changes > 11
            break
        if (bucket / "runs/a" / FILE_NAME).exists():
            assert (bucket / "runs/a" / FILE_NAME).read_bytes() == expected
            assert ctprune.verify(OUT) == []
        assert run(1000)
        assert (bucket / "runs/a" / FILE_NAME).read_bytes() == expected
        assert names(bucket) == WHOLE
        for file in [path for path in bucket.rglob("*") if path.is_file()]:
            file.unlink()


_CALL = "import sys, ctprune; ctprune.reduce(sys.argv[1], out=sys.argv[2], threads=1)"


def test_a_process_that_is_killed_while_it_publishes(
    source: Path, bucket: Path, faults: Plan, expected: bytes
) -> None:
    process = subprocess.Popen([sys.executable, "-c", _CALL, source, OUT])

    def fault(method: str, key: str, before: int) -> Fault:
        if method == "PUT" and key.endswith(FILE_NAME):
            process.kill()
            return "reset"
        return None

    faults.fault = fault
    assert process.wait() == -signal.SIGKILL
    assert not (bucket / "runs/a" / FILE_NAME).exists()
    faults.fault = lambda method, key, before: None
    ctprune.reduce(source, out=OUT)
    assert (bucket / "runs/a" / FILE_NAME).read_bytes() == expected
    assert names(bucket) == WHOLE


def test_a_second_pass_compares_whole_volumes(source: Path, bucket: Path, tmp_path: Path) -> None:
    options: Any = {"method": "ssim", "threshold": 0.7}
    for number in (1, 2, 1, 2):
        read = ctprune.read_shard(source, shard=f"{number}/2", out=OUT, **options)
    assert (read.stage, read.can_be_joined) == ("selected", True)
    ctprune.reduce(source, out=OUT, **options)
    assert (bucket / "runs/a" / FILE_NAME).read_bytes() == whole(source, tmp_path / "one", **options)
    summary = json.loads(next(bucket.rglob("summary.json")).read_text())
    assert summary["comparisons"]["pairs"] == 0


def test_later_commands_take_an_address(source: Path, bucket: Path, cli: Cli, tmp_path: Path) -> None:
    last = cli("reduce", source, "--out", OUT, "--shard", "1/1")
    assert (last.returncode, "manifest: s3://bucket/runs/a/manifest.parquet" in last.stdout) == (0, True), (
        last.stderr
    )
    assert cli("info", OUT).stdout.count("kept") == 1
    assert cli("verify", OUT).stdout == "s3://bucket/runs/a: no problem was found\n"
    with pytest.raises(ctprune.ManifestError, match=r"^s3://bucket/runs/none: expected the folder of a reduction"):
        ctprune.verify("s3://bucket/runs/none")
    refused = cli("sweep", OUT)
    assert refused.returncode == 2
    assert "--out is missing: s3://bucket/runs/a is not on this machine" in refused.stderr
    for later in (ctprune.write_report, ctprune.check, ctprune.build_store):
        with pytest.raises(ctprune.ConfigError, match="s3://bucket/runs/a/ is not on this machine"):
            later(OUT)
    assert ctprune.write_report(OUT, out=tmp_path / "page.html").pictures > 0
    assert ctprune.sweep(OUT, out=tmp_path / "curves").methods == ["hash"]
    assert ctprune.find_duplicates(OUT).volumes > 0
    assert ctprune.check(OUT, out=tmp_path / "checked")
    assert ctprune.export_kept(OUT, mode="png", folder=tmp_path / "kept").written > 0
    assert ctprune.build_store(OUT, side=32, out=tmp_path / "store").pixels.shape[1:] == (32, 32)
    assert names(bucket) == WHOLE
    (tmp_path / "other").mkdir()
    shutil.copy(next(source.rglob("*.dcm")), tmp_path / "other")
    ctprune.reduce(tmp_path / "other", out=tmp_path / "run")
    both = ctprune.merge([OUT, tmp_path / "run"], out="s3://bucket/runs/both")
    assert both == ctprune.reduce([source, tmp_path / "other"])
    assert ctprune.Manifest.load("s3://bucket/runs/both") == both
    with pytest.raises(ctprune.ConfigError, match="is one of the reductions to merge"):
        ctprune.merge([OUT, tmp_path / "run"], out="s3://bucket/runs/a")
    with pytest.raises(ctprune.ManifestError, match="s3://bucket/nothing: expected the address of a reduction"):
        ctprune.Manifest.load("s3://bucket/nothing")


def test_embeddings_of_shards_are_shared(bucket: Path) -> None:
    about = {"features": 2}
    one, other = RemoteRun(OUT), RemoteRun(OUT)
    rows = np.uint64([1, 2, 3]), np.float16([[1, 2], [3, 4], [5, 6]])
    for folder in (Shard(1, 2).folder(one.folder) / "embeddings", one.folder / "parts" / "embeddings-000001"):
        saved.write_embeddings(folder, iter([rows]), saved.layout_of({"intensity": "lung"}) | about)
    one.parts.save()
    other.fetch()
    folders = saved.part_folders(other.folder)
    assert len(folders) == 2
    for folder in folders:
        assert saved.open_embeddings(folder).tolist() == rows[1].tolist()
    assert [name for name in other.parts.objects() if name.endswith(".npy")]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("https://host/run", "expected the folder of a reduction, or an address of one that begins with s3://"),
        ("s3://bucket/", "expected the address of a reduction, such as s3://bucket/run/"),
        ("s3://bucket/runs/*", "expected the address of a reduction"),
    ],
)
def test_what_is_no_address_of_a_run_is_refused(source: Path, bucket: Path, out: str, message: str) -> None:
    with pytest.raises(ctprune.ConfigError, match=message):
        ctprune.reduce(source, out=out)


def test_an_address_inside_the_source_or_without_access_is_refused(
    source: Path, bucket: Path, faults: Plan
) -> None:
    (bucket / "in").mkdir()
    for file in source.rglob("*.dcm"):
        (bucket / "in" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ctprune.ConfigError, match="out s3://bucket/in/run lies inside the source s3://bucket/in"):
        ctprune.reduce("s3://bucket/in/", out="s3://bucket/in/run")
    for name in "ab":
        (bucket / name).mkdir()
        shutil.move(next((bucket / "in").glob("*.dcm")), bucket / name)
        ctprune.reduce(f"s3://bucket/{name}*" if name == "a" else f"s3://bucket/{name}", out=source.parent / name)
    runs = [source.parent / name for name in "ab"]
    for name in "ab":
        with pytest.raises(
            ctprune.ConfigError, match=f"out s3://bucket/{name}/x lies inside the source s3://bucket/{name}:"
        ):
            ctprune.merge(runs, out=f"s3://bucket/{name}/x")
    assert ctprune.merge(runs, out="s3://bucket/both").counts()["failed"] == 0
    faults.fault = lambda method, key, before: 403 if method == "PUT" else None
    with pytest.raises(ctprune.OutputError, match=r"^s3://bucket/runs/a/.*: cannot be written: access is denied"):
        ctprune.reduce(source, out=OUT)
    faults.fault = lambda method, key, before: 404 if method == "PUT" else None
    with pytest.raises(ctprune.OutputError, match=r"cannot be written: there is no bucket s3://bucket \(404\)"):
        ctprune.reduce(source, out=OUT)
    faults.fault = lambda method, key, before: 501 if method == "PUT" else None
    with pytest.raises(ctprune.OutputError, match="the server answered 501"):
        ctprune.reduce(source, out=OUT)
