"""Peak memory of `ctprune reduce` from start to end, by the number of slices: what each slice costs."""

from __future__ import annotations

import io
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

from benches.measure import Table, number
from benches.peak_memory import peak_kib
from benches.settings import Settings

#: Files of the archives, each with one slice. What the larger ones need beyond the smallest is what slices cost.
_COUNTS = (250_000, 500_000, 1_000_000)

_SLICES = 400

_SIDE = 8

#: Digits of a UID that are replaced by the number of what it names, and of a position.
_NUMBER, _POSITION = "7" * 12, "7777.777"


def run(settings: Settings, threads: int) -> dict[str, Any]:
    table = Table("Peak memory of `ctprune reduce`", ["slices", "MiB", "bytes per slice beyond the first line"])
    for count in _COUNTS:
        _add(table, count, Path(settings.work))
    first, last = table.raw[0], table.raw[-1]
    per_slice = (last["peak_bytes"] - first["peak_bytes"]) / (last["slices"] - first["slices"])
    ten_million = first["peak_bytes"] + per_slice * (10_000_000 - first["slices"])
    table.notes.append(f"By this, 10 million slices take {ten_million / (1 << 30):.2f} GiB; not measured here.")
    return {
        "input": f"generated DICOM files of {_SIDE} × {_SIDE} pixels, one slice each, {_SLICES} to a series",
        "about": f"Hash method, {threads} threads. The pixels hardly count here: of real ones a few slices per "
        "thread are in memory at a time. Goals: at most 300 bytes per slice, 10 million slices in 4 GiB.",
        "tables": [table],
    }


def _add(table: Table, count: int, work: Path) -> None:
    source, out = work / "memory", work / "memory-run"
    write_archive(source, count)
    command = [sys.executable, "-m", "benches.memory", "reduce", str(source), "--out", str(out), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak = 1024 * int(done.stdout.splitlines()[-1])
    for folder in (source, out):
        shutil.rmtree(folder)
    table.raw.append({"slices": count, "peak_bytes": peak})
    first = table.raw[0]
    beyond = ""
    if count > first["slices"]:
        beyond = number((peak - first["peak_bytes"]) / (count - first["slices"]))
    table.rows.append([f"{count:,}", number(peak / (1 << 20)), beyond])


def write_archive(folder: Path, count: int, side: int = _SIDE) -> None:
    """So many slices as files of their own, in a folder per series."""
    template, offsets = _template(side)
    for series in range(-(-count // _SLICES)):
        inside = folder / f"patient-{series:06}" / "1.3.6.1.4.1.14519.5.2.1.6279.6001.series-1"
        inside.mkdir(parents=True)
        for slice_ in range(min(_SLICES, count - series * _SLICES)):
            digits = {
                "study": f"{series:0{len(_NUMBER)}}",
                "series": f"{series:0{len(_NUMBER)}}",
                "instance": f"{series * _SLICES + slice_:0{len(_NUMBER)}}",
                "position": f"{1.25 * slice_:0{len(_POSITION)}.3f}",
            }
            for name, text in digits.items():
                for offset in offsets[name]:
                    template[offset : offset + len(text)] = text.encode()
            (inside / f"1-{slice_ + 1:03}.dcm").write_bytes(template)


def write_multi_frame(folder: Path, count: int, frames: int, side: int = _SIDE) -> None:
    """So many files of a series each, whose frames are slices."""
    ds = _dataset(side)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    ds.NumberOfFrames = frames
    ds.PixelData = frames * ds.PixelData
    shared = pydicom.Dataset()
    shared.PlaneOrientationSequence = [pydicom.Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = ds.ImageOrientationPatient
    del ds.ImageOrientationPatient, ds.ImagePositionPatient
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = []
    for frame in range(frames):
        position = pydicom.Dataset()
        position.ImagePositionPatient = [-180, -170, 1.25 * frame]
        of_frame = pydicom.Dataset()
        of_frame.PlanePositionSequence = [position]
        ds.PerFrameFunctionalGroupsSequence.append(of_frame)
    written = _bytes(ds)
    template = bytearray(written)
    ends = [end for uid in _uids().values() for end in _ends(uid, written)]
    folder.mkdir(parents=True)
    for series in range(count):
        for end in ends:
            template[end - len(_NUMBER) : end] = f"{series:0{len(_NUMBER)}}".encode()
        (folder / f"{series:06}.dcm").write_bytes(template)


def _template(side: int) -> tuple[bytearray, dict[str, list[int]]]:
    """A file, and where the digits of its UIDs and of its position stand."""
    written = _bytes(_dataset(side))
    offsets = {name: [end - len(_NUMBER) for end in _ends(uid, written)] for name, uid in _uids().items()}
    offsets["position"] = [end - len(_POSITION) for end in _ends(_POSITION, written)]
    return bytearray(written), offsets


def _uids() -> dict[str, str]:
    kinds = {"study": 1, "series": 2, "instance": 3}
    return {name: f"1.3.6.1.4.1.14519.5.2.1.6279.6001.{kind}.1{_NUMBER}" for name, kind in kinds.items()}


def _dataset(side: int) -> pydicom.Dataset:
    uids = _uids()
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uids["instance"]
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uids["study"], uids["series"]
    ds.Modality, ds.Manufacturer, ds.ConvolutionKernel = "CT", "Manufacturer", "STANDARD"
    ds.SliceThickness = 1.25
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-180, -170, _POSITION], [1, 0, 0, 0, 1, 0]
    ds.Rows = ds.Columns = side
    ds.PixelSpacing = [0.7, 0.7]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.PixelData = b"".join((value & 0xFFFF).to_bytes(2, "little") for value in range(side * side))
    return ds


def _bytes(ds: pydicom.Dataset) -> bytes:
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _ends(text: str, written: bytes) -> list[int]:
    return [found.end() for found in re.finditer(re.escape(text.encode()), written)]


if __name__ == "__main__":
    try:
        runpy.run_module("ctprune", run_name="__main__")
    finally:
        print(peak_kib())
