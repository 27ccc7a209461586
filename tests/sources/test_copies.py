"""Copies of runs in an object store on this machine: who may make them, where they lie, and when they go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ctprune
from tests.conftest import Cli
from tests.sources.faulty import Fault, Plan

OUT = "s3://bucket/runs/a/"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies") / "in"
    ctprune.phantom.write_archive(folder, patients=1, size=64, slices=6)
    return folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_info_prints_a_run_elsewhere_as_one_here(source: Path, bucket: Path, cli: Cli, tmp_path: Path) -> None:
    ctprune.reduce(source, out=OUT)
    ctprune.reduce(source, out=tmp_path / "here")
    there, here = (json.loads(cli("info", run, "--json").stdout) for run in (OUT, tmp_path / "here"))
    assert there["schema"] == here["schema"]
    assert there["result"].keys() == here["result"].keys()
    assert there["result"]["kept"] == here["result"]["kept"]


def test_calls_leave_no_copy(source: Path, bucket: Path, faults: Plan, temporary: Path) -> None:
    ctprune.read_shard(source, shard="1/2", out=OUT)
    assert ctprune.missing_shards(OUT) == (2,)
    with pytest.raises(ctprune.ConfigError, match="use the same number of shards"):
        ctprune.read_shard(source, shard="1/3", out=OUT)
    ctprune.reduce(source, out=OUT)
    assert ctprune.verify(OUT) == []
    ctprune.merge([OUT, OUT], out="s3://bucket/runs/both")
    faults.fault = lambda method, key, before: 403
    works: list[Callable[[], Any]] = [
        lambda: ctprune.reduce(source, out=OUT),
        lambda: ctprune.verify(OUT),
        lambda: ctprune.missing_shards(OUT),
    ]
    for work in works:
        with pytest.raises(ctprune.SourceError, match=r"s3://bucket/runs/a: access is denied \(403\)"):
            work()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "1 / 0", "os.kill(os.getpid(), signal.SIGINT)"])
def test_processes_leave_no_copy(source: Path, bucket: Path, temporary: Path, end: str) -> None:
    """Copies that are kept for later commands go with the process, however that ends."""
    if not hasattr(os, "fork"):
        pytest.skip("no forks")
    ctprune.reduce(source, out=OUT)
    count = f"print(len(os.listdir({str(temporary)!r})), flush=True)\n"
    code = f"import os, signal, ctprune\nctprune.Manifest.load('{OUT}')\n{count}"
    # The first count is flushed, or the fork would print it once more.
    code += f"if os.fork() == 0: raise SystemExit\nos.wait()\n{count}{end}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    # The end of a fork removes nothing of its parent's.
    assert done.stdout == "1\n1\n", done.stderr
    assert list(temporary.iterdir()) == []


def test_without_room_for_a_copy_the_user_is_told_where_to_make_some(
    source: Path, bucket: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no limits of this kind")
    ctprune.reduce(source, out=OUT)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    try:
        with pytest.raises(ctprune.OutputError) as copying:
            ctprune.Manifest.load(OUT)
        with pytest.raises(ctprune.OutputError) as writing:
            ctprune.reduce(source, out="s3://bucket/runs/b")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    remedy = "set TMPDIR to a folder with more room that can be written"
    assert str(copying.value) == f"s3://bucket/runs/a: cannot be copied to {temporary}: File too large: {remedy}"
    assert str(writing.value).startswith("s3://bucket/runs/b/")
    assert str(writing.value).endswith(f"File too large: its copy is in {temporary}: {remedy}")
    assert list(temporary.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "none"))
    works: list[Callable[[], Any]] = [
        lambda: ctprune.Manifest.load(OUT),
        lambda: ctprune.reduce(source, out=OUT),
        lambda: ctprune.missing_shards(OUT),
    ]
    for work in works:
        with pytest.raises(ctprune.OutputError, match=f"^s3://bucket/runs/a: cannot be copied to .*: {remedy}$"):
            work()


def test_what_may_be_read_and_not_listed_can_be_used(
    source: Path, bucket: Path, faults: Plan, cli: Cli, tmp_path: Path
) -> None:
    """Such a store says of an object that is not there that access is denied."""
    ctprune.reduce(source, out=OUT)
    file = next(file for file in source.rglob("*.dcm") if "PS30s" in file.parent.name)
    (bucket / "one.dcm").write_bytes(file.read_bytes())

    def fault(method: str, key: str, before: int) -> Fault:
        return None if method in ("GET", "HEAD") and (bucket / key).is_file() else 403

    faults.fault = fault
    assert ctprune.Manifest.load(OUT).counts()["kept"] > 0
    assert ctprune.write_report(OUT, out=tmp_path / "page.html").pictures > 0
    assert ctprune.sweep(OUT).methods == ["hash"]
    assert cli("info", OUT, "--json").returncode == 0
    told = cli("info", "s3://bucket/one.dcm", "--json")
    assert (told.returncode, len(json.loads(told.stdout)["result"]["slices"])) == (0, 1), told.stderr
    assert ctprune.check("s3://bucket/one.dcm")
    with pytest.raises(ctprune.SourceError, match=r"s3://bucket/none: access is denied \(403\)"):
        ctprune.Manifest.load("s3://bucket/none")


def test_nothing_is_asked_of_a_store_before_it_is_known_where_to_write(
    source: Path, bucket: Path, faults: Plan
) -> None:
    ctprune.reduce(source, out=OUT)
    faults.requests.clear()
    with pytest.raises(ctprune.ConfigError, match="s3://bucket/runs/a/ is not on this machine"):
        ctprune.write_report(OUT)
    assert not faults.requests
