"""Buckets of Google and Azure: the oracle is the same files in a folder, and a run that is written to a folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.manifest.manifest import FILE_NAME
from ctprune.sources import connections
from ctprune.sources.addresses import parse_address
from ctprune.sources.prefix import Prefix
from tests.containers import write_container
from tests.sources.clouds import CLOUDS, lead_to
from tests.sources.faulty import Plan, serving
from tests.sources.test_reduce import rows


@pytest.fixture(params=list(CLOUDS))
def cloud(
    request: pytest.FixtureRequest, tmp_path: Path, faults: Plan, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The address of a bucket, of which `tmp_path / "bucket"` is what it holds."""
    folder = tmp_path / "bucket"
    folder.mkdir()
    with serving(folder, faults, CLOUDS[request.param][0]) as url:
        lead_to(request.param, url, tmp_path, monkeypatch)
        yield f"{request.param}://bucket"


@pytest.fixture
def held(tmp_path: Path, cloud: str, archive: Path, files: dict[str, bytes]) -> Path:
    """What the bucket holds: slices, a text, a broken object, a zip file and a tar file."""
    folder = tmp_path / "bucket"
    shutil.copytree(archive, folder / "in")
    (folder / "in" / "notes.txt").write_text("no slice")
    (folder / "in" / "b c" / "\u00e4+%20.dcm").parent.mkdir()
    (folder / "in" / "b c" / "\u00e4+%20.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 100)
    for kind in ("deflated.zip", "tar.gz"):
        write_container(folder / "in" / f"packed.{kind}", dict(list(files.items())[:5]))
    return folder


def slices(manifest: ctprune.Manifest) -> list[dict[str, Any]]:
    """The rows of slices and of what failed, wherever they are."""
    return [row for row in rows(manifest, "path", "file_size") if row["status"] != "'skipped'"]


def test_a_bucket_gives_what_its_folder_gives(cloud: str, held: Path, tmp_path: Path, faults: Plan) -> None:
    here, there = ctprune.reduce(held / "in"), ctprune.reduce(f"{cloud}/in", out=tmp_path / "run")
    assert slices(there) == slices(here)
    assert here.counts()["kept"] > 0
    assert there.counts()["failed"] == here.counts()["failed"]
    faults.requests.clear()
    connections.forget()
    assert ctprune.reduce(f"{cloud}/in", out=tmp_path / "run") == there
    # What could not be read is tried again, and directories of zip files are read.
    assert not [key for key in faults.requests if key.endswith(".dcm") and "%" not in key]
    assert ctprune.verify(tmp_path / "run", pixels=0.1) == []
    ctprune.reduce(held / "in", out=tmp_path / "here")
    stores = [ctprune.build_store(tmp_path / name, side=16, use="all").pixels for name in ("here", "run")]
    assert np.array_equal(*stores)


def test_faults_that_pass_change_nothing(cloud: str, held: Path, faults: Plan) -> None:
    kinds = (503, "reset", "cut", 429, "wrong-range", 500)
    faults.fault = lambda method, key, before: (
        kinds[(len(key) + before) % len(kinds)] if before % 2 == 0 else None  # type: ignore[return-value]
    )
    assert slices(ctprune.reduce(f"{cloud}/in")) == slices(ctprune.reduce(held / "in"))


@pytest.mark.parametrize(("fault", "reason"), [(403, "denied"), (404, "gone"), (412, "changed"), ("cut", "short")])
def test_faults_that_stay_are_rows(cloud: str, held: Path, faults: Plan, fault: Any, reason: str) -> None:
    key = sorted(file for file in (held / "in").rglob("*.dcm") if file.stat().st_size > 1000)[3]
    asked_for = key.relative_to(held).as_posix()
    faults.fault = lambda method, asked, before: fault if asked == asked_for else None
    failed = ctprune.reduce(f"{cloud}/in").with_status("failed").to_dicts()
    found = {f"in/{row['path']}": row["reason"] for row in failed}
    assert reason in found[asked_for]


@pytest.mark.parametrize("fault", [None, "lost", 503])
def test_a_run_is_published_and_used(cloud: str, tmp_path: Path, faults: Plan, fault: Any) -> None:
    source, out = tmp_path / "small", f"{cloud}/runs/a"
    ctprune.phantom.write_archive(source, patients=1, size=64, slices=6)
    ctprune.reduce(source, out=tmp_path / "one")
    expected = (tmp_path / "one" / FILE_NAME).read_bytes()
    faults.fault = lambda method, key, before: fault if method != "GET" and before % 3 == 0 else None
    for number in (2, 1):
        ctprune.read_shard(source, shard=f"{number}/2", out=out)
    ctprune.reduce(source, out=out)
    published = tmp_path / "bucket/runs/a"
    assert (published / FILE_NAME).read_bytes() == expected
    assert [file for file in (published / "parts").rglob("*") if file.is_file()] == []
    assert ctprune.verify(out) == []
    # Another threshold replaces what was seen, and only that.
    again = ctprune.reduce(source, out=out, threshold=4)
    assert ctprune.Manifest.load(out) == again
    assert ctprune.write_report(out, out=tmp_path / "report.html").pictures > 0


def test_nothing_is_replaced_unseen(cloud: str, tmp_path: Path) -> None:
    prefix = Prefix(parse_address(f"{cloud}/runs"))
    assert prefix.create("a", b"1")
    assert not prefix.create("a", b"2")
    assert prefix.read("a") == b"1"
    seen = prefix.entry("a")
    assert seen is not None
    assert prefix.replace("a", b"33", seen.version)
    assert not prefix.replace("a", b"4", seen.version)
    [listed] = prefix.entries()
    prefix.fetch(listed, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"33"
    prefix.remove(["a", "gone"])
    assert not prefix.replace("a", b"5", seen.version)
    assert prefix.entries() == []
