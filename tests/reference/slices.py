"""Oracles of method.md, sections 1 to 3, in plain numpy, Pillow and ImageHash."""

from __future__ import annotations

from pathlib import Path

import imagehash
import numpy as np
import pydicom
from PIL import Image


def gray_by_minmax(hu: np.ndarray) -> np.ndarray:
    """Each slice from its own [min, max] to [0, 255], halves to even."""
    values = hu.astype(np.float64)
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(hu.shape, np.uint8)
    return np.rint((values - low) * 255 / (high - low)).astype(np.uint8)


def gray_by_range(hu: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = (hu.astype(np.float64) - low) * 255 / (high - low)
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def dhash(gray: np.ndarray, hash_size: int = 8) -> bytes:
    """ImageHash's dHash, packed with the first bit as the most significant."""
    return np.packbits(imagehash.dhash(Image.fromarray(gray), hash_size).hash.ravel()).tobytes()


def dhash_horizontal_first(gray: np.ndarray, hash_size: int = 8) -> bytes:
    """As all versions of Pillow before 13 gave it: one axis at a time, rows first."""
    image = Image.fromarray(gray).resize((hash_size + 1, gray.shape[0]), Image.Resampling.LANCZOS)
    small = np.asarray(image.resize((hash_size + 1, hash_size), Image.Resampling.LANCZOS))
    return np.packbits((small[:, 1:] > small[:, :-1]).ravel()).tobytes()


def hamming(a: bytes, b: bytes) -> int:
    return sum((x ^ y).bit_count() for x, y in zip(a, b, strict=True))


def exemplars(fingerprints: list[bytes], threshold: int) -> list[int]:
    """For each the first kept one in order within the threshold; itself when kept."""
    kept: list[int] = []
    result = []
    for i, fingerprint in enumerate(fingerprints):
        covering = (k for k in kept if hamming(fingerprints[k], fingerprint) <= threshold)
        exemplar = next(covering, i)
        if exemplar == i:
            kept.append(i)
        result.append(exemplar)
    return result


def hounsfield_units(path: Path, frame: int = 0) -> np.ndarray:
    """Hounsfield units of one frame, by pydicom; Enhanced CT keeps its rescale in functional groups."""
    dataset = pydicom.dcmread(path)
    stored, rescale = dataset.pixel_array, dataset
    if stored.ndim == 3:
        stored = stored[frame]
        for groups in (
            dataset.SharedFunctionalGroupsSequence[0],
            dataset.PerFrameFunctionalGroupsSequence[frame],
        ):
            if "PixelValueTransformationSequence" in groups:
                rescale = groups.PixelValueTransformationSequence[0]
    return stored * float(rescale.get("RescaleSlope", 1)) + float(rescale.get("RescaleIntercept", 0))


def position_along_normal(dataset: pydicom.Dataset, normal: np.ndarray) -> float:
    return float(np.dot(normal, np.array(dataset.ImagePositionPatient, float)))


def normal(dataset: pydicom.Dataset) -> np.ndarray:
    orientation = np.array(dataset.ImageOrientationPatient, float)
    normal = np.cross(orientation[:3], orientation[3:])
    return normal / np.linalg.norm(normal)
