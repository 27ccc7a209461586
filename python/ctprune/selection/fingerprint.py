"""Fingerprints of slices and their Hamming distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.errors import ConfigError


def dhash(
    images: npt.NDArray[Any],
    *,
    hash_size: int = 8,
    intensity: str = "minmax",
    horizontal_first: bool = False,
) -> npt.NDArray[np.uint8]:
    """Difference hash of each image, equal to `imagehash.dhash(image, hash_size)` bit by bit.

    The image is resampled to `hash_size + 1` columns and `hash_size` rows with Pillow's Lanczos filter; a bit is
    1 where the right neighbour is larger. Bits are row-major, the first one the most significant of its byte.

    Args:
        images: Shape (n, rows, cols) or (rows, cols). uint8 is grey and used as it is; int8, uint16, int16,
            uint32, int32, float32 and float64 are Hounsfield units. C-contiguous arrays are not copied.
        hash_size: Rows of the hash, 2 to 32.
        intensity: Way from Hounsfield units to grey, see `ctprune.ReduceConfig`.
        horizontal_first: Resample along rows first whatever the shape, as Pillow did before version 13; since
            then it begins with the columns of images more than about twice as tall as wide.

    Returns:
        uint8 of shape (n, ceil(hash_size² / 8)), without the first axis for a single image.

    Raises:
        ConfigError: A shape, dtype or option that cannot be used.

    Source: N. Krawetz, Kind of Like That (2013); ImageHash; method.md of Wolf et al. 2024, Figure 2.

    >>> import numpy as np
    >>> ramp = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    >>> dhash(ramp).tobytes().hex()
    'ffffffffffffffff'
    """
    array = np.ascontiguousarray(images)
    if array.ndim == 2:
        one: npt.NDArray[np.uint8] = dhash(
            array[np.newaxis], hash_size=hash_size, intensity=intensity, horizontal_first=horizontal_first
        )[0]
        return one
    try:
        return _core.dhash(array, hash_size, intensity, horizontal_first)
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from None


def hamming(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], *, all_to_all: bool = False
) -> npt.NDArray[np.uint16]:
    """Number of bits in which fingerprints differ.

    Args:
        a: Fingerprints, uint8 of shape (n, bytes), as `dhash` returns them.
        b: Likewise; (n, bytes), or (m, bytes) with `all_to_all`.
        all_to_all: Compare every one of `a` with every one of `b`.

    Returns:
        uint16 of shape (n,): distance of the i-th pair; or (n, m) with `all_to_all`.

    Raises:
        ConfigError: Arrays that do not fit together.

    >>> import numpy as np
    >>> a = np.array([[0b1111], [0b0000]], dtype=np.uint8)
    >>> b = np.array([[0b0111], [0b0011]], dtype=np.uint8)
    >>> hamming(a, b).tolist(), hamming(a, b, all_to_all=True).tolist()
    ([1, 2], [[1, 2], [3, 2]])
    """
    try:
        distances = _core.hamming(as_fingerprints(a), as_fingerprints(b), all_to_all)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return distances if all_to_all else distances[:, 0]


def as_fingerprints(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Check that an array holds fingerprints: uint8 of shape (n, bytes).

    Raises:
        ConfigError: It does not.
    """
    array = np.asarray(array)
    if array.dtype != np.uint8 or array.ndim != 2:
        raise ConfigError(
            f"expected fingerprints as uint8 of shape (n, bytes), found {array.dtype} of shape {array.shape}"
        )
    return np.ascontiguousarray(array)
