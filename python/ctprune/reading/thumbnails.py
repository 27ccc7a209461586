"""Thumbnails of slices, within a budget of bytes, and of nothing that could show a patient's name."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.progress import Operation
from ctprune.files.members import each_content
from ctprune.manifest.slices import STAMP, WHERE, Slices, path_of, why_unusable
from ctprune.reading.modalities import IMAGING
from ctprune.reading.pydicom_reader import PydicomRefusal, read_attributes
from ctprune.reading.resized import read_resized

#: Rows and columns of a thumbnail.
SIDE = 128

#: Qualities of WebP that are tried until the pictures fit.
_QUALITIES = (75, 55, 35)

#: DICOM modalities whose slices are measured throughout: no scanner draws text into them. Ultrasound, X-ray
#: pictures and screens of workstations often carry the patient's name in their pixels.
SHOWN_MODALITIES = frozenset({"CT", "MR", "PT", "NM"})

#: Beginning of the SOP classes of secondary captures (PS3.6 annex A).
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

_DICOM_READERS = ("dicom", "pydicom")

_COLUMNS = [*WHERE, "modality", *STAMP]


@dataclass(frozen=True)
class Picture:
    """A thumbnail as a data URI, or why there is none."""

    uri: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Pictures:
    """Thumbnails by row of the manifest, and by reason how many could not be shown."""

    of: dict[int, Picture]
    missing: dict[str, int]


def make_pictures(
    slices: Slices,
    rows: Iterable[int],
    window: str,
    *,
    most_bytes: int,
    threads: int,
    operation: Operation,
) -> Pictures:
    """Decode and shrink these slices; where bytes run out, those that come last have no picture.

    Args:
        slices: The slices of a run, or of several.
        rows: Rows of the manifest, the most important ones first.
        window: From Hounsfield units to gray; other modalities than CT are shown from their minimum to their
            maximum, 8-bit pictures as they are.
        most_bytes: Bytes that all data URIs may take.
        threads: Number of threads, 0 for one per core; the result does not depend on it.
        operation: Told how many pictures are done.
    """
    wanted = list(dict.fromkeys(rows))
    lines = slices.take(np.array(wanted, np.int64), _COLUMNS)
    missing = dict(zip(wanted, _refusals(lines), strict=True))
    readable = [(row, line) for row, line in zip(wanted, lines, strict=True) if not missing[row]]
    resized = np.empty((len(readable), SIDE, SIDE), np.uint8)
    in_hu = np.array([line["modality"] in ("CT", "", None) for _, line in readable], np.bool_)
    done = 0
    for intensity, chosen in ((window, in_hu), ("minmax", ~in_hu)):
        indices = np.flatnonzero(chosen).tolist()
        part = np.empty((len(indices), SIDE, SIDE), np.uint8)
        outcomes = read_resized(
            [readable[index][1] for index in indices],
            part,
            slices.config | {"intensity": intensity},
            threads=threads,
            progress=operation.counter("reading", len(readable), "pictures", before=done),
        )
        resized[indices] = part
        done += len(indices)
        for index, (_, _, reason) in zip(indices, outcomes, strict=True):
            missing[readable[index][0]] = "the file can no longer be read" if reason else ""
    good = [index for index, (row, _) in enumerate(readable) if not missing[row]]
    uris = _within(most_bytes, resized[good])
    found = {row: Picture(missing=reason) for row, reason in missing.items()}
    for index, uri in zip(good, uris, strict=True):
        found[readable[index][0]] = Picture(uri=uri, missing="" if uri else "left out to keep the page small")
    return Pictures(found, dict(Counter(picture.missing for picture in found.values() if picture.missing)))


def _refusals(lines: list[dict[str, Any]]) -> list[str]:
    """Why there can be no picture of each slice, before its pixels are read; empty where there can be one."""
    refusals = [_refusal(line, unusable) for line, unusable in zip(lines, why_unusable(lines), strict=True)]
    in_doubt = [
        index
        for index, (line, refusal) in enumerate(zip(lines, refusals, strict=True))
        if not refusal and line["reader"] in _DICOM_READERS
    ]
    paths = [path_of(lines[index]) for index in in_doubt]

    def look(number: int, content: bytes | None) -> None:
        refusals[in_doubt[number]] = _burned_in(paths[number], content)

    each_content(paths, look)
    return refusals


def _refusal(line: dict[str, Any], unusable: str) -> str:
    """What the manifest and the file's state say against a picture."""
    if unusable:
        return unusable
    if line["reader"] not in _DICOM_READERS:
        return ""
    if line["modality"] not in SHOWN_MODALITIES:
        # What else the file holds there is nobody's business.
        named = line["modality"] if line["modality"] in IMAGING else "unknown" if line["modality"] else "missing"
        return f"modality {named}: text could be burned into it"
    return ""


def _burned_in(path: str, content: bytes | None) -> str:
    """Whether an object may have text in its pixels: secondary captures, and what says so of itself.

    The reader skips secondary captures. This looks once more, with another reader, since a picture that is shown
    cannot be taken back; what does not say its class is not shown.
    """
    names = ["SOPClassUID", "MediaStorageSOPClassUID", "BurnedInAnnotation", "ConversionType"]
    try:
        found = read_attributes(path, names, content=content)
    except PydicomRefusal:
        return "its header cannot be checked for burned-in text"
    sop_class = found["SOPClassUID"] or found["MediaStorageSOPClassUID"]
    if not sop_class:
        return "its header does not say what it is"
    is_capture = sop_class.startswith(_SECONDARY_CAPTURE) or bool(found["ConversionType"])
    says_so = found["BurnedInAnnotation"].strip().upper() == "YES"
    return "text may be burned into it" if is_capture or says_so else ""


def _within(most_bytes: int, resized: npt.NDArray[np.uint8]) -> list[str]:
    """Data URIs of the pictures at the best quality at which all fit; empty for those that fit at none."""
    for quality in _QUALITIES:
        uris = [_data_uri(square, quality) for square in resized]
        if sum(map(len, uris)) <= most_bytes:
            return uris
    left = most_bytes
    for index, uri in enumerate(uris):
        left -= len(uri)
        if left < 0:
            uris[index] = ""
    return uris


def _data_uri(square: npt.NDArray[np.uint8], quality: int) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(square).save(file, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
