"""The input: one CT series as numbered, uncompressed DICOM files, and copies of it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

import ctprune
from benches.settings import Settings


def series(settings: Settings) -> list[Path]:
    """The slices in order along their normal, as 0000.dcm, 0001.dcm …; made at the first call."""
    folder = Path(settings.work) / "series"
    if not folder.exists():
        source = Path(settings.data) if settings.data else phantom(settings)
        beside = folder.with_name("series.part")
        beside.mkdir()
        for number, path in enumerate(_largest_volume(source)[: settings.slices]):
            _uncompressed(path).save_as(beside / f"{number:04}.dcm", enforce_file_format=True)
        beside.rename(folder)
        os.sync()
    return sorted(folder.iterdir())


def copies(settings: Settings) -> list[Path]:
    """Folders, each with the whole series under a SeriesInstanceUID of its own."""
    folder = Path(settings.work) / "copies"
    if not folder.exists():
        beside = folder.with_name("copies.part")
        for path in series(settings):
            ds = pydicom.dcmread(path)
            name = ds.SOPInstanceUID
            for copy in range(settings.copies):
                ds.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(copy)])
                ds.SOPInstanceUID = generate_uid(entropy_srcs=[name, str(copy)])
                ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
                target = beside / f"{copy:02}"
                target.mkdir(parents=True, exist_ok=True)
                ds.save_as(target / path.name, enforce_file_format=True)
        beside.rename(folder)
        # Written back now, so that the disk is quiet while things are timed; the page cache stays warm.
        os.sync()
    return sorted(folder.iterdir())


def about(settings: Settings) -> str:
    """What the input is, without naming where it lies."""
    paths = series(settings)
    first = pydicom.dcmread(paths[0], stop_before_pixels=True)
    kind = settings.describe if settings.data else "a generated phantom series (ctprune phantom)"
    return f"{kind}, {len(paths)} slices, {first.Rows} × {first.Columns}"


def stored_values(paths: list[Path]) -> Iterator[npt.NDArray[np.uint16]]:
    """Pixels of each file as pydicom reads them."""
    for path in paths:
        yield pydicom.dcmread(path).pixel_array


def gray_slices(paths: list[Path]) -> npt.NDArray[np.uint8]:
    """All slices as 8 bits, each from its own minimum to its own maximum."""
    return np.stack([gray(stored) for stored in stored_values(paths)])


def gray(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """One slice, linear from [min, max] to [0, 255], rounded with halves to even."""
    low, high = values.min(), values.max()
    return np.rint((values.astype(np.float64) - low) * (255.0 / max(high - low, 1))).astype(np.uint8)


def picture(path: Path) -> Image.Image:
    """A slice as one would write it down: Hounsfield units, then gray from the smallest to the largest."""
    ds = pydicom.dcmread(path)
    hu = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    low, high = hu.min(), hu.max()
    return Image.fromarray(np.rint((hu - low) * 255 / max(high - low, 1)).astype(np.uint8))


def phantom(settings: Settings) -> Path:
    """A generated archive with one patient, made anew."""
    archive = Path(settings.work) / "phantom"
    shutil.rmtree(archive, ignore_errors=True)
    # The first patient's first series is uncompressed, with slices of 1 mm.
    ctprune.phantom.write_archive(archive, patients=1, size=512, slices=settings.slices)
    return archive


def _largest_volume(source: Path) -> list[Path]:
    """Files of the volume with the most slices, in order along their normal."""
    kept = ctprune.reduce(source, method="all").kept()
    sizes = Counter(kept["volume"].tolist())
    largest = max(sorted(sizes), key=sizes.__getitem__)
    # Rows of a volume stand in the order of its slices.
    rows = kept.filter(kept["volume"] == largest)
    addresses = zip(rows["source"], rows["path"], strict=True)
    return [Path(source) / path for source, path in addresses]


def _uncompressed(path: Path) -> pydicom.Dataset:
    """A file as Explicit VR Little Endian with unsigned values, which every codec here can hold."""
    ds = pydicom.dcmread(path)
    stored = ds.pixel_array
    if ds.PixelRepresentation == 1:
        shift = max(1024, -int(stored.min()))
        stored = (stored.astype(np.int32) + shift).astype(np.uint16)
        ds.RescaleIntercept = float(ds.RescaleIntercept) - shift * float(ds.RescaleSlope)
        ds.PixelRepresentation = 0
        ds.BitsStored = 12 if stored.max() < 4096 else 16
        ds.HighBit = ds.BitsStored - 1
        for padding in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
            if padding in ds:
                del ds[padding]
    ds.PixelData = stored.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    ds["PixelData"].is_undefined_length = False
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds
