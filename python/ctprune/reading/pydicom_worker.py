"""The process that runs pydicom: `python -m ctprune.reading.pydicom_worker`, one request after the other.

The decoders behind pydicom may be C: a hostile file may take any time and memory, or crash them. Here it does so
alone. A request for slices, or for attributes of the header, is a line of JSON; behind it come the bytes of a file
that is a member of a container. The answer is a line for each
slice with the bytes of its pixels behind it, or a line with the attributes, and a last line. Nothing that a file
holds is printed, and no message of an exception.
"""

from __future__ import annotations

import functools
import io
import json
import math
import operator
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.filereader import read_partial
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import iter_pixels
from pydicom.tag import Tag

#: What the process may take beyond what it has when it starts: the file, some copies of a slice, a codec's own.
_COPIES_OF_A_SLICE = 3

_PIXEL_DATA = 0x7FE0_0010

#: Integers above are not all floats.
_EXACT = 1 << 53

#: What Rust knows of the types that pydicom gives.
_KNOWN = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")


def main() -> None:
    """Answer requests from standard input until it ends."""
    answers = _own_output()
    baseline = _address_space()
    # Ctrl-C is the business of the process that asks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    warnings.simplefilter("ignore")
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit_memory(baseline, request["max_slice_mb"])
        content = sys.stdin.buffer.read(request.get("bytes", 0))
        for header, pixels in _answer(request, content):
            answers.write(json.dumps(header).encode() + b"\n")
            answers.write(pixels)
            answers.flush()


def _own_output() -> BinaryIO:
    """The way to the process that asks; whatever else is printed goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answers


def _address_space() -> int:
    """Bytes of address space in use; 0 where that is not known."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _limit_memory(baseline: int, max_slice_mb: int) -> None:
    if not baseline:
        return
    import resource

    limit = baseline + _COPIES_OF_A_SLICE * (max_slice_mb << 20)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    # A core would hold the patient's pixels.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with_parent() -> None:
    """On Linux the system ends this process when the one that asks is killed, also while a decoder runs."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _answer(request: dict[str, Any], content: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    try:
        if "attributes" in request:
            yield {"attributes": _attributes(request, content)}, b""
        else:
            yield from _slices(request, content)
    except MemoryError:
        yield {"refused": "memory"}, b""
    except BaseException:
        # Decoders raise what they like: Rust's panics are not even an Exception.
        yield {"refused": "pydicom"}, b""
    else:
        yield {"refused": None}, b""


def _open(request: dict[str, Any], content: bytes) -> BinaryIO:
    return io.BytesIO(content) if "bytes" in request else open(request["path"], "rb")


def _slices(request: dict[str, Any], content: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    with _open(request, content) as file:
        dataset = read_partial(file, stop_when=_behind_pixels(), force=True)
    if not _is_wanted(dataset, request["modality"], request["max_slice_mb"] << 20):
        raise ValueError("not a slice that was asked for")
    wanted = request["frames"]
    numbers = range(_frames_of(dataset)) if wanted is None else wanted
    for frame, pixels in zip(numbers, iter_pixels(dataset, raw=True, indices=wanted), strict=False):
        values, slope, intercept = _rescaled(pixels, dataset)
        header = {
            "slice": _describe(dataset, frame),
            "dtype": values.dtype.str,
            "shape": values.shape,
            "slope": slope,
            "intercept": intercept,
        }
        yield header, values.tobytes()


def _attributes(request: dict[str, Any], content: bytes) -> dict[str, str]:
    """Attributes before the pixels by keyword; empty where there is none."""
    names = request["attributes"]
    with _open(request, content) as file:
        dataset = read_partial(
            file,
            stop_when=lambda tag, *_: tag >= _PIXEL_DATA,
            force=True,
            specific_tags=[Tag(name) for name in names],
        )
    return {name: str(dataset.get(name) or dataset.file_meta.get(name) or "") for name in names}


def _behind_pixels() -> Callable[[int, str | None, int], bool]:
    """What ends the reading of a data set: all that lies behind the pixels, which may be gigabytes of zeros."""
    seen = False

    def stop(tag: int, vr: str | None, length: int) -> bool:
        nonlocal seen
        behind, seen = seen, tag == _PIXEL_DATA
        return behind

    return stop


def _frames_of(dataset: pydicom.Dataset) -> int:
    return int(dataset.get("NumberOfFrames") or 1)


def _is_wanted(dataset: pydicom.Dataset, modality: str, max_slice_bytes: int) -> bool:
    size = int(dataset.Rows) * int(dataset.Columns) * math.ceil(int(dataset.BitsAllocated) / 8)
    slope = float(dataset.get("RescaleSlope", 1))
    return (
        modality in ("any", dataset.get("Modality"))
        and "PixelData" in dataset
        # Frames with geometry of their own stay refused: describing them is the Rust reader's business.
        and "PerFrameFunctionalGroupsSequence" not in dataset
        and dataset.SamplesPerPixel == 1
        and 0 < size <= max_slice_bytes
        and math.isfinite(slope)
        and slope != 0
    )


def _rescaled(pixels: npt.NDArray[Any], dataset: pydicom.Dataset) -> tuple[npt.NDArray[Any], float, float]:
    """Pixels with RescaleSlope and RescaleIntercept; a Modality LUT Sequence is applied at once."""
    if "ModalityLUTSequence" in dataset:
        return _known(apply_modality_lut(pixels, dataset)), 1.0, 0.0
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    if not math.isfinite(intercept):
        raise ValueError("Rescale Intercept is not finite")
    return _known(pixels), slope, intercept


def _known(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same values in a type that Rust knows, little-endian."""
    if pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8)
    if pixels.dtype.kind in "iu" and pixels.dtype.itemsize == 8:
        if pixels.size and (int(pixels.max()) > _EXACT or int(pixels.min()) < -_EXACT):
            raise ValueError("integers beyond 53 bits")
        pixels = pixels.astype(np.float64)
    if pixels.dtype.name not in _KNOWN or pixels.ndim != 2:
        raise ValueError("a type of pixels that is not known")
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))


def _describe(dataset: pydicom.Dataset, frame: int) -> dict[str, Any]:
    def text(name: str) -> str:
        value = dataset.get(name)
        return "" if value is None else "\\".join(map(str, value)) if isinstance(value, list) else str(value)

    def floats(name: str, count: int) -> list[float] | None:
        """So many finite values, or none, as the Rust reader takes them."""
        try:
            values = [float(part) for part in dataset.get(name) or ()]
        except (TypeError, ValueError):
            return None
        return values if len(values) == count and all(map(math.isfinite, values)) else None

    def number(name: str) -> int | None:
        try:
            value = int(dataset.get(name))
        except (TypeError, ValueError, OverflowError):
            return None
        return value if -(1 << 32) < value < 1 << 32 else None

    def decimal(name: str) -> float | None:
        try:
            value = float(dataset.get(name))
        except (TypeError, ValueError):
            return None
        return value if math.isfinite(value) else None

    return {
        "frame": frame,
        "study_instance_uid": text("StudyInstanceUID"),
        "series_instance_uid": text("SeriesInstanceUID"),
        "sop_instance_uid": text("SOPInstanceUID"),
        "modality": text("Modality"),
        "transfer_syntax_uid": str(dataset.file_meta.get("TransferSyntaxUID", "")),
        "rows": int(dataset.Rows),
        "columns": int(dataset.Columns),
        "pixel_spacing_mm": floats("PixelSpacing", 2),
        "image_position_patient": floats("ImagePositionPatient", 3),
        "image_orientation_patient": floats("ImageOrientationPatient", 6),
        "acquisition_number": number("AcquisitionNumber"),
        "instance_number": number("InstanceNumber"),
        "slice_thickness_mm": decimal("SliceThickness"),
        "manufacturer": text("Manufacturer"),
        "manufacturer_model_name": text("ManufacturerModelName"),
        "convolution_kernel": text("ConvolutionKernel"),
        "image_type": "\\".join(map(str, dataset.get("ImageType") or ())),
        "frame_of_reference_uid": text("FrameOfReferenceUID"),
        "bits_stored": number("BitsStored"),
        "rescale_slope": decimal("RescaleSlope"),
        "rescale_intercept": decimal("RescaleIntercept"),
        "lossy_image_compression": text("LossyImageCompression"),
        "burned_in_annotation": text("BurnedInAnnotation"),
        "patient_check": _patient_check(dataset),
    }


def _patient_check(dataset: Any) -> int | None:
    """Eight bits of a hash of Patient ID and study, as `text.rs` makes them; None without an ID."""
    element = dataset.get_item("PatientID")
    if element is None:
        return None
    value = (
        element.value
        if isinstance(element.value, bytes)
        else str(element.value or "").encode("latin-1", "replace")
    )
    value = value.strip(b" \t\n\f\r\0")
    if not value:
        return None
    # FNV-1a.
    check = 0xCBF2_9CE4_8422_2325
    for byte in value + str(dataset.get("StudyInstanceUID") or "").encode():
        check = (check ^ byte) * 0x100_0000_01B3 % (1 << 64)
    return functools.reduce(operator.xor, check.to_bytes(8, "little"))


if __name__ == "__main__":
    main()
