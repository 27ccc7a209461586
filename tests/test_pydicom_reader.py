"""What pydicom decodes after the Rust reader refused gets the same row."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom

import ctprune
from ctprune import _core
from ctprune.manifest import record_batch
from ctprune.pydicom_reader import read_slices

LIMITS = {"modality": "CT", "max_slice_bytes": 1 << 29}
DIFFERENT = {"reader", "path", "source", "file_size", "file_mtime_ns", "pixel_padding"}


def test_the_row_is_the_same_but_for_its_reader(ct_file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "slice.dcm"
    broken.write_bytes(ct_file.read_bytes()[:-100])
    archive = _core.Archive(hash_size=8, intensity="minmax", modality="CT", max_slice_mb=512, threads=1)
    archive.add_file(broken)
    archive.discover(1.0)
    archive.read(1.0)
    ((file, path),) = archive.failed_dicom()
    assert Path(path) == broken
    # As if a decoder beside pydicom could read what Rust could not.
    shutil.copy(ct_file, broken)
    archive.replace(file, read_slices(path, **LIMITS))
    archive.group("position", None)
    archive.select(method="hash", threshold=6, keep=None, n=1, seed=0, whole_archive=False)
    assert archive.lines() == 1
    (found,) = record_batch(archive.columns(0, 1), 1, 8).to_pylist()
    (expected,) = ctprune.reduce(ct_file).table.to_pylist()
    assert found["reader"] == "pydicom"
    assert {k: v for k, v in found.items() if k not in DIFFERENT} == {
        k: v for k, v in expected.items() if k not in DIFFERENT
    }


def test_what_pydicom_refuses_too_stays_refused(ct_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "slice.dcm"
    file.write_bytes(ct_file.read_bytes()[:-100])
    assert read_slices(str(file), **LIMITS) == []
    file.write_bytes(b"no DICOM at all")
    assert read_slices(str(file), **LIMITS) == []


def test_other_modalities_limits_and_slopes_are_kept_to(ct_file: Path, tmp_path: Path) -> None:
    assert len(read_slices(str(ct_file), **LIMITS)) == 1
    assert read_slices(str(ct_file), modality="MR", max_slice_bytes=1 << 29) == []
    assert read_slices(str(ct_file), modality="CT", max_slice_bytes=10) == []
    dataset = pydicom.dcmread(ct_file)
    dataset.RescaleSlope = 0
    dataset.save_as(tmp_path / "flat.dcm")
    assert read_slices(str(tmp_path / "flat.dcm"), **LIMITS) == []


def test_a_modality_lut_is_left_to_pydicom(ct_file: Path, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(ct_file)
    stored = dataset.pixel_array.astype(np.int32)
    table = np.arange(int(stored.max() - stored.min()) + 1, dtype=np.uint16)[::-1]
    lut = pydicom.Dataset()
    # The descriptor's first stored value is signed like the pixels.
    kind = "SS" if dataset.PixelRepresentation else "US"
    lut.add_new("LUTDescriptor", kind, [len(table), int(stored.min()), 16])
    lut.ModalityLUTType = "HU"
    lut.add_new("LUTData", "OW", table.tobytes())
    dataset.ModalityLUTSequence = [lut]
    del dataset.RescaleSlope, dataset.RescaleIntercept
    dataset.save_as(tmp_path / "lut.dcm")
    (row,) = ctprune.reduce(tmp_path).table.to_pylist()
    assert row["reader"] == "pydicom"
    assert (row["min_hu"], row["max_hu"]) == (0, len(table) - 1)
