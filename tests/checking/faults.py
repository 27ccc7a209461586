"""A plain series, and the fault of each code to plant in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

SLICES, SIZE = 12, 64


Plant = Callable[[list[Dataset]], None]


def plain_series() -> list[Dataset]:
    """A round body of soft tissue and fat in air, with noise, 2.5 mm thick and apart."""
    row, column = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    datasets = []
    for index in range(SLICES):
        noise = np.random.default_rng(index).normal(0, 8, (SIZE, SIZE))
        radius = np.hypot(row / (20 + index / 2), column / 26)
        hu = np.where(radius < 0.8, 40, np.where(radius < 1, -100, -1000)) + noise
        hu[30:34, 28:34] += 660
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        meta.MediaStorageSOPInstanceUID = f"1.2.3.{index + 1}"
        ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.4", "1.2.5", "1.2.6"
        ds.PatientID, ds.Modality, ds.ImageType = "A", "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 2.5 * index], [1, 0, 0, 0, 1, 0]
        ds.InstanceNumber, ds.AcquisitionNumber, ds.ConvolutionKernel = index + 1, 1, "B30f"
        ds.PixelSpacing, ds.SliceThickness = [1, 1], 2.5
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.Rows = ds.Columns = SIZE
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        put(ds, hu)
        datasets.append(ds)
    return datasets


def hu_of(ds: Dataset) -> np.ndarray:
    stored = np.frombuffer(ds.PixelData, "<i2").reshape(ds.Rows, ds.Columns)
    return stored * float(ds.RescaleSlope) + float(ds.RescaleIntercept)


def put(ds: Dataset, hu: np.ndarray) -> None:
    ds.PixelData = np.round(hu - float(ds.RescaleIntercept)).astype("<i2").tobytes()


def write(datasets: list[Dataset], folder: Path) -> Path:
    folder.mkdir()
    for number, ds in enumerate(datasets):
        ds.save_as(folder / f"{number:03d}.dcm")
    return folder


def change(of: slice = slice(None), **values: Any) -> Plant:
    def plant(series: list[Dataset]) -> None:
        for ds in series[of]:
            for name, value in values.items():
                setattr(ds, name, value)

    return plant


def pixels(new: Callable[[np.ndarray], np.ndarray], of: slice = slice(None)) -> Plant:
    def plant(series: list[Dataset]) -> None:
        for ds in series[of]:
            put(ds, new(hu_of(ds)))

    return plant


def moved(position: Callable[[int], list[float]]) -> Plant:
    def plant(series: list[Dataset]) -> None:
        for index, ds in enumerate(series):
            ds.ImagePositionPatient = position(index)

    return plant


def without(index: int) -> Plant:
    return lambda series: series.__delitem__(index)


def no_position(series: list[Dataset]) -> None:
    del series[3].ImagePositionPatient


def metal(hu: np.ndarray) -> np.ndarray:
    hu = hu.copy()
    hu[30:34, 30:34] = 3500
    return hu


def padded(hu: np.ndarray) -> np.ndarray:
    hu = hu.copy()
    hu[:8] = -3024
    return hu


def renamed_instances(series: list[Dataset]) -> None:
    series[3].InstanceNumber, series[4].InstanceNumber = series[4].InstanceNumber, series[3].InstanceNumber


def smaller(series: list[Dataset]) -> None:
    for ds in series[8:]:
        put(ds, hu_of(ds))
        stored = np.frombuffer(ds.PixelData, "<i2").reshape(SIZE, SIZE)[:32, :32]
        ds.Rows = ds.Columns = 32
        ds.PixelData = stored.tobytes()


def another(series: list[Dataset], **values: Any) -> Dataset:
    import copy

    ds = copy.deepcopy(series[4])
    for name, value in values.items():
        setattr(ds, name, value)
    series.append(ds)
    return ds


def stored_values(series: list[Dataset]) -> None:
    for ds in series:
        ds.PixelData = np.maximum(hu_of(ds) + 1024, 0).astype("<i2").tobytes()
        del ds.RescaleIntercept, ds.RescaleSlope


CORONAL = [1, 0, 0, 0, 0, -1]


TURNED = [1, 0, 0, 0, float(np.cos(0.3)), float(np.sin(0.3))]


#: For each code what plants it, and a word or number of where it is.
PLANTED: dict[str, tuple[Plant, str]] = {
    "C-ODD-ORIENTATION": (change(slice(5, 6), ImageOrientationPatient=TURNED), "17° off; slice 5"),
    "C-NO-POSITIONS": (no_position, "none at slice"),
    "C-MISSING-SLICES": (without(5), "5.00 mm instead of 2.50 between slices 4 and 5 (10.0 to 15.0 mm)"),
    "C-SAME-POSITION": (moved(lambda index: [0, 0, 2.5 * (index - (index > 6))]), "slice 7 (15.0 mm)"),
    "C-UNEVEN-SPACING": (
        moved(lambda index: [0, 0, 2.5 * index + (index > 6)]),
        "3.50 to 3.50 mm instead of 2.50",
    ),
    "C-CHANGING-TILT": (moved(lambda index: [0, max(0, index - 6), 2.5 * index]), "0.0° to 21.8°"),
    "C-TILT": (moved(lambda index: [0, index, 2.5 * index]), "21.8°"),
    "C-MIXED-PLANE": (change(slice(8, 12), ImageOrientationPatient=CORONAL), "coronal (4), axial (8); slices"),
    "C-MIXED-MATRIX": (smaller, "32 × 32 (4), 64 × 64 (8); slices 0–3 of volume 1 (20.0 to 27.5 mm)"),
    "C-MIXED-SPACING": (
        change(slice(8, 12), PixelSpacing=[0.5, 0.5]),
        "0.5 mm (4), 1 mm (8); slices 0–3 of volume 1 (20.0 to 27.5 mm)",
    ),
    "C-MIXED-KERNEL": (
        change(slice(8, 12), ConvolutionKernel="B70f"),
        "B30f (8), B70f (4); slices 8–11 (20.0 to 27.5 mm)",
    ),
    "C-MIXED-THICKNESS": (
        change(slice(8, 12), SliceThickness=3),
        "2.5 mm (8), 3 mm (4); slices 8–11 (20.0 to 27.5 mm)",
    ),
    "C-LOCALIZER": (lambda series: another(series, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]) and None, ""),
    "C-NOT-AXIAL": (change(ImageOrientationPatient=CORONAL), "coronal"),
    "C-INSTANCE-ORDER": (renamed_instances, "slice 4 (10.0 mm)"),
    "C-THICKNESS-GAP": (change(SliceThickness=1), "1 mm thick, 2.50 mm apart"),
    "C-THICKNESS-OVERLAP": (change(SliceThickness=5), "5 mm thick, 2.50 mm apart"),
    "C-NO-RESCALE": (stored_values, "0 to"),
    "C-RESCALED-TWICE": (pixels(lambda hu: hu - 1024), ""),
    "C-NOT-HU": (pixels(lambda hu: np.clip((hu + 1024) / 10, 0, 255)), ""),
    "C-LABELS": (pixels(lambda hu: (hu > -500).astype(float)), "0 to 1"),
    "C-CLIPPED": (pixels(lambda hu: np.clip(hu, -160, 240)), "above 240 HU and below −160 HU"),
    "C-PADDING": (pixels(padded), "−3024 HU"),
    "C-METAL": (pixels(metal, slice(4, 7)), "up to 3500 HU; slices 4–6 (10.0 to 15.0 mm)"),
    "C-CONSTANT": (pixels(lambda hu: hu * 0 - 1000, slice(0, 1)), "slice 0 (0.0 mm)"),
    "C-EMPTY": (pixels(lambda hu: np.where(hu > -500, -990, hu), slice(0, 2)), "slices 0–1"),
    "C-LOSSY": (change(LossyImageCompression="01"), ""),
    "C-FEW-BITS": (change(BitsStored=11, HighBit=10, PixelRepresentation=1), "11 bits"),
    "C-SAME-UID": (lambda series: put(another(series), hu_of(series[5])), "slices 4–5"),
    "C-MIXED-PATIENT": (change(slice(8, 12), PatientID="B"), ""),
    "C-MIXED-STUDY": (change(slice(8, 12), StudyInstanceUID="1.2.4.1"), "2 studies"),
    "C-MIXED-FRAME-OF-REFERENCE": (change(slice(8, 12), FrameOfReferenceUID="1.9"), "2 frames of reference"),
    "C-BURNED-IN": (change(BurnedInAnnotation="YES"), ""),
    "C-SAME-PIXELS": (lambda series: put(series[6], hu_of(series[5])), "slices 5–6 (12.5 to 15.0 mm)"),
    "C-REFORMATTED": (change(ImageType=["DERIVED", "SECONDARY", "MPR"]), "DERIVED/SECONDARY/MPR"),
    "C-DERIVED": (change(ImageType=["DERIVED", "PRIMARY", "AXIAL"]), "DERIVED/PRIMARY/AXIAL"),
    "C-SECONDARY": (change(ImageType=["ORIGINAL", "SECONDARY", "AXIAL"]), "ORIGINAL/SECONDARY/AXIAL"),
}


#: Codes that a planted fault brings along by its nature.
BESIDE: dict[str, set[str]] = {
    "C-ODD-ORIENTATION": {"C-TILT", "C-CHANGING-TILT", "C-UNEVEN-SPACING"},
    "C-SAME-POSITION": set(),
    "C-MIXED-PLANE": {"C-SAME-POSITION", "C-MISSING-SLICES"},
    "C-NOT-AXIAL": {"C-SAME-POSITION"},
    "C-SAME-UID": {"C-SAME-POSITION", "C-SAME-PIXELS", "C-INSTANCE-ORDER"},
    "C-FEW-BITS": {"C-CLIPPED"},
    "C-LABELS": set(),
    "C-CONSTANT": set(),
}
