"""Dose reports, which archives hold among the slices: a screen shot or a structured report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, XRayRadiationDoseSRStorage

from ctprune.phantom.images import set_pixels
from ctprune.phantom.scanner import Storage
from ctprune.phantom.study import Study

# Letters of 3 × 5 dots; each row is three bits.
_DOTS = {
    "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711", "5": "74717", "6": "74757",
    "7": "71244", "8": "75757", "9": "75717", ".": "00002", " ": "00000", "C": "34443", "D": "65556",
    "E": "74647", "G": "34553", "I": "72227", "L": "44447", "M": "57755", "O": "25552", "P": "65644",
    "R": "65655", "S": "34216", "T": "72222", "V": "55552", "Y": "55222",
}  # fmt: skip
_DOT_PIXELS = 3


def dose_dataset(study: Study, *, series: int, slices: int) -> Dataset:
    """Make the dose report: a screen for patients of odd number, a structured report for the others."""
    ctdi_mgy = round(6 + 0.02 * study.protocol.kvp + study.number % 3, 2)
    dlp_mgy_cm = round(ctdi_mgy * slices * study.protocol.spacing_mm / 10, 1)
    make = _screen if study.number % 2 else _structured_report
    return make(study, series, ctdi_mgy, dlp_mgy_cm)


def _screen(study: Study, series: int, ctdi_mgy: float, dlp_mgy_cm: float) -> Dataset:
    ds = study.dataset(
        sop_class_uid=SecondaryCaptureImageStorage,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series=series,
        instance=1,
    )
    # Scanners file these screens under CT: a reader that goes by the modality takes them for slices.
    ds.Modality = "CT"
    ds.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    ds.ConversionType = "WSD"
    ds.SeriesDescription = "Dose Report"
    lines = ["DOSE REPORT", "", f"CTDI {ctdi_mgy} MGY", f"DLP {dlp_mgy_cm} MGY.CM"]
    set_pixels(ds, [_typeset(lines)], Storage(signed=False, bits=8, intercept=0))
    return ds


def _typeset(lines: list[str]) -> NDArray[np.uint8]:
    """White letters on black, shape (256, 256)."""
    page = np.zeros((256, 256), dtype=np.uint8)
    for row, line in enumerate(lines):
        for column, letter in enumerate(line):
            top, left = 20 + row * 9 * _DOT_PIXELS, 12 + column * 4 * _DOT_PIXELS
            dots = [[int(bits) >> shift & 1 for shift in (2, 1, 0)] for bits in _DOTS[letter]]
            block = np.kron(
                np.array(dots, dtype=np.uint8), np.full((_DOT_PIXELS, _DOT_PIXELS), 255, dtype=np.uint8)
            )
            page[top : top + block.shape[0], left : left + block.shape[1]] = block
    return page


def _structured_report(study: Study, series: int, ctdi_mgy: float, dlp_mgy_cm: float) -> Dataset:
    ds = study.dataset(
        sop_class_uid=XRayRadiationDoseSRStorage,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series=series,
        instance=1,
    )
    ds.Modality = "SR"
    ds.SeriesDescription = "Dose Report"
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [_code("113701", "DCM", "X-Ray Radiation Dose Report")]
    ds.ContentSequence = [
        _number("113830", "Mean CTDIvol", ctdi_mgy, "mGy"),
        _number("113838", "DLP", dlp_mgy_cm, "mGy.cm"),
    ]
    return ds


def _number(code: str, meaning: str, value: float, unit: str) -> Dataset:
    measured = Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = [_code(unit, "UCUM", unit)]
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "NUM"
    item.ConceptNameCodeSequence = [_code(code, "DCM", meaning)]
    item.MeasuredValueSequence = [measured]
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
