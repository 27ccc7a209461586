"""What reading zip and tar files elsewhere costs: requests, bytes, memory, room on this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune.reduction.info import describe
from ctprune.sources import connections, opened
from tests.containers import write_container
from tests.sources.faulty import Plan
from tests.sources.packed import packed, rows


@pytest.mark.parametrize("kind", ["stored.zip", "tar"])
def test_memory_stays_bounded_and_zip_files_are_not_read_whole(
    bucket: Path, files: dict[str, bytes], kind: str, faults: Plan
) -> None:
    large = {f"{number}.bin": os.urandom(1 << 20) for number in range(24)}
    container = packed(bucket, kind, files | large)
    faults.bytes_sent = 0
    there = ctprune.reduce("s3://bucket/sets", exclude=("**/*.bin",))
    assert rows(there, "path") == rows(ctprune.reduce(container.parent, exclude=("**/*.bin",)), "path")
    whole = container.stat().st_size
    assert (faults.bytes_sent < whole - (20 << 20)) == kind.endswith("zip")


def test_a_tar_file_is_asked_for_once(bucket: Path, files: dict[str, bytes], tmp_path: Path, faults: Plan) -> None:
    container = packed(bucket, "tar.gz", files)
    faults.bytes_sent = 0
    ctprune.reduce("s3://bucket/sets", out=tmp_path / "run")
    size = container.stat().st_size
    assert faults.bytes_sent < size + (1 << 20)
    connections.forget()
    faults.bytes_sent = 0
    ctprune.build_store(tmp_path / "run", side=16)
    ctprune.write_report(tmp_path / "run")
    assert faults.bytes_sent < size + (1 << 20)


@pytest.mark.parametrize("outer", ["stored.zip", "tar"])
def test_a_tar_file_in_a_container_is_unpacked_once(
    bucket: Path, files: dict[str, bytes], faults: Plan, monkeypatch: pytest.MonkeyPatch, outer: str
) -> None:
    """However its members are asked for, in turns with those of another one."""
    inner = {}
    for name in ("one.tar", "two.tar.gz"):
        file = write_container(bucket / name, files)
        inner[name] = file.read_bytes()
        file.unlink()
    write_container(bucket / f"sets.{outer}", inner)
    unpacked: list[str] = []
    unpack = opened._unpacked

    def counted(store: Any, path: str, *rest: Any) -> Any:
        unpacked.append(path)
        return unpack(store, path, *rest)

    monkeypatch.setattr(opened, "_unpacked", counted)
    connection = connections.connection_of("s3://bucket")
    for name, content in files.items():
        for tar in inner:
            assert connection.read(f"sets.{outer}!/{tar}!/{name}", None) == content
    assert unpacked == [*(["sets.tar"] if outer == "tar" else []), *inner]
    assert faults.requests[f"sets.{outer}"] < 10


def test_there_must_be_room_for_a_copy(
    bucket: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed(bucket, "tar.gz", files)
    full = shutil.disk_usage("/")._replace(free=1 << 30)
    monkeypatch.setattr(opened.shutil, "disk_usage", lambda folder: full)
    name = next(iter(files))
    (found,) = describe(f"s3://bucket/sets/chest.tar.gz!/{name}")
    assert "larger than the room for temporary files" in found["reason"]
