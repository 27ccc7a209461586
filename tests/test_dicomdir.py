"""A DICOMDIR as source: what it lists and nothing else, under whatever names the disk has."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.fileset import FileSet

import ctprune
from tests.conftest import Cli
from tests.file_sets import write_file_set


@pytest.fixture(scope="module")
def media(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as on a CD: a DICOMDIR, written by pydicom, the files that it lists, and one that it does not."""
    rows = ctprune.reduce(archive, method="all").kept().to_dicts()
    listed = FileSet()
    for row in rows:
        if row["frame"] == 0 and row["path"].endswith(".dcm") and row["reader"] == "dicom":
            dataset = pydicom.dcmread(archive / row["path"])
            if dataset.get("NumberOfFrames", 1) == 1 and len(listed) < 40:
                dataset.PatientID = dataset.get("PatientID") or "1"
                listed.add(dataset)
    folder = tmp_path_factory.mktemp("media")
    write_file_set(listed, folder)
    shutil.copy(
        next(path for path in folder.rglob("*") if path.is_file() and path.name != "DICOMDIR"), folder / "more"
    )
    return folder


@pytest.fixture
def disk(media: Path, tmp_path: Path) -> Path:
    return shutil.copytree(media, tmp_path / "disk")


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in ("DICOMDIR", "more"))


def test_it_reads_what_is_listed(disk: Path, tmp_path: Path, cli: Cli) -> None:
    manifest = ctprune.reduce(disk / "DICOMDIR", method="all")
    assert {disk / path for path in manifest.rows["path"]} == set(files_of(disk))
    assert set(manifest.rows["source"]) == {str(disk)}
    (disk / "more").unlink()
    whole = ctprune.reduce(disk, method="all")
    assert manifest.kept().to_dicts() == whole.kept().to_dicts()
    reasons = {row["path"]: row["reason"] for row in whole.rows.to_dicts() if row["status"] == "skipped"}
    assert reasons == {"DICOMDIR": "DICOMDIR"}
    done = cli("reduce", disk / "DICOMDIR", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "rename",
    [
        str.lower,
        lambda name: f"{name}.dcm",
        lambda name: f"{name.lower()}.DCM",
        lambda name: f"{name}.;1",
        lambda name: f"{name};1",
    ],
)
def test_names_that_the_disk_has_changed(disk: Path, rename: Callable[[str], str]) -> None:
    expected = len(files_of(disk))
    for path in sorted(disk.rglob("*"), key=lambda path: -len(path.parts)):
        if path.is_file() and path.name not in ("DICOMDIR", "more"):
            path.rename(path.with_name(rename(path.name)))
        elif path.is_dir():
            path.rename(path.with_name(path.name.lower()))
    (disk / "DICOMDIR").rename(disk / "dicomdir")
    counts = ctprune.reduce(disk / "dicomdir", method="all").counts()
    assert counts == {"kept": expected, "dropped": 0, "skipped": 0, "failed": 0}


def test_missing_and_doubtful_files_fail(disk: Path) -> None:
    gone, doubtful, *_ = files_of(disk)
    gone.unlink()
    shutil.copy(doubtful, doubtful.with_suffix(".dcm"))
    doubtful.rename(doubtful.with_suffix(".jpg"))
    rows = ctprune.reduce(disk / "DICOMDIR", method="all").rows.to_dicts()
    reasons = {row["path"]: row["reason"] for row in rows if row["status"] == "failed"}
    assert reasons == {
        gone.relative_to(disk).as_posix(): "listed in the DICOMDIR, but not found",
        doubtful.relative_to(disk).as_posix(): (
            "listed in the DICOMDIR, but several files match: rename the others"
        ),
    }


def test_a_second_run_reads_nothing(disk: Path, tmp_path: Path) -> None:
    facts: dict[str, int] = {}
    first = ctprune.reduce(disk / "DICOMDIR", out=tmp_path / "run")
    again = ctprune.reduce(disk / "DICOMDIR", out=tmp_path / "run", progress=lambda now: facts.update(now.facts))
    assert (facts["files_read"], facts["files_reused"]) == (0, len(first))
    assert again.rows == first.rows


def test_paths_that_lead_out_are_not_followed(disk: Path) -> None:
    index = pydicom.dcmread(disk / "DICOMDIR")
    records = [record for record in index.DirectoryRecordSequence if "ReferencedFileID" in record]
    for record, names in zip(records, ([b"..", b"..", b"ETC", b"PASSWD"], [b"/ETC/PASSWD"]), strict=False):
        # As a file holds it: pydicom would not write it.
        record[0x0004_1500] = DataElement(0x0004_1500, "OB", b"\\".join(names))
    records[2].RecordInUseFlag = 0
    index.save_as(disk / "DICOMDIR")
    rows = ctprune.reduce(disk / "DICOMDIR", method="all").rows.to_dicts()
    failed = [row for row in rows if row["status"] == "failed"]
    assert {row["reason"] for row in failed} == {"listed in the DICOMDIR, but not found"}
    assert len(failed) == 2
    assert not any(".." in row["path"] for row in rows)
    assert len(rows) == len(records) - 1


@pytest.mark.parametrize("content", [b"", b"text", b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"])
def test_a_broken_one_is_a_failed_row(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(content)
    (row,) = ctprune.reduce(tmp_path / "DICOMDIR").rows.to_dicts()
    assert (row["status"], row["path"]) == ("failed", "DICOMDIR")


def test_a_cut_one_is_a_failed_row(disk: Path) -> None:
    whole = (disk / "DICOMDIR").read_bytes()
    (disk / "DICOMDIR").write_bytes(whole[: len(whole) // 2])
    (row,) = ctprune.reduce(disk / "DICOMDIR").rows.to_dicts()
    assert row["status"] == "failed"
    assert "ends inside" in row["reason"]
