"""Fingerprints of slices and their Hamming distances."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.environment.threads import check_threads
from ctprune.errors import ConfigError

#: Fingerprints, uint8 of shape (n, bytes), or uint64 of shape (n,) or (n, words).
FingerprintArray: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint64]


def dhash(
    images: npt.NDArray[Any],
    *,
    hash_size: int = 8,
    intensity: str = "minmax",
    horizontal_first: bool = False,
    threads: int = 0,
) -> npt.NDArray[np.uint8]:
    """Difference hash of each image, equal to `imagehash.dhash(image, hash_size)` bit by bit.

    The image is resampled to `hash_size + 1` columns and `hash_size` rows with Pillow's Lanczos filter; a bit is
    1 where the right neighbor is larger. Bits are row-major, the first one the most significant of its byte.

    Args:
        images: Shape (n, rows, cols) or (rows, cols). uint8 is gray and used as it is; int8, uint16, int16,
            uint32, int32, float32 and float64 are Hounsfield units. C-contiguous arrays are not copied.
        hash_size: Rows of the hash, 2 to 32.
        intensity: Way from Hounsfield units to gray, see `ctprune.ReduceConfig`.
        horizontal_first: Always resample along rows first, as Pillow did before version 13; since then, Pillow
            begins with the columns if the image is more than about twice as tall as wide.
        threads: Number of threads, 0 for one per core.

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
    return _fingerprint("dhash", images, hash_size, intensity, horizontal_first, threads)


def ahash(
    images: npt.NDArray[Any],
    *,
    hash_size: int = 8,
    intensity: str = "minmax",
    horizontal_first: bool = False,
    threads: int = 0,
) -> npt.NDArray[np.uint8]:
    """Average hash of each image, equal to `imagehash.average_hash(image, hash_size)` bit by bit.

    The image is resampled to `hash_size` columns and rows with Pillow's Lanczos filter; a bit is 1 where the pixel
    is larger than the mean. Bits are row-major, the first one the most significant of its byte.

    Args:
        images: Shape (n, rows, cols) or (rows, cols), as for `ctprune.dhash`.
        hash_size: Rows of the hash, 2 to 32.
        intensity: Way from Hounsfield units to gray, see `ctprune.ReduceConfig`.
        horizontal_first: Order of resampling, see `ctprune.dhash`.
        threads: Number of threads, 0 for one per core.

    Returns:
        uint8 of shape (n, ceil(hash_size² / 8)), without the first axis for a single image.

    Raises:
        ConfigError: A shape, dtype or option that cannot be used.

    Source: N. Krawetz, Looks Like It (2011); ImageHash.

    >>> import numpy as np
    >>> ramp = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    >>> ahash(ramp).tobytes().hex()
    '0f0f0f0f0f0f0f0f'
    """
    return _fingerprint("ahash", images, hash_size, intensity, horizontal_first, threads)


def phash(
    images: npt.NDArray[Any],
    *,
    hash_size: int = 8,
    intensity: str = "minmax",
    horizontal_first: bool = False,
    threads: int = 0,
) -> npt.NDArray[np.uint8]:
    """Perceptual hash of each image, with the bits of `imagehash.phash(image, hash_size)`.

    The image is resampled to four times `hash_size` columns and rows with Pillow's Lanczos filter and goes through
    the type-II cosine transform; a bit is 1 where one of the `hash_size²` lowest frequencies is larger than their
    median. Bits are row-major, the first one the most significant of its byte.

    A frequency that differs from the median only by rounding, as in mirrored images, counts as equal and gives a
    bit of 0. ImageHash decides such bits by the last digits of SciPy's result, which differ between versions and
    processors.

    Args:
        images: Shape (n, rows, cols) or (rows, cols), as for `ctprune.dhash`.
        hash_size: Rows of the hash, 2 to 32.
        intensity: Way from Hounsfield units to gray, see `ctprune.ReduceConfig`.
        horizontal_first: Order of resampling, see `ctprune.dhash`.
        threads: Number of threads, 0 for one per core.

    Returns:
        uint8 of shape (n, ceil(hash_size² / 8)), without the first axis for a single image.

    Raises:
        ConfigError: A shape, dtype or option that cannot be used.

    Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010); ImageHash.

    >>> import numpy as np
    >>> phash(np.full((64, 64), 9, dtype=np.uint8)).tobytes().hex()
    '8000000000000000'
    """
    return _fingerprint("phash", images, hash_size, intensity, horizontal_first, threads)


def _fingerprint(
    kind: str, images: npt.NDArray[Any], hash_size: int, intensity: str, horizontal_first: bool, threads: int
) -> npt.NDArray[np.uint8]:
    check_threads(threads)
    array = np.ascontiguousarray(images)
    single = array.ndim == 2
    try:
        stack = array[np.newaxis] if single else array
        hashes = _core.fingerprint(stack, kind, hash_size, intensity, horizontal_first, threads)
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from None
    one: npt.NDArray[np.uint8] = hashes[0] if single else hashes
    return one


def hamming(
    a: FingerprintArray, b: FingerprintArray, *, all_to_all: bool = False, threads: int = 0
) -> npt.NDArray[np.uint16]:
    """Number of bits in which fingerprints differ.

    A uint64 word stands for 8 bytes, the most significant first: `dhash(image).view(">u8")` and the bytes that
    `dhash` returns are the same fingerprints.

    Args:
        a: Fingerprints, uint8 of shape (n, bytes), as `dhash` returns them; or uint64 of shape (n,) or (n, words).
        b: Fingerprints of the same number of bits: n, or any number with `all_to_all`.
        all_to_all: Compare every one of `a` with every one of `b`.
        threads: Number of threads, 0 for one per core.

    Returns:
        uint16 of shape (n,): distance of the i-th pair; or (n, m) with `all_to_all`.

    Raises:
        ConfigError: Arrays do not fit together.

    >>> import numpy as np
    >>> a = np.array([[0b1111], [0b0000]], dtype=np.uint8)
    >>> b = np.array([[0b0111], [0b0011]], dtype=np.uint8)
    >>> hamming(a, b).tolist(), hamming(a, b, all_to_all=True).tolist()
    ([1, 2], [[1, 2], [3, 2]])
    >>> words = np.array([0xFF00, 0x00FF], dtype=np.uint64)
    >>> hamming(words[:1], words, all_to_all=True).tolist()
    [[0, 16]]
    """
    check_threads(threads)
    try:
        distances = _core.hamming(as_fingerprints(a), as_fingerprints(b), all_to_all, threads)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return distances if all_to_all else distances[:, 0]


def as_fingerprints(array: FingerprintArray) -> FingerprintArray:
    """Fingerprints as the core takes them: uint8 of shape (n, bytes) or uint64 of shape (n, words), contiguous.

    Raises:
        ConfigError: The array has another dtype or shape.

    >>> as_fingerprints(np.zeros(3, np.uint64)).shape
    (3, 1)
    """
    given: npt.NDArray[Any] = np.asarray(array)
    words = given.dtype.kind == "u" and given.dtype.itemsize == 8
    if given.ndim == 2 and given.dtype == np.uint8:
        return np.ascontiguousarray(given, np.uint8)
    if given.ndim in (1, 2) and words:
        return np.ascontiguousarray(given if given.ndim == 2 else given[:, np.newaxis], np.uint64)
    raise ConfigError(
        "expected fingerprints as uint8 of shape (n, bytes) or uint64 of shape (n,) or (n, words), "
        f"found {given.dtype} of shape {given.shape}"
    )
