"""Second try for DICOM files that the Rust reader refused: pydicom with whatever decoders are installed."""

from __future__ import annotations

import math
import struct
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import iter_pixels

from ctprune.boundary import ForeignSlice

#: What pydicom and its decoders raise on files that they cannot read.
_REFUSALS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def read_slices(path: str, *, modality: str, max_slice_bytes: int) -> list[ForeignSlice]:
    """Slices of one file in the form that `_core.Archive.replace` takes; empty when pydicom refuses too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path, force=True)
            if not _is_wanted(dataset, modality, max_slice_bytes):
                return []
            frames = enumerate(iter_pixels(dataset, raw=True))
            return [(_describe(dataset, frame), *_rescaled(pixels, dataset)) for frame, pixels in frames]
        except _REFUSALS:
            return []


def _is_wanted(dataset: pydicom.Dataset, modality: str, max_slice_bytes: int) -> bool:
    size = int(dataset.Rows) * int(dataset.Columns) * math.ceil(int(dataset.BitsAllocated) / 8)
    slope = float(dataset.get("RescaleSlope", 1))
    return (
        modality in ("any", dataset.get("Modality"))
        and "PixelData" in dataset
        # Frames with geometry of their own stay refused: describing them is the Rust reader's business.
        and "PerFrameFunctionalGroupsSequence" not in dataset
        and dataset.SamplesPerPixel == 1
        and size <= max_slice_bytes
        and math.isfinite(slope)
        and slope != 0
    )


def _rescaled(pixels: npt.NDArray[Any], dataset: pydicom.Dataset) -> tuple[npt.NDArray[Any], float, float]:
    """Pixels with RescaleSlope and RescaleIntercept; a Modality LUT Sequence is applied at once."""
    if "ModalityLUTSequence" in dataset:
        return np.ascontiguousarray(apply_modality_lut(pixels, dataset)), 1.0, 0.0
    slope, intercept = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
    return np.ascontiguousarray(pixels), float(slope), float(intercept)


def _describe(dataset: pydicom.Dataset, frame: int) -> dict[str, Any]:
    def text(name: str) -> str:
        value = dataset.get(name)
        return "" if value is None else "\\".join(map(str, value)) if isinstance(value, list) else str(value)

    def floats(name: str) -> list[float] | None:
        value = dataset.get(name)
        return None if not value else [float(part) for part in value]

    def number(name: str) -> int | None:
        value = dataset.get(name)
        return None if value in (None, "") else int(value)

    thickness = dataset.get("SliceThickness")
    return {
        "frame": frame,
        "study_instance_uid": text("StudyInstanceUID"),
        "series_instance_uid": text("SeriesInstanceUID"),
        "sop_instance_uid": text("SOPInstanceUID"),
        "modality": text("Modality"),
        "transfer_syntax_uid": str(dataset.file_meta.get("TransferSyntaxUID", "")),
        "rows": int(dataset.Rows),
        "columns": int(dataset.Columns),
        "pixel_spacing_mm": floats("PixelSpacing"),
        "image_position_patient": floats("ImagePositionPatient"),
        "image_orientation_patient": floats("ImageOrientationPatient"),
        "acquisition_number": number("AcquisitionNumber"),
        "instance_number": number("InstanceNumber"),
        "slice_thickness_mm": None if thickness in (None, "") else float(thickness),
        "manufacturer": text("Manufacturer"),
        "manufacturer_model_name": text("ManufacturerModelName"),
        "convolution_kernel": text("ConvolutionKernel"),
    }
