"""CT objects: single slices, one enhanced multi-frame object per series, and the localizer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage

from ctprune import _core
from ctprune.phantom.scanner import Protocol, Scan, SeriesPlan, Storage
from ctprune.phantom.study import Study

Stored = NDArray[np.int16] | NDArray[np.uint16] | NDArray[np.uint8]


def slice_dataset(
    study: Study, plan: SeriesPlan, scan: Scan, *, series: int, index: int, stored: Stored
) -> Dataset:
    """Make a CT Image of one slice (DICOM PS3.3 A.3); `index` counts from 0 at the head."""
    ds = study.dataset(
        sop_class_uid=CTImageStorage,
        transfer_syntax_uid=plan.transfer_syntax_uid,
        series=series,
        instance=index + 1,
    )
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    _describe_series(ds, study, plan, scan)
    ds.AcquisitionNumber = 1
    ds.ImagePositionPatient = _decimals(scan.position_mm(index))
    ds.ImageOrientationPatient = _orientation(scan)
    ds.SliceLocation = round(scan.top_mm - index * scan.spacing_mm, 3)
    ds.PixelSpacing = [_decimal(scan.pixel_spacing_mm)] * 2
    ds.SliceThickness = study.protocol.thickness_mm
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = study.protocol.storage.intercept, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = plan.window
    set_pixels(ds, [stored], study.protocol.storage)
    return ds


def enhanced_dataset(
    study: Study, plan: SeriesPlan, scan: Scan, *, series: int, frames: Sequence[Stored]
) -> Dataset:
    """Make one Enhanced CT Image of a whole series (DICOM PS3.3 A.38), one frame per slice."""
    ds = study.dataset(
        sop_class_uid=EnhancedCTImageStorage,
        transfer_syntax_uid=plan.transfer_syntax_uid,
        series=series,
        instance=1,
    )
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.PixelPresentation, ds.VolumetricProperties = "MONOCHROME", "VOLUME"
    ds.VolumeBasedCalculationTechnique = "NONE"
    ds.AcquisitionDateTime = f"{ds.StudyDate}{ds.StudyTime}"
    ds.AcquisitionDuration = 5.0
    ds.ContentQualification, ds.BurnedInAnnotation, ds.LossyImageCompression = "RESEARCH", "NO", "00"
    _describe_series(ds, study, plan, scan)
    ds.NumberOfFrames = len(frames)
    ds.SharedFunctionalGroupsSequence = [_shared_groups(study.protocol, plan, scan)]
    ds.PerFrameFunctionalGroupsSequence = [_frame_groups(scan, index) for index in range(len(frames))]
    _index_frames(ds, study, series)
    set_pixels(ds, frames, study.protocol.storage)
    return ds


def localizer_dataset(study: Study, *, picture: NDArray[np.int16], top_mm: float, spacing_mm: float) -> Dataset:
    """Make the scout: a coronal projection, rows from `top_mm` downwards."""
    plan = study.protocol.series[0]
    uncompressed = (
        "1.2.840.10008.1.2" if plan.transfer_syntax_uid == "1.2.840.10008.1.2" else "1.2.840.10008.1.2.1"
    )
    ds = study.dataset(sop_class_uid=CTImageStorage, transfer_syntax_uid=uncompressed, series=1, instance=1)
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    ds.SeriesDescription = "Scout"
    ds.PatientPosition = "HFS"
    ds.KVP = study.protocol.kvp
    ds.AcquisitionNumber = 0
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = study.uid("frame of reference"), ""
    ds.ImagePositionPatient = _decimals((-(picture.shape[1] - 1) / 2 * spacing_mm, 0.0, top_mm))
    ds.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    ds.PixelSpacing = [_decimal(spacing_mm)] * 2
    ds.SliceThickness = 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.WindowCenter, ds.WindowWidth = 300, 900
    set_pixels(ds, [picture], Storage(signed=True, bits=16, intercept=0))
    return ds


def set_pixels(ds: Dataset, frames: Sequence[Stored], storage: Storage) -> None:
    """Describe and store equally large gray frames, compressed where the transfer syntax says so."""
    first = frames[0]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = first.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8 * first.itemsize, storage.bits, storage.bits - 1
    ds.PixelRepresentation = int(storage.signed)
    if storage.padding is not None:
        ds.PixelPaddingValue = storage.padding
        ds["PixelPaddingValue"].VR = "SS" if storage.signed else "US"
    syntax = ds.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        ds.PixelData = encapsulate([_core.encode_frame(frame, str(syntax), storage.bits) for frame in frames])
        ds["PixelData"].is_undefined_length = True
        ds["PixelData"].VR = "OB"
        return
    raw = b"".join(frame.astype(frame.dtype.newbyteorder("<")).tobytes() for frame in frames)
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    # Implicit VR has no other than OW (PS3.5 A.1).
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 and not syntax.is_implicit_VR else "OW"


def _describe_series(ds: Dataset, study: Study, plan: SeriesPlan, scan: Scan) -> None:
    ds.SeriesDescription = plan.description
    ds.BodyPartExamined = "CHEST" if scan.top_mm > 60 else "ABDOMEN"
    ds.PatientPosition = "HFS"
    ds.KVP = study.protocol.kvp
    ds.ConvolutionKernel = plan.kernel.name
    ds.ReconstructionDiameter = scan.fov_mm
    ds.GantryDetectorTilt = study.protocol.tilt_degrees
    ds.SpacingBetweenSlices = _decimal(scan.slice_distance_mm)
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = study.uid("frame of reference"), ""


def _shared_groups(protocol: Protocol, plan: SeriesPlan, scan: Scan) -> Dataset:
    groups = Dataset()
    groups.PixelMeasuresSequence = [
        _item(
            PixelSpacing=[_decimal(scan.pixel_spacing_mm)] * 2,
            SliceThickness=protocol.thickness_mm,
            SpacingBetweenSlices=_decimal(scan.slice_distance_mm),
        )
    ]
    groups.PlaneOrientationSequence = [_item(ImageOrientationPatient=_orientation(scan))]
    groups.PixelValueTransformationSequence = [
        _item(RescaleIntercept=protocol.storage.intercept, RescaleSlope=1, RescaleType="HU")
    ]
    groups.FrameVOILUTSequence = [_item(WindowCenter=plan.window[0], WindowWidth=plan.window[1])]
    groups.CTImageFrameTypeSequence = [
        _item(
            FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
        )
    ]
    groups.CTReconstructionSequence = [
        _item(ConvolutionKernel=plan.kernel.name, ReconstructionAlgorithm="FILTER_BACK_PROJ")
    ]
    return groups


def _frame_groups(scan: Scan, index: int) -> Dataset:
    groups = Dataset()
    groups.FrameContentSequence = [
        _item(
            FrameAcquisitionNumber=1,
            StackID="1",
            InStackPositionNumber=index + 1,
            DimensionIndexValues=[1, index + 1],
        )
    ]
    groups.PlanePositionSequence = [_item(ImagePositionPatient=_decimals(scan.position_mm(index)))]
    return groups


def _index_frames(ds: Dataset, study: Study, series: int) -> None:
    """Frames are counted by stack, then by position in it."""
    uid = study.uid("dimensions", series)
    ds.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=uid)]
    ds.DimensionIndexSequence = [
        _item(DimensionOrganizationUID=uid, DimensionIndexPointer=pointer, FunctionalGroupPointer=0x00209111)
        for pointer in (0x00209056, 0x00209057)
    ]


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _orientation(scan: Scan) -> list[float]:
    return [1.0, 0.0, 0.0, *_decimals(scan.column_direction)]


def _decimals(values: Sequence[float]) -> list[float]:
    return [_decimal(value) for value in values]


def _decimal(value: float) -> float:
    """Round to a nanometre: a decimal string holds 16 characters."""
    return round(value, 6) + 0.0
