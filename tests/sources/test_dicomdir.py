"""A DICOMDIR in a bucket, on a web server and in a container: what it lists and nothing else, as in a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune.files.key_file import make_key
from tests.containers import files_of, write_container
from tests.test_dicomdir import media

__all__ = ["media"]

COLUMNS = ["path", "status", "code", "reason", "fingerprint", "file_size"]


def without_place(manifest: ctprune.Manifest, before: str = "") -> list[dict[str, Any]]:
    """The rows but for where they are, and the times of files."""
    rows = manifest.rows.select(COLUMNS).to_dicts()
    return [row | {"path": row["path"].removeprefix(before)} for row in rows]


@pytest.fixture
def disk(media: Path, bucket: Path) -> Path:
    """Names in lower case with an ending, one file missing, one not listed."""
    folder = shutil.copytree(media, bucket / "dvd")
    for path in sorted(folder.rglob("*"), key=lambda path: -len(path.parts)):
        if path.is_file() and path.name not in ("DICOMDIR", "more"):
            path.rename(path.with_name(f"{path.name.lower()}.dcm"))
        elif path.is_dir():
            path.rename(path.with_name(path.name.lower()))
    next(folder.rglob("*.dcm")).unlink()
    return folder


def test_one_in_a_bucket_and_on_a_web_server(disk: Path, tmp_path: Path) -> None:
    here = ctprune.reduce(disk / "DICOMDIR", method="all")
    assert (here.counts()["failed"], "more" in here.rows["path"]) == (1, False)
    there = ctprune.reduce("s3://bucket/dvd/DICOMDIR", method="all", out=tmp_path / "run")
    assert without_place(there) == without_place(here)
    assert set(there.rows["source"]) == {"s3://bucket/dvd"}
    again: list[int] = []
    ctprune.reduce(
        "s3://bucket/dvd/DICOMDIR",
        method="all",
        out=tmp_path / "run",
        progress=lambda now: again.append(now.facts["files_read"]),
    )
    assert max(again) == 0
    assert [one.check for one in ctprune.verify(tmp_path / "run", pixels=0.1)] == []
    url = os.environ["AWS_ENDPOINT_URL"]
    web = ctprune.reduce(f"{url}/bucket/dvd/DICOMDIR", method="all")
    assert without_place(web) == without_place(here)
    key = make_key(tmp_path / "key")
    hidden = ctprune.reduce("s3://bucket/dvd/DICOMDIR", method="all", pseudonymize=key, out=tmp_path / "hidden")
    assert hidden.slices().check_files() is None
    (disk / "DICOMDIR").write_bytes((disk / "DICOMDIR").read_bytes()[:400])
    broken = ctprune.reduce("s3://bucket/dvd/DICOMDIR", method="all").rows.to_dicts()
    assert [(row["path"], row["status"]) for row in broken] == [("DICOMDIR", "failed")]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("folder", ["", "disc 1/"])
def test_one_in_a_container_here_and_there(
    disk: Path, bucket: Path, tmp_path: Path, kind: str, folder: str
) -> None:
    here = without_place(ctprune.reduce(disk / "DICOMDIR", method="all"))
    files = {f"{folder}{name}": content for name, content in files_of(disk).items()}
    packed = write_container(bucket / f"dvd.{'deflated.zip' if kind == 'zip' else kind}", files)
    before = f"{packed.name}!/{folder}"
    assert without_place(ctprune.reduce(f"{packed}!/{folder}DICOMDIR", method="all"), before) == here
    there = ctprune.reduce(f"s3://bucket/{packed.name}!/{folder}DICOMDIR", method="all", out=tmp_path / "run")
    assert without_place(there, before) == here
    assert ctprune.verify(tmp_path / "run") == []


def test_one_that_lists_itself_ends(media: Path, tmp_path: Path, renamed: Callable[[bytes], bytes]) -> None:
    files = files_of(media)
    packed = write_container(tmp_path / "dvd.deflated.zip", files | {"DICOMDIR": renamed(files["DICOMDIR"])})
    counts = ctprune.reduce(f"{packed}!/DICOMDIR", method="all").counts()
    assert counts["skipped"] == 1
    assert counts["kept"] > 0


@pytest.fixture
def renamed() -> Callable[[bytes], bytes]:
    """A DICOMDIR whose first record means the DICOMDIR itself."""
    from io import BytesIO

    import pydicom

    def change(content: bytes) -> bytes:
        dataset = pydicom.dcmread(BytesIO(content))
        for record in dataset.DirectoryRecordSequence:
            if "ReferencedFileID" in record:
                record.ReferencedFileID = "DICOMDIR"
                break
        written = BytesIO()
        dataset.save_as(written)
        return written.getvalue()

    return change
