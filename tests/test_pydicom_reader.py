"""What pydicom decodes where the Rust reader has no decoder gets the same row."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

import ctprune
from ctprune import _core
from ctprune.manifest.manifest import batches
from ctprune.reading.pydicom_reader import PydicomRefusal, read_attributes, read_slices
from ctprune.reading.resized import read_resized
from tests.mutations import with_modality_lut

LIMITS = {"modality": "CT", "max_slice_mb": 512}
DIFFERENT = {"reader", "path", "source", "file_size", "file_version", "pixel_padding"}


def refused(path: Path, **limits: object) -> str:
    with pytest.raises(PydicomRefusal) as refusal:
        list(read_slices(path, **LIMITS | limits))  # type: ignore[arg-type]
    return str(refusal.value)


def unsupported(ct_file: Path, file: Path) -> tuple[_core.Archive, int]:
    """An archive of this file, which Rust has refused."""
    with_modality_lut(ct_file, file)
    archive = _core.Archive(
        fingerprint="dhash", hash_size=8, intensity="minmax", modality="CT", max_slice_mb=512, threads=1
    )
    archive.add_file(file)
    archive.discover(1.0)
    archive.read(1.0)
    ((number, path),) = archive.unsupported()
    assert path == file
    return archive, number


def row_of(archive: _core.Archive) -> dict[str, object]:
    archive.group("position", None)
    archive.select(
        method="hash",
        threshold=6,
        keep=None,
        budget=None,
        n=None,
        seed=None,
        window=None,
        max_gap_mm=None,
        whole_archive=False,
        stable=False,
        volumes=None,
        decode=lambda path, frames: [],
        fetch=None,
        progress=lambda done: None,
    )
    (batch,) = batches(archive, archive.manifest_rows(), size=10)
    (row,) = batch.to_dicts()
    return row


def test_the_row_is_the_same_but_for_its_reader(ct_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "slice.dcm"
    archive, number = unsupported(ct_file, file)
    # As if a decoder beside pydicom could read what Rust does not support.
    shutil.copy(ct_file, file)
    for slice_ in read_slices(file, **LIMITS):  # type: ignore[arg-type]
        archive.add_foreign(number, *slice_)
    archive.end_foreign(number, None)
    found = row_of(archive)
    (expected,) = ctprune.reduce(ct_file).rows.to_dicts()
    assert found["reader"] == "pydicom"
    assert {k: v for k, v in found.items() if k not in DIFFERENT} == {
        k: v for k, v in expected.items() if k not in DIFFERENT
    }


def test_a_refusal_is_added_to_the_reason(ct_file: Path, tmp_path: Path) -> None:
    archive, number = unsupported(ct_file, tmp_path / "slice.dcm")
    for slice_ in read_slices(tmp_path / "slice.dcm", **LIMITS):  # type: ignore[arg-type]
        archive.add_foreign(number, *slice_)
    with pytest.raises(ValueError, match="unknown code"):
        archive.end_foreign(number, "too slow", "E-SLOW")
    archive.end_foreign(number, "pydicom took longer than 60 s", "E-PYDICOM-TIME")
    row = row_of(archive)
    assert row["code"] == "E-PYDICOM-TIME"
    assert (row["status"], row["reader"]) == ("failed", "dicom")
    assert str(row["reason"]).endswith("Rescale Slope and Intercept; pydicom took longer than 60 s")


def test_what_pydicom_refuses_too_stays_refused(ct_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "slice.dcm"
    file.write_bytes(ct_file.read_bytes()[:-100])
    assert refused(file) == "pydicom cannot read it either"
    file.write_bytes(b"no DICOM at all")
    assert refused(file) == "pydicom cannot read it either"
    assert refused(tmp_path / "absent.dcm") == "pydicom cannot read it either"


def test_other_modalities_limits_and_slopes_are_kept_to(ct_file: Path, tmp_path: Path) -> None:
    assert len(list(read_slices(ct_file, **LIMITS))) == 1  # type: ignore[arg-type]
    assert refused(ct_file, modality="MR")
    assert refused(ct_file, max_slice_mb=0)
    dataset = pydicom.dcmread(ct_file)
    dataset.RescaleSlope = 0
    dataset.save_as(tmp_path / "flat.dcm")
    assert refused(tmp_path / "flat.dcm")


def test_a_modality_lut_is_left_to_pydicom(ct_file: Path, tmp_path: Path) -> None:
    with_modality_lut(ct_file, tmp_path / "lut.dcm")
    stored = pydicom.dcmread(ct_file).pixel_array
    (row,) = ctprune.reduce(tmp_path).rows.to_dicts()
    assert row["reader"] == "pydicom"
    # The table counts from the smallest value.
    assert (row["min_hu"], row["max_hu"]) == (0, int(stored.max()) - int(stored.min()))


def several_frames(ct_file: Path, target: Path) -> Path:
    """Three frames that only pydicom reads, each brighter by one."""
    dataset = pydicom.dcmread(ct_file)
    frames = [dataset.pixel_array + number for number in range(3)]
    with_modality_lut(ct_file, target, NumberOfFrames=3, PixelData=np.stack(frames).tobytes())
    return target


def test_a_file_is_decoded_once_for_all_its_frames(
    ct_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = several_frames(ct_file, tmp_path / "frames.dcm")
    asked: list[object] = []

    def counted(*args: object, **options: object) -> object:
        asked.append(options["frames"])
        return read_slices(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("ctprune.reading.pydicom_reader.read_slices", counted)
    config = {"intensity": "minmax", "modality": "CT", "max_slice_mb": 512}
    row = {"source": str(tmp_path), "path": file.name, "reader": "pydicom"}
    order = [2, 0, 1, 0]
    out = np.zeros((4, 16, 16), np.uint16)
    outcomes = read_resized([row | {"frame": frame} for frame in order], out, config)
    assert asked == [[0, 1, 2]]
    alone = np.zeros((1, 16, 16), np.uint16)
    for index, frame in enumerate(order):
        (expected,) = read_resized([row | {"frame": frame}], alone, config)
        assert outcomes[index] == expected
        assert (out[index] == alone[0]).all()
        assert expected[2] == ""
    # A frame that is not there does not take the others with it.
    missing = read_resized([row | {"frame": frame} for frame in (1, 7)], out[:2], config)
    assert missing[0][2] == ""
    assert missing[1][:2] == (0, 0)
    assert missing[1][2]


def test_only_the_frames_that_are_wanted_are_decoded(ct_file: Path, tmp_path: Path) -> None:
    file = several_frames(ct_file, tmp_path / "slices.dcm")
    every = list(read_slices(file, **LIMITS))  # type: ignore[arg-type]
    assert [info["frame"] for info, *_ in every] == [0, 1, 2]
    (last,) = read_slices(file, frames=[2], **LIMITS)  # type: ignore[arg-type]
    assert last[0]["frame"] == 2
    assert np.array_equal(last[1], every[2][1])
    assert not np.array_equal(last[1], every[0][1])


def test_later_stages_read_with_pydicom_too(ct_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    several_frames(ct_file, source / "slices.dcm")
    assert ctprune.reduce(source, method="ssim", threshold=0.5).counts()["dropped"] == 2
    ctprune.reduce(source, out=tmp_path / "run")
    store = ctprune.build_store(tmp_path / "run", use="all", side=32)
    assert (len(store), store.left_out) == (3, {})


def test_attributes_are_read_in_that_process_too(ct_file: Path, tmp_path: Path) -> None:
    names = ["Modality", "MediaStorageSOPClassUID", "BurnedInAnnotation"]
    assert read_attributes(ct_file, names) == {
        "Modality": "CT",
        "MediaStorageSOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "BurnedInAnnotation": "",
    }
    with pytest.raises(PydicomRefusal, match="cannot read it either"):
        read_attributes(tmp_path / "absent.dcm", names)
    # The pixels are not read, whatever lies behind the header.
    with (tmp_path / "sparse.dcm").open("wb") as sparse:
        sparse.write(ct_file.read_bytes())
        sparse.truncate(8 << 30)
    assert read_attributes(tmp_path / "sparse.dcm", names)["Modality"] == "CT"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_process_has_one_of_its_own(ct_file: Path) -> None:
    code = (
        "import os, sys, warnings\n"
        "from ctprune.reading.pydicom_reader import read_attributes\n"
        # Threads are alive, which Python warns of.
        "warnings.simplefilter('ignore')\n"
        "read = lambda: read_attributes(sys.argv[1], ['Modality'])['Modality'] == 'CT'\n"
        "assert read()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(not all(read() for _ in range(20)))\n"
        "assert all(read() for _ in range(20))\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ct_file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
