"""The series in each transfer syntax that CT archives use."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import uid
from pydicom.encaps import encapsulate

from benches import series
from benches.settings import Settings
from ctprune import _core

Stored = npt.NDArray[np.uint16]
JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"


@dataclass(frozen=True)
class Syntax:
    """A transfer syntax; `encode` makes a frame of (pixels, bits stored), None leaves it to pydicom.

    `decode` is the fastest generic decoder found on PyPI, for frames that pydicom cuts out; None where there
    is nothing to decode.
    """

    name: str
    uid: str
    encode: Callable[[Stored, int], bytes] | None = None
    decode: Callable[[bytes], Stored] | None = None


def _by_ctprune(syntax_uid: str) -> Callable[[Stored, int], bytes]:
    return lambda pixels, bits: _core.encode_frame(pixels, syntax_uid, bits)


def _jpeg_2000(pixels: Stored, bits: int) -> bytes:
    # OpenJPEG's defaults, as pydicom's encoder has them: one tile, 5 levels, blocks of 64 × 64.
    return imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, bitspersample=bits)


def _htj2k(pixels: Stored, bits: int) -> bytes:
    return imagecodecs.htj2k_encode(pixels, reversible=True)


def _jpeg_xl(pixels: Stored, bits: int) -> bytes:
    return imagecodecs.jpegxl_encode(pixels, lossless=True, bitspersample=bits, usecontainer=False)


SYNTAXES = (
    Syntax("uncompressed", uid.ExplicitVRLittleEndian),
    Syntax("deflated", uid.DeflatedExplicitVRLittleEndian),
    Syntax(
        "RLE",
        uid.RLELossless,
        _by_ctprune(uid.RLELossless),
        lambda frame: np.frombuffer(imagecodecs.dicomrle_decode(frame, "<u2"), "<u2"),
    ),
    Syntax("JPEG-LS", uid.JPEGLSLossless, _by_ctprune(uid.JPEGLSLossless), imagecodecs.jpegls_decode),
    Syntax(
        "JPEG lossless SV1",
        uid.JPEGLosslessSV1,
        _by_ctprune(uid.JPEGLosslessSV1),
        imagecodecs.jpegsof3_decode,
    ),
    Syntax("JPEG 2000", uid.JPEG2000Lossless, _jpeg_2000, imagecodecs.jpeg2k_decode),
    Syntax("HTJ2K", uid.HTJ2KLossless, _htj2k, imagecodecs.htj2k_decode),
    Syntax("JPEG XL", JPEG_XL_LOSSLESS, _jpeg_xl, imagecodecs.jpegxl_decode),
)


def transcoded(settings: Settings, syntax: Syntax) -> list[Path]:
    """Files of the series in this transfer syntax; made at the first call."""
    folder = Path(settings.work) / "transcoded" / syntax.name
    if not folder.exists():
        beside = folder.with_name(f"{syntax.name}.part")
        beside.mkdir(parents=True)
        for path in series.series(settings):
            _write(pydicom.dcmread(path), syntax, beside / path.name)
        beside.rename(folder)
        os.sync()
    return sorted(folder.iterdir())


def _write(ds: pydicom.Dataset, syntax: Syntax, path: Path) -> None:
    pixels = ds.pixel_array
    # pydicom does not write a syntax that it does not know: one with a UID as long stands in for JPEG XL.
    known = uid.HTJ2KLossless if syntax.uid == JPEG_XL_LOSSLESS else uid.UID(syntax.uid)
    ds.file_meta.TransferSyntaxUID = known
    if syntax.encode is not None:
        ds.PixelData = encapsulate([syntax.encode(pixels, ds.BitsStored)])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    ds.save_as(path, enforce_file_format=True)
    if known != syntax.uid:
        path.write_bytes(path.read_bytes().replace(known.encode(), syntax.uid.encode(), 1))
