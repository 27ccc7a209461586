"""A phantom with recognizable text in every text element of its headers, in names of files, and in pictures."""

from __future__ import annotations

import gzip
import struct
import warnings
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image, PngImagePlugin
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

import ctprune
from tests.labeled import picture

#: In all headers; nothing of it may go anywhere.
HEADER = "Qxheaderzq"

#: In names of files and folders.
PATH = "Qxpathzq"

#: In UIDs.
NUMBER = "4711064471106447"

#: A date of birth, and a number of a patient.
BIRTH = "19640812"

#: What tells nothing of a person and is in the manifest, and what decides how a file is read.
_LEFT = {
    "Manufacturer",
    "ManufacturerModelName",
    "ConvolutionKernel",
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
}

_TEXTS = {"LO", "SH", "ST", "LT", "UT", "UC", "UR", "PN", "AE"}


def write_named_archive(folder: Path) -> Path:
    """DICOM, NIfTI, PNG, JPEG and TIFF; returns the source."""
    source = folder / f"{PATH} archive"
    ctprune.phantom.write_archive(folder / "plain", patients=2, seed=3, size=64, slices=10)
    files = sorted((folder / "plain").rglob("*.dcm"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, file in enumerate(files):
            target = source / f"{PATH}^Erika" / f"{PATH}_{number // 10}" / f"{PATH} {number}.dcm"
            target.parent.mkdir(parents=True, exist_ok=True)
            _named(file, number).save_as(target)
    _pictures(source)
    _nifti(source)
    (source / f"{PATH}.txt").write_text(HEADER)
    (source / f"{PATH} broken.dcm").write_bytes(bytes(128) + b"DICM" + HEADER.encode() * 9)
    (source / f"{PATH} cut.dcm").write_bytes((target.read_bytes())[:-100])
    return source


def _named(file: Path, number: int) -> Dataset:
    dataset = pydicom.dcmread(file)
    for tag, (vr, *_, keyword) in DicomDictionary.items():
        group = tag >> 16
        if not keyword or keyword in _LEFT or group in (0x0002, 0x0004, 0x7FE0, 0xFFFE, 0x0000) or tag in dataset:
            continue
        if vr in _TEXTS:
            dataset.add_new(tag, vr, _text(vr))
        elif vr in ("DA", "DT"):
            dataset.add_new(tag, vr, BIRTH)
    for name in ("PatientName", "ReferringPhysicianName", "OperatorsName"):
        setattr(dataset, name, f"{HEADER}^Erika^^Dr.")
    for name in (
        "PatientID",
        "AccessionNumber",
        "StudyID",
        "InstitutionName",
        "StationName",
        "DeviceSerialNumber",
    ):
        setattr(dataset, name, HEADER)
    for name in ("StudyDescription", "SeriesDescription", "ProtocolName", "BodyPartExamined"):
        if name in dataset:
            setattr(dataset, name, HEADER.upper() if name == "BodyPartExamined" else HEADER)
    dataset.PatientBirthDate = dataset.StudyDate = BIRTH
    dataset.ImageComments = dataset.PatientComments = f"{HEADER} born {BIRTH}"
    private = dataset.private_block(0x0029, f"{HEADER} private", create=True)
    private.add_new(0x10, "LO", HEADER)
    private.add_new(0x11, "OB", HEADER.encode() * 2)
    nested = Dataset()
    nested.PatientName, nested.PatientID = f"{HEADER}^Nested", HEADER
    dataset.OtherPatientIDsSequence = dataset.RequestAttributesSequence = Sequence([nested])
    dataset.add_new(0x60000010, "US", 8)
    dataset.add_new(0x60000011, "US", 8)
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000022, "LO", HEADER)
    dataset.add_new(0x60001500, "LO", HEADER)
    dataset.add_new(0x60003000, "OW", HEADER.encode())
    for name in ("StudyInstanceUID", "SeriesInstanceUID"):
        setattr(dataset, name, UID(f"1.2.{NUMBER}.{number // 10 + 1}"))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.{NUMBER}.9.{number}")
    dataset.file_meta.SourceApplicationEntityTitle = HEADER.upper()
    dataset.file_meta.ImplementationVersionName = HEADER
    dataset.preamble = HEADER.encode().ljust(128, b" ")
    return dataset


def _text(vr: str) -> str:
    return f"{HEADER}^Any" if vr == "PN" else HEADER


def _pictures(source: Path) -> None:
    folder = source / f"{PATH} pictures"
    folder.mkdir()
    pixels = [Image.fromarray(picture(False, number)) for number in range(3)]
    texts = PngImagePlugin.PngInfo()
    for key in ("Author", HEADER, "Description"):
        texts.add_text(key, HEADER)
        texts.add_itxt(key, HEADER, zip=True)
    pixels[0].save(folder / f"{PATH}.png", pnginfo=texts)
    exif = Image.Exif()
    exif[0x013B] = exif[0x010E] = exif[0x8298] = HEADER
    pixels[1].save(folder / f"{PATH}.jpg", exif=exif, comment=HEADER)
    pixels[2].save(folder / f"{PATH}.tif", tiffinfo={270: HEADER, 315: HEADER, 305: HEADER, 33432: HEADER})


def _nifti(source: Path) -> None:
    values = np.random.default_rng(4).integers(-1000, 1000, (3, 24, 24)).astype("<i2")
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<4h", header, 40, 3, 24, 24, 3)
    struct.pack_into("<2h", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, *[1.0] * 8)
    struct.pack_into("<3f", header, 108, 352.0, 1.0, 0.0)
    for offset in (4, 14, 148, 228, 328):
        header[offset : offset + len(HEADER)] = HEADER.encode()
    header[344:348] = b"n+1\0"
    (source / f"{PATH}.nii.gz").write_bytes(gzip.compress(bytes(header) + values.tobytes()))
