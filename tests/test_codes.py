"""Every refusal has a stable code, and every code is planted; runs that go wrong end early."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from docs.codes import PAGE, inserted
from PIL import Image
from pydicom.encaps import encapsulate

import ctprune
from ctprune import _core
from ctprune.manifest.refused import total
from tests.conftest import Cli
from tests.printed import result_of

ROOT = Path(__file__).parents[1]

#: Codes that no file alone brings about: the tests that do.
ELSEWHERE = {
    "E-PERMISSION": "tests/test_source_faults.py",
    "E-PYDICOM-MEMORY": "tests/test_hostile.py",
    "E-PYDICOM-TIME": "tests/test_hostile.py",
    "E-PYDICOM-CRASH": "tests/test_hostile.py",
    "E-DECODER": "rust/ctprune-dicom/src/contain.rs",
    "E-NETWORK": "rust/ctprune-py/src/fetch.rs",
    "S-NOT-INCLUDED": "tests/checking/test_gates.py",
    "S-PLANE": "tests/checking/test_gates.py",
    "S-DERIVED": "tests/checking/test_gates.py",
    "S-THICKNESS": "tests/checking/test_gates.py",
    "S-FEW-SLICES": "tests/checking/test_gates.py",
    "S-SAME-POSITION": "tests/checking/test_gates.py",
    "S-FINDING": "tests/checking/test_gates.py",
    "S-SAME-SCAN": "tests/test_one_per_scan.py",
}


def dataset_with(**changes: object) -> Callable[[Path, Path], None]:
    """A slice with these attributes; None leaves one out."""

    def plant(ct_file: Path, folder: Path) -> None:
        dataset = pydicom.dcmread(ct_file)
        for name, value in changes.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        if "SOPClassUID" in changes:
            dataset.file_meta.MediaStorageSOPClassUID = str(changes["SOPClassUID"])
        dataset.save_as(folder / "slice.dcm")

    return plant


def content(name: str, data: bytes) -> Callable[[Path, Path], None]:
    return lambda ct_file, folder: folder.joinpath(name).write_bytes(data) and None


def truncated(ct_file: Path, folder: Path) -> None:
    (folder / "slice.dcm").write_bytes(ct_file.read_bytes()[:-100])


def video(ct_file: Path, folder: Path) -> None:
    dataset = pydicom.dcmread(ct_file)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
    dataset.PixelData = encapsulate([b"no video"])
    dataset.save_as(folder / "slice.dcm")


def large(ct_file: Path, folder: Path) -> None:
    pixels = np.zeros((1024, 1024), "<u2").tobytes()
    dataset_with(Rows=1024, Columns=1024, PixelData=pixels)(ct_file, folder)


def corrupt_png(ct_file: Path, folder: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (32, 32), np.uint8)).save(folder / "a.png")
    data = bytearray((folder / "a.png").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / "a.png").write_bytes(data)


def nifti(*sizes: int, values: bytes = b"", magic: bytes = b"n+1\0") -> bytes:
    """A NIfTI-1 file of 32-bit floats."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into(f"<{1 + len(sizes)}h", header, 40, len(sizes), *sizes)
    struct.pack_into("<2h", header, 70, 16, 32)
    struct.pack_into("<8f", header, 76, *[1.0] * 8)
    struct.pack_into("<3f", header, 108, 352.0, 1.0, 0.0)
    header[344:348] = magic
    return bytes(header) + values


def thumbnail(ct_file: Path, folder: Path) -> None:
    page = Image.fromarray(np.full((16, 16), 1, np.uint8))
    page.save(folder / "a.tif", tiffinfo={254: 1})


def fifo(ct_file: Path, folder: Path) -> None:
    os.mkfifo(folder / "slice.dcm")


def strange_name(ct_file: Path, folder: Path) -> None:
    (Path(os.fsdecode(os.fsencode(folder) + b"/slice-\xff.dcm"))).write_bytes(b"x")


def broken_link(ct_file: Path, folder: Path) -> None:
    (folder / "slice.dcm").symlink_to(folder / "nowhere.dcm")


def unreadable(ct_file: Path, folder: Path) -> None:
    # The system's own file of a process's memory: regular, and reading its beginning is an error of the device.
    (folder / "slice.dcm").symlink_to("/proc/self/mem")


def linked(ct_file: Path, folder: Path) -> None:
    (folder / "there").mkdir()
    shutil.copy(ct_file, folder / "there")
    (folder / "link").symlink_to(folder / "there")


def dicomdir(ct_file: Path, folder: Path) -> None:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.DirectoryRecordSequence = []
    dataset.save_as(folder / "DICOMDIR", enforce_file_format=False)


def zipped(ct_file: Path, folder: Path, *, encrypted: bool = False, method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w", method) as opened:
        opened.write(ct_file, "a.dcm")
    if encrypted:
        # The lowest bit of the flags, before the member and in the central directory.
        content = bytearray((folder / "a.zip").read_bytes())
        content[6] |= 1
        content[content.index(b"PK\x01\x02") + 8] |= 1
        (folder / "a.zip").write_bytes(content)


def packed(ct_file: Path, folder: Path) -> None:
    with tarfile.open(folder / "a.tar.gz", "w:gz") as opened:
        opened.add(ct_file, "a.dcm")


STORAGE = "1.2.840.10008.5.1.4.1.1."

PLANTED: dict[str, Callable[[Path, Path], None]] = {
    "E-IO": unreadable,
    "E-VANISHED": broken_link,
    "E-NOT-REGULAR": fifo,
    "E-NAME": strange_name,
    "E-EMPTY": content("slice.dcm", b""),
    "E-UNRECOGNIZED": content("slice.dcm", b"This is a text. " * 20),
    "E-MISSING": dataset_with(PixelData=None),
    "E-INVALID": dataset_with(RescaleSlope="0"),
    "E-TRUNCATED": truncated,
    "E-CORRUPT": corrupt_png,
    "E-TOO-LARGE": large,
    "E-UNSUPPORTED-SYNTAX": video,
    "E-UNSUPPORTED": dataset_with(BitsAllocated=64),
    "E-PIXELS": content("nan.nii", nifti(4, 4, 1, values=np.full(16, np.nan, "<f4").tobytes())),
    "E-ARCHIVE": partial(zipped, method=zipfile.ZIP_BZIP2),
    "E-ENCRYPTED": partial(zipped, encrypted=True),
    "S-ARCHIVE": packed,
    "S-NO-MEMBERS": content("a.zip", b"PK\x05\x06" + bytes(18)),
    "S-NOT-AN-IMAGE": content("notes.txt", b"This is a text."),
    "S-EXCLUDED": content("excluded.dcm", b"x"),
    "S-LINKED": linked,
    "S-MODALITY": dataset_with(Modality="MR"),
    "S-DICOMDIR": dicomdir,
    "S-LOCALIZER": dataset_with(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    "S-PAGE": dataset_with(
        ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"],
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
    ),
    "S-SECONDARY-CAPTURE": dataset_with(SOPClassUID=STORAGE + "7"),
    "S-SEGMENTATION": dataset_with(SOPClassUID=STORAGE + "66.4"),
    "S-STRUCTURED-REPORT": dataset_with(SOPClassUID=STORAGE + "88.67"),
    "S-NO-PIXELS": dataset_with(SOPClassUID=STORAGE + "11.1", PixelData=None, Rows=None),
    "S-COLOR": dataset_with(PhotometricInterpretation="RGB", SamplesPerPixel=3),
    "S-THUMBNAIL": thumbnail,
    "S-NIFTI-PAIR": content("a.hdr", nifti(4, 4, 1, magic=b"ni1\0")),
    "S-DIMENSIONS": content("a.nii", nifti(2, 2, 2, 1, 2, values=bytes(64))),
}


def test_every_code_is_planted_and_none_is_unknown() -> None:
    known = [name for name, *_ in _core.codes()]
    assert len(known) == len(set(known))
    assert set(known) == {*PLANTED, *ELSEWHERE}
    for code, file in ELSEWHERE.items():
        words = {"E-DECODER": "Code::Decoder", "E-NETWORK": "Code::Network"}.get(code, code)
        assert words in (ROOT / file).read_text(), code


@pytest.mark.skipif(sys.platform != "linux", reason="names and devices of Linux")
@pytest.mark.parametrize("code", PLANTED)
def test_a_refusal_has_its_code(ct_file: Path, tmp_path: Path, code: str) -> None:
    PLANTED[code](ct_file, tmp_path)
    manifest = ctprune.reduce(tmp_path, max_slice_mb=1, exclude=["excluded*"])
    refused = [row for row in manifest.rows.to_dicts() if row["status"] in ("skipped", "failed")]
    assert [row["code"] for row in refused] == [code], refused
    assert refused[0]["status"] == ("failed" if code.startswith("E-") else "skipped")
    assert refused[0]["reason"]
    # A second run takes skipped files over with their codes, and tries failed ones again.
    out = tmp_path.with_name(f"{tmp_path.name}-run")
    for _ in range(2):
        again = ctprune.reduce(tmp_path, out=out, max_slice_mb=1, exclude=["excluded*"])
        assert again.rows == manifest.rows


def test_slices_have_no_code(manifest: ctprune.Manifest) -> None:
    assert set(manifest.kept().to_dicts()[0]) >= {"code", "reason"}
    assert {row["code"] for row in manifest.kept().to_dicts()} == {None}


def test_the_documented_codes_are_those_of_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == inserted(text), "run 'python -m docs.codes'"


def test_codes_are_shown(cli: Cli, ct_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    truncated(ct_file, source)
    shutil.copy(ct_file, source / "whole.dcm")
    (source / "notes.txt").write_text("nothing")
    reduced = cli("reduce", "in", "--out", "run")
    assert reduced.returncode == 3
    assert "E-TRUNCATED: " in reduced.stdout
    assert "S-NOT-AN-IMAGE: not DICOM, NIfTI, PNG, JPEG or TIFF" in reduced.stdout
    assert "(E-TRUNCATED)" in reduced.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert total(summary["failed"], "E-TRUNCATED") == total(summary["failed"]) == 1
    assert summary["skipped"] == {"S-NOT-AN-IMAGE": {"not DICOM, NIfTI, PNG, JPEG or TIFF": 1}}
    assert "E-TRUNCATED" in cli("info", source / "slice.dcm").stdout
    described = result_of("info", cli("info", source / "slice.dcm", "--json").stdout)
    assert described["slices"][0]["code"] == "E-TRUNCATED"
    assert "E-TRUNCATED" in cli("info", "run").stdout
    cli("report", "run")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<td>E-TRUNCATED<td>" in page
    assert "<td>S-NOT-AN-IMAGE<td>" in page
    stopped = cli("reduce", "in", "--out", "other", "--fail-first")
    assert stopped.returncode == 1
    assert stopped.stderr.endswith("(E-TRUNCATED)\n")


def failing(ct_file: Path, folder: Path, *, good: int, bad: int) -> Path:
    folder.mkdir()
    shutil.copy(ct_file, folder / "b.dcm")
    for number in range(good):
        os.link(folder / "b.dcm", folder / f"b{number}.dcm")
    for number in range(bad):
        (folder / f"a{number}.dcm").write_bytes(b"")
    return folder


def test_a_run_that_goes_wrong_ends_and_resumes(cli: Cli, ct_file: Path, tmp_path: Path) -> None:
    source = failing(ct_file, tmp_path / "in", good=30, bad=4)
    ended = cli("reduce", "in", "--out", "run", "--max-failed", "10%", "--quiet")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "Error: 4 of 35 files read so far could not be read, all with E-EMPTY; --max-failed allows 10%: fix "
        "that, then rerun to resume, or allow more\n"
    )
    assert not (tmp_path / "run" / "manifest.parquet").exists()
    for file in source.glob("a*"):
        file.unlink()
    resumed = cli("reduce", "in", "--out", "run", "--max-failed", "10%", "--json")
    assert resumed.returncode == 0
    summary = result_of("reduce", resumed.stdout)
    assert (summary["files_read"], summary["files_reused"]) == (0, 31)
    assert ctprune.Manifest.load(tmp_path / "run").rows == ctprune.reduce(source).rows


def test_a_share_counts_from_a_hundred_files_on_and_at_the_end(ct_file: Path, tmp_path: Path) -> None:
    source = failing(ct_file, tmp_path / "in", good=60, bad=3)
    assert ctprune.reduce(source, max_failed=0.05).counts()["failed"] == 3
    assert ctprune.reduce(source, max_failed=3).counts()["failed"] == 3
    with pytest.raises(ctprune.UnreadableError, match=r"3 of 64 files .* `max_failed` allows 1%: fix that, or"):
        ctprune.reduce(source, max_failed=0.01)
    with pytest.raises(ctprune.UnreadableError, match=r"3 of 64 files .* `max_failed` allows 2: "):
        ctprune.reduce(source, max_failed=2)
    with pytest.raises(ctprune.UnreadableError, match="allows 0: "):
        ctprune.reduce(source, max_failed=0)


def test_a_run_ends_long_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Empty files are read so fast that one portion might hold them all.
    monkeypatch.setattr("ctprune.reduction.reading.PORTION", 1e-6)
    source = tmp_path / "in"
    source.mkdir()
    for number in range(20_000):
        (source / f"{number}.dcm").write_bytes(b"")
    with pytest.raises(ctprune.UnreadableError) as error:
        ctprune.reduce(source, max_failed="1%")  # type: ignore[arg-type]
    assert "of 20,000 files" not in str(error.value)


@pytest.mark.parametrize("value", ["nothing", "100%", 1.5, -1, "-1%"])
def test_what_is_no_share_is_refused(value: object) -> None:
    with pytest.raises(ctprune.ConfigError, match=r"max_failed .*: expected a share"):
        ctprune.ReduceConfig(max_failed=value)  # type: ignore[arg-type]


def test_codes_of_refused_rows_are_checked(manifest: ctprune.Manifest, tmp_path: Path) -> None:
    from tests.test_manifest import refusal

    last = len(manifest) - 1
    for row, value, expected in (
        (0, "E-IO", "no code for a slice"),
        (last, None, "a code of the row's status"),
        (last, "E-NOTHING", "a code of the row's status"),
    ):
        assert f"row {row}: code: expected {expected}" in refusal(manifest, tmp_path, "code", row, value)


def test_the_exit_codes_of_the_page_are_those_of_the_program() -> None:
    from ctprune.cli import output

    text = (ROOT / "docs" / "terminal.md").read_text()
    for name in ("FAILED", "WRONG_USAGE", "DONE_WITH_FAILURES", "NO_SLICES", "INTERRUPTED"):
        assert f"| {getattr(output, name)} |" in text
