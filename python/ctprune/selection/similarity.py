"""Similarity of slices by their pixels: structural similarity and mutual information."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.environment.threads import check_threads
from ctprune.errors import ConfigError

_Gray = npt.NDArray[np.uint8]


def ssim(a: _Gray, b: _Gray, *, window: str = "uniform", all_to_all: bool = False, threads: int = 0) -> Any:
    """Mean structural similarity of slices, equal to scikit-image's to 1e-6.

    K1 = 0.01, K2 = 0.03, L = 255; the mean is taken over all windows that lie within the slice.

    Args:
        a: Gray slices, uint8 of shape (rows, cols) or (n, rows, cols).
        b: Gray slices, uint8 of the same shape as `a`; or (m, rows, cols) with `all_to_all`.
        window: `uniform`: 7 × 7 pixels, sample covariance, as
            `skimage.metrics.structural_similarity(a, b, data_range=255)`. `gaussian`: σ = 1.5 on 11 × 11 pixels,
            as with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.
        all_to_all: Compare every one of `a` with every one of `b`.
        threads: Number of threads, 0 for one per core.

    Returns:
        A float for two slices; float64 of shape (n,) for two stacks, (n, m) with `all_to_all`.

    Raises:
        ConfigError: Another dtype, shapes that do not fit together, or slices smaller than the window.

    Source: Z. Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity (2004).

    >>> import numpy as np
    >>> ramp = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    >>> ssim(ramp, ramp), round(ssim(ramp, ramp[:, ::-1]), 3)
    (1.0, 0.466)
    """
    check_threads(threads)
    return _compare(a, b, all_to_all, lambda a, b: _core.ssim(a, b, window, all_to_all, threads))


def mutual_information(a: _Gray, b: _Gray, *, all_to_all: bool = False, threads: int = 0) -> Any:
    """Normalized mutual information of slices, `(H(X) + H(Y)) / H(X, Y)`, from 1 to 2.

    Equal to `skimage.metrics.normalized_mutual_information(a, b, bins=64)` to 1e-9: each slice has 64 equal bins
    between its own smallest and largest value. If both slices are constant, it is 2 (scikit-image gives NaN).

    Args:
        a: Gray slices, uint8 of shape (rows, cols) or (n, rows, cols).
        b: Gray slices, uint8 of the same shape as `a`; or (m, rows, cols) with `all_to_all`.
        all_to_all: Compare every one of `a` with every one of `b`.
        threads: Number of threads, 0 for one per core.

    Returns:
        A float for two slices; float64 of shape (n,) for two stacks, (n, m) with `all_to_all`.

    Raises:
        ConfigError: Another dtype, or shapes that do not fit together.

    Source: C. Studholme et al., An overlap invariant entropy measure of 3D medical image alignment (1999).

    >>> import numpy as np
    >>> ramp = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    >>> mutual_information(ramp, 255 - ramp), round(mutual_information(ramp, ramp.T), 6)
    (2.0, 1.0)
    """
    check_threads(threads)
    return _compare(a, b, all_to_all, lambda a, b: _core.mutual_information(a, b, all_to_all, threads))


def _compare(
    a: _Gray,
    b: _Gray,
    all_to_all: bool,
    similarities: Callable[[_Gray, _Gray], npt.NDArray[np.float64]],
) -> Any:
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    for array in (a, b):
        if array.dtype != np.uint8 or array.ndim not in (2, 3):
            raise ConfigError(
                "expected gray slices as uint8 of shape (rows, cols) or (n, rows, cols), found "
                f"{array.dtype} of shape {array.shape}"
            )
    fit = a.ndim == b.ndim == 3 and a.shape[1:] == b.shape[1:] if all_to_all else a.shape == b.shape
    if not fit:
        expected = "stacks of slices of one size" if all_to_all else "arrays of one shape"
        raise ConfigError(f"expected {expected}, found {a.shape} and {b.shape}")
    pair = a.ndim == 2
    try:
        found = similarities(a[np.newaxis] if pair else a, b[np.newaxis] if pair else b)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if pair:
        return float(found[0, 0])
    return found if all_to_all else found[:, 0]
