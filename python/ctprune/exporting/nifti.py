"""Slices as NIfTI-1 files in Hounsfield units, with their place in the patient.

Source: the NIfTI-1 header (nifti1.h) and DICOM PS3.3 C.7.6.2.1.1. NIfTI's axes point right, anterior and superior
where DICOM's point left, posterior and superior, so the first two change their sign.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.errors import OutputError
from ctprune.manifest.slices import path_of
from ctprune.sources.ahead import FetchAhead

#: Largest distance of a slice from its place in an evenly spaced stack, as a fraction of the spacing.
_UNEVEN = 0.05

#: Smallest sine of the angle between the direction of the slices and their plane.
_FLAT = 1e-3

#: Compression level; slower ones gain a few percent.
_COMPRESSION = 3

#: NIfTI's code of each type of values.
_CODES = {"uint8": 2, "int16": 4, "float32": 16}

_INT16_RANGE = (-32768, 32767)


def volumes_of(batches: Iterable[list[dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    """The rows of each volume, which follow each other, from rows in batches."""
    for _, rows in groupby(chain.from_iterable(batches), lambda row: row["volume"]):
        yield list(rows)


def write_nifti(
    rows: Sequence[dict[str, Any]], target: Path, reduction: dict[str, Any], *, threads: int = 0
) -> str:
    """Write slices, in order, as one volume.

    Args:
        rows: Rows of the manifest with where they are, their matrix and their place.
        target: The new file, `.nii.gz`.
        reduction: The manifest's configuration.
        threads: Number of threads that read, 0 for one per core.

    Returns:
        "", or why the slices are not an evenly spaced volume, or cannot be read.

    Raises:
        OutputError: The file cannot be written.
    """
    affine = affine_of(rows)
    if isinstance(affine, str):
        return affine
    where = [(path_of(row), row["frame"]) for row in rows]
    try:
        with FetchAhead() as fetch:
            hu = _core.read_hu(
                where,
                rows[0]["rows"],
                rows[0]["columns"],
                reduction["modality"],
                reduction["max_slice_mb"],
                threads,
                fetch,
            )
    except ValueError as error:
        return _without_names(str(error), [path for path, _ in where])
    save_nifti(target, _smallest(hu), affine)
    return ""


def save_nifti(target: Path, values: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> None:
    """Write values as a volume; the same values give the same bytes.

    Args:
        target: The new file, `.nii.gz`.
        values: uint8, int16 or float32 of shape (slices, rows, columns).
        affine: As of `affine_of`.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        with target.open("xb") as file, gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as packed:
            packed.write(nifti_header(values, affine))
            packed.write(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).data)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror}") from None


def affine_of(rows: Sequence[dict[str, Any]]) -> npt.NDArray[np.float64] | str:
    """From column, row and slice to mm to the right, to the front and to the head, float64 of shape (4, 4).

    Args:
        rows: Slices in order, with the manifest's columns of matrix, spacing, orientation and position.

    Returns:
        Why there is no such matrix, where the slices do not form an evenly spaced stack.

    >>> row = dict(rows=9, columns=9, pixel_spacing_mm=[2.0, 3.0], image_position_patient=[-10.0, -20.0, 30.0])
    >>> row |= dict(image_orientation_patient=[1.0, 0, 0, 0, 1, 0], slice_thickness_mm=5.0)
    >>> affine_of([row]).diagonal().tolist(), affine_of([row])[:3, 3].tolist()
    ([-3.0, -2.0, 5.0, 1.0], [10.0, 20.0, 30.0])
    """
    first = rows[0]
    needed = ("pixel_spacing_mm", "image_position_patient", "image_orientation_patient")
    if any(row[name] is None for row in rows for name in needed):
        return "the file gives no spacing, position or orientation: use `mode` png"
    for name, what in (("rows", "matrices"), ("columns", "matrices")):
        if any(row[name] != first[name] for row in rows):
            return f"the volume has slices of different {what}: use `mode` nifti-slices or png"
    orientation = np.array([row["image_orientation_patient"] for row in rows], np.float64)
    spacing = np.array([row["pixel_spacing_mm"] for row in rows], np.float64)
    if np.abs(orientation - orientation[0]).max() > 1e-3 or np.abs(spacing / spacing[0] - 1).max() > 1e-3:
        return "the volume has slices of different orientation or spacing: use `mode` nifti-slices or png"
    along_row, along_column = orientation[0, :3], orientation[0, 3:]
    normal = np.cross(along_row, along_column)
    position = np.array([row["image_position_patient"] for row in rows], np.float64)
    if len(rows) > 1:
        step = (position[-1] - position[0]) / (len(rows) - 1)
        even = position[0] + np.arange(len(rows))[:, None] * step
        length = float(np.linalg.norm(step))
        if abs(step @ normal) <= _FLAT * max(length, _FLAT):
            return "the volume has several slices at one position: use `mode` nifti-slices or png"
        if np.linalg.norm(position - even, axis=1).max() > _UNEVEN * length:
            return "the volume's slices are not evenly spaced: use `mode` nifti-slices or png"
    else:
        step = normal * (first["slice_thickness_mm"] or 1.0)
    affine = np.eye(4)
    affine[:3, 0] = along_row * spacing[0, 1]
    affine[:3, 1] = along_column * spacing[0, 0]
    affine[:3, 2] = step
    affine[:3, 3] = position[0]
    affine[:2] *= -1
    # No zero has a sign.
    return affine + 0.0


def nifti_header(values: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> bytes:
    """The 352 bytes before the values of a volume.

    Args:
        values: uint8, int16 or float32 of shape (slices, rows, columns).
        affine: As of `affine_of`.
    """
    slices, rows, columns = values.shape
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, columns, rows, slices, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, _CODES[values.dtype.name], 8 * values.dtype.itemsize)
    struct.pack_into("<8f", header, 76, 1.0, *np.linalg.norm(affine[:3, :3], axis=0), 0.0, 0.0, 0.0, 0.0)
    # Offset of the values, then slope and intercept: values need no scaling.
    struct.pack_into("<3f", header, 108, 352.0, 1.0, 0.0)
    # Millimeters.
    header[123] = 2
    quaternion = _quaternion(affine)
    if quaternion is not None:
        turns, handedness = quaternion
        struct.pack_into("<f", header, 76, handedness)
        struct.pack_into("<h", header, 252, 1)
        struct.pack_into("<6f", header, 256, *turns, *affine[:3, 3])
    # The axes of the scanner.
    struct.pack_into("<h", header, 254, 1)
    struct.pack_into("<12f", header, 280, *affine[:3].ravel())
    header[344:348] = b"n+1\0"
    return bytes(header)


def _quaternion(affine: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float] | None:
    """The axes as a quaternion (b, c, d) and 1 or -1 for the third axis; None for a tilted stack."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
        return None
    handedness = 1.0 if np.linalg.det(axes) > 0 else -1.0
    axes[:, 2] *= handedness
    # The eigenvector of the largest eigenvalue: it holds whatever the angle (I. Y. Bar-Itzhack, 2000).
    xx, xy, xz, yx, yy, yz, zx, zy, zz = axes.ravel()
    matrix = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    b, c, d, a = np.linalg.eigh(matrix)[1][:, -1]
    return np.array([b, c, d]) * (-1.0 if a < 0 else 1.0), handedness


def _smallest(hu: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Whole numbers as int16, which all readers support; other values stay."""
    low, high = _INT16_RANGE
    if hu.min() >= low and hu.max() <= high:
        whole = hu.astype("<i2")
        if np.array_equal(whole, hu):
            return whole
    return hu.astype("<f4", copy=False)


def _without_names(reason: str, paths: Sequence[str]) -> str:
    """A reason without the file name at its beginning."""
    return next((reason[len(path) + 2 :] for path in paths if reason.startswith(f"{path}: ")), reason)
