"""Zip and tar files in buckets and on web servers: the oracle is the same file on this machine."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.errors import NetworkError, SourceError
from ctprune.manifest.summary_file import load_summary
from ctprune.reduction.info import describe
from ctprune.sources import connections, objects
from tests.conftest import Cli
from tests.containers import KINDS, write_container, write_zip
from tests.sources.faulty import Plan, serving
from tests.sources.packed import packed, rows

#: One container of each way of reading.
WAYS = ("deflated.zip", "tar", "tar.gz")


@pytest.mark.parametrize("kind", KINDS)
def test_a_container_in_a_bucket_gives_what_it_gives_here(
    bucket: Path, files: dict[str, bytes], kind: str, tmp_path: Path, faults: Plan
) -> None:
    packed(bucket, kind, files)
    here = ctprune.reduce(bucket / "sets", out=tmp_path / "here")
    there = ctprune.reduce("s3://bucket/sets", out=tmp_path / "there")
    assert rows(there, "path", "file_size", "code") == rows(here, "path", "file_size", "code")
    assert set(there.rows["source"]) == {"s3://bucket/sets"}
    assert here.counts()["kept"] > 0
    # Nothing is read again, but for the directory of a zip file.
    faults.requests.clear()
    faults.bytes_sent = 0
    connections.forget()
    again = ctprune.reduce("s3://bucket/sets", out=tmp_path / "there")
    assert again == there
    # A failure is tried again.
    assert load_summary(tmp_path / "there")["files_reused"] >= len(files) - 1


@pytest.mark.parametrize("kind", ["stored.zip", "tar.zst"])
def test_a_container_on_a_web_server_is_read(
    tmp_path: Path, files: dict[str, bytes], kind: str, faults: Plan
) -> None:
    (tmp_path / "a b").mkdir()
    write_container(tmp_path / "a b" / f"chest.{kind}", files)
    with serving(tmp_path, faults) as url:
        there = ctprune.reduce(f"{url}/a%20b/chest.{kind}", out=tmp_path / "run")
        paths = set(there.rows["path"])
        assert f"chest.{kind}!/100% sure.dcm" in paths
        assert ctprune.write_report(tmp_path / "run").pictures > 0
        connections.forget()
        store = ctprune.build_store(tmp_path / "run", side=32, use="all")
    here = ctprune.reduce(tmp_path / "a b" / f"chest.{kind}")
    assert rows(there, "path") == rows(here, "path")
    assert len(store.pixels) == len(here.kept()) + here.counts()["dropped"]


@pytest.mark.parametrize("kind", WAYS)
def test_every_later_command_opens_members(
    bucket: Path, files: dict[str, bytes], kind: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "temporary").mkdir()
    container = packed(bucket, kind, files)
    sources = {"there": f"s3://bucket/sets/chest.{kind}", "here": container}
    runs = {name: tmp_path / name for name in sources}
    for name, source in sources.items():
        ctprune.reduce(source, out=runs[name])
    stores = {name: ctprune.build_store(run, side=32, use="all") for name, run in runs.items()}
    assert np.array_equal(stores["there"].pixels, stores["here"].pixels)
    assert not stores["there"].left_out
    pictures = {ctprune.write_report(run).pictures for run in runs.values()}
    assert len(pictures) == 1
    for mode in ("png", "copy"):
        exported = {}
        for name, run in runs.items():
            done = ctprune.export_kept(run, mode=mode, folder=tmp_path / f"{name}-{mode}")
            exported[name] = {file.name: file.read_bytes() for file in done.folder.rglob("*.*")}
        assert len(exported["there"]) > 1
        assert exported["there"].keys() == exported["here"].keys()
        assert exported["there"] == exported["here"]
    tables = [ctprune.sweep(run, methods=("ssim",)).table for run in runs.values()]
    assert tables[0] == tables[1]
    name = next(iter(files))
    described = [cli("info", f"{source}!/{name}", "--json") for source in sources.values()]
    assert described[0].returncode == described[1].returncode == 0, described[0].stderr
    assert described[0].stdout.replace(str(sources["there"]), str(container)) == described[1].stdout
    about = cli("info", sources["there"])
    assert "add '!/' and the path of" in about.stdout + about.stderr
    slices = ctprune.Manifest.load(runs["there"]).slices()
    slices.check_files()
    os.utime(container, ns=(1, 1))
    connections.forget()
    with pytest.raises(SourceError, match="run 'ctprune reduce' again"):
        slices.check_files()
    # Copies of tar files leave no name behind.
    assert not list((tmp_path / "temporary").glob("ctprune-*"))


@pytest.mark.parametrize("kind", WAYS)
def test_methods_that_read_pixels_select_the_same(bucket: Path, files: dict[str, bytes], kind: str) -> None:
    container = packed(bucket, kind, files)
    options: dict[str, Any] = {"method": "ssim", "threshold": 0.5}
    there = ctprune.reduce(f"s3://bucket/sets/chest.{kind}", **options)
    assert rows(there, "path") == rows(ctprune.reduce(container, **options), "path")


@pytest.mark.parametrize("kind", WAYS)
def test_a_member_is_a_source(bucket: Path, files: dict[str, bytes], kind: str, tmp_path: Path) -> None:
    container = packed(bucket, kind, files)
    names = [name for name in files if name.endswith(".dcm")][:20]
    (tmp_path / "list.txt").write_text("".join(f"s3://bucket/sets/chest.{kind}!/{name}\n" for name in names))
    there = ctprune.reduce(from_list=tmp_path / "list.txt")
    here = ctprune.reduce([f"{container}!/{name}" for name in names])
    assert rows(there, "file_size") == rows(here, "file_size")
    one = ctprune.reduce(f"s3://bucket/sets/chest.{kind}!/{names[0]}", method="all")
    assert one.rows.select(["source", "path"]).to_dicts()[0] == {
        "source": "s3://bucket/sets",
        "path": f"chest.{kind}!/{names[0]}",
    }
    with pytest.raises(SourceError, match="the archive has no such readable member"):
        ctprune.reduce(f"s3://bucket/sets/chest.{kind}!/gone.dcm")


def test_containers_in_containers_are_read_one_level_deep(
    bucket: Path, files: dict[str, bytes], tmp_path: Path
) -> None:
    some = dict(list(files.items())[:12])
    inner = {kind: write_container(tmp_path / f"inner.{kind}", some).read_bytes() for kind in WAYS}
    deep = io.BytesIO()
    with zipfile.ZipFile(deep, "w") as opened:
        opened.writestr("inner.zip", inner["deflated.zip"])
    members = {f"{index}/inner.{kind}": content for index, (kind, content) in enumerate(inner.items())}
    for kind in ("deflated.zip", "tar.gz"):
        write_container(bucket / f"outer.{kind}", members | {"deep.zip": deep.getvalue()})
    here = ctprune.reduce(bucket, out=tmp_path / "here")
    there = ctprune.reduce("s3://bucket", out=tmp_path / "there")
    assert rows(there, "path", "code") == rows(here, "path", "code")
    stores = [ctprune.build_store(tmp_path / name, side=16, use="all").pixels for name in ("here", "there")]
    assert np.array_equal(*stores)
    again = ctprune.reduce("s3://bucket", out=tmp_path / "there")
    assert again == there


@pytest.mark.parametrize("kind", ["stored.zip", "tar.gz"])
def test_what_only_its_bytes_tell_to_be_a_container_is_one(
    bucket: Path, files: dict[str, bytes], kind: str, tmp_path: Path
) -> None:
    write_container(tmp_path / f"a.{kind}", files).rename(bucket / "download")
    there, here = ctprune.reduce("s3://bucket"), ctprune.reduce(bucket)
    assert rows(there, "path") == rows(here, "path")
    assert here.counts()["kept"] > 0


@pytest.mark.parametrize("name", ["cut.zip", "text.zip", "cut.tar.gz", "damaged.tar.gz", "cut.tar"])
def test_broken_containers_have_the_reason_that_they_have_here(
    bucket: Path, files: dict[str, bytes], name: str
) -> None:
    kind = {"cut.zip": "stored.zip", "text.zip": "stored.zip", "cut.tar": "tar"}.get(name, "tar.gz")
    content = bytearray(write_container(bucket / f"whole.{kind}", files).read_bytes())
    (bucket / f"whole.{kind}").unlink()
    if name.startswith("cut"):
        del content[len(content) * 2 // 3 :]
    elif name.startswith("text"):
        content[:] = b"no zip file" * 100
    else:
        content[len(content) // 2] ^= 0xFF
    (bucket / name).write_bytes(content)
    there, here = ctprune.reduce("s3://bucket"), ctprune.reduce(bucket)
    if name == "cut.tar":
        # Here each member after the cut has a row; there nothing comes after it.
        assert there.counts()["kept"] == here.counts()["kept"] > 0
        assert there.counts()["failed"] > 1
    else:
        assert rows(there, "path", "code") == rows(here, "path", "code")
    assert here.counts()["failed"] > 0


def test_bombs_are_stopped(bucket: Path) -> None:
    with zipfile.ZipFile(bucket / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("large.dcm", b"\0" * (80 << 20))
    there, here = (ctprune.reduce(source, max_slice_mb=8) for source in ("s3://bucket", bucket))
    assert rows(there, "path", "code") == rows(here, "path", "code")
    assert set(here.rows.labels("code")[0]) >= {"E-TOO-LARGE"}


def test_a_folder_with_the_mark_is_a_folder(bucket: Path, files: dict[str, bytes]) -> None:
    write_container(bucket / "set.stored.zip", files)
    (bucket / "set.stored.zip!").mkdir()
    name = next(name for name in files if name.endswith(".dcm") and "scout" not in name)
    (bucket / "set.stored.zip!" / "1.dcm").write_bytes(files[name])
    there, here = ctprune.reduce("s3://bucket"), ctprune.reduce(bucket)
    assert rows(there, "path", "code") == rows(here, "path", "code")


@pytest.mark.parametrize("kind", ["deflated.zip", "tar.gz"])
def test_faults_are_survived(
    bucket: Path, files: dict[str, bytes], kind: str, faults: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PORTION", 5_000)
    container = packed(bucket, kind, files)
    faults.fault = lambda method, key, before: (None, None, 503, None, None, "cut", None, None, "reset")[
        before % 9
    ]
    there = ctprune.reduce("s3://bucket/sets")
    assert rows(there, "path") == rows(ctprune.reduce(container.parent), "path")
    faults.fault = lambda method, key, before: "reset" if before > 5 and key else None
    faults.requests.clear()
    connections.forget()
    with pytest.raises(NetworkError, match="check the network"):
        ctprune.reduce("s3://bucket/sets")


@pytest.mark.parametrize("kind", ["deflated.zip", "tar.gz"])
def test_a_container_that_changes_while_it_is_read_is_not_mixed(
    bucket: Path, files: dict[str, bytes], kind: str, faults: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PORTION", 5_000)
    container = packed(bucket, kind, files)

    def change(method: str, key: str, before: int) -> None:
        if before == 10:
            os.utime(container, ns=(1, 1))

    faults.fault = change
    reasons = ctprune.reduce("s3://bucket/sets").rows
    assert any("changed while it was read" in (row["reason"] or "") for row in reasons.to_dicts())


@pytest.mark.parametrize("kind", ["stored.zip", "tar"])
def test_servers_without_parts(
    tmp_path: Path, files: dict[str, bytes], kind: str, faults: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PORTION", 20_000)
    container = write_container(tmp_path / f"chest.{kind}", files)
    faults.fault = lambda method, key, before: "whole" if before % 3 else "cut" if before else None
    with serving(tmp_path, faults) as url:
        there = ctprune.reduce(f"{url}/chest.{kind}", out=tmp_path / "run")
        if kind == "tar":
            assert rows(there, "path") == rows(ctprune.reduce(container), "path")
            assert len(ctprune.build_store(tmp_path / "run", side=16).pixels) == len(there.kept())
        else:
            assert "the server sends no parts" in there.rows.to_dicts()[0]["reason"]
            name = next(name for name in files if name.endswith(".dcm") and "scout" not in name)
            assert describe(f"{url}/chest.{kind}!/{name}")[0]["status"] == "slice"


def test_many_tar_files_and_shards(bucket: Path, files: dict[str, bytes], tmp_path: Path) -> None:
    names = list(files)
    for number in range(7):
        write_container(bucket / f"{number}.tar.gz", {name: files[name] for name in names[number::7]})
    write_zip(bucket / "all.zip", files)
    here = ctprune.reduce(bucket)
    assert rows(ctprune.reduce("s3://bucket", threads=1), "path") == rows(here, "path")
    for number in (2, 1, 3):
        ctprune.read_shard("s3://bucket", shard=f"{number}/3", out=tmp_path / "run")
    joined = ctprune.reduce("s3://bucket", out=tmp_path / "run")
    assert rows(joined, "path") == rows(here, "path")


def test_a_deep_path_without_a_container_is_an_object(bucket: Path, files: dict[str, bytes]) -> None:
    name = next(name for name in files if name.endswith(".dcm") and "scout" not in name)
    (bucket / "odd!").mkdir()
    (bucket / "odd!" / "1.dcm").write_bytes(files[name])
    there = ctprune.reduce("s3://bucket", method="all")
    assert list(there.rows["path"]) == ["odd!/1.dcm"]
    assert ctprune.reduce("s3://bucket/odd!/1.dcm", method="all").counts()["kept"] == 1
    assert describe("s3://bucket/odd!/1.dcm")[0]["status"] == "slice"
    ctprune.Manifest(there.rows, there.config, there.ctprune_version).slices().check_files()


_REDUCE = """
import sys
from ctprune.__main__ import main
sys.argv = ["ctprune", "reduce", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_ctrl_c_while_a_server_hangs(
    bucket: Path, files: dict[str, bytes], kind: str, tmp_path: Path, faults: Plan
) -> None:
    packed(bucket, "tar.gz" if kind == "tar.gz" else "stored.zip", files)
    silent = threading.Event()
    hung = threading.Event()

    def hang(method: str, key: str, before: int) -> None:
        if before >= 1 and key:
            hung.set()
            silent.wait(60)

    faults.fault = hang
    process = subprocess.Popen(
        [sys.executable, "-c", _REDUCE, "s3://bucket/sets", "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert hung.wait(60)
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        took = time.monotonic() - began
    finally:
        silent.set()
        process.kill()
    assert process.returncode == 130, said
    assert "interrupted" in said
    # Room for a busy machine; a request has 30 seconds.
    assert took < 4
