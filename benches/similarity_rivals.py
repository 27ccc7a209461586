"""What one would use instead of ctprune to compare slices by their pixels."""

from __future__ import annotations

from typing import Any

import cv2
import fast_ssim as fast
import numba
import numpy as np
import numpy.typing as npt
from sklearn.metrics import normalized_mutual_info_score

Grays = npt.NDArray[np.uint8]

_SIDE, _PIXELS = 7, 49
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

cv2.setNumThreads(1)


class OpenCv:
    """SSIM by OpenCV's box filter in single precision; means and variances of a slice are kept."""

    def __init__(self, pixels: Grays) -> None:
        self.pixels = pixels.astype(np.float32)
        self.mean = self._box(self.pixels)
        self.variance = self._box(self.pixels * self.pixels) - self.mean * self.mean
        self.variance *= _PIXELS / (_PIXELS - 1)

    @staticmethod
    def _box(values: Any) -> Any:
        return cv2.blur(values, (_SIDE, _SIDE))[3:-3, 3:-3]

    def ssim(self, other: OpenCv) -> float:
        product = self.mean * other.mean
        covariance = (self._box(self.pixels * other.pixels) - product) * (_PIXELS / (_PIXELS - 1))
        above = (2 * product + _C1) * (2 * covariance + _C2)
        below = (self.mean * self.mean + other.mean * other.mean + _C1) * (self.variance + other.variance + _C2)
        return float((above / below).mean(dtype=np.float64))


class Loops:
    """SSIM in plain loops, compiled by numba: sums run down the columns, then along the row."""

    def __init__(self, pixels: Grays) -> None:
        self.pixels = pixels
        self.sums, self.variances = _maps(pixels)

    def ssim(self, other: Loops) -> float:
        return float(_ssim(self.pixels, other.pixels, self.sums, other.sums, self.variances, other.variances))


@numba.njit(cache=False)
def _maps(pixels: Any) -> Any:
    rows, columns = pixels.shape
    sums = np.zeros((rows - 6, columns - 6), np.int32)
    variances = np.zeros((rows - 6, columns - 6), np.float32)
    for row in range(rows - 6):
        for column in range(columns - 6):
            total, squares = 0, 0
            for down in range(7):
                for along in range(7):
                    value = np.int64(pixels[row + down, column + along])
                    total += value
                    squares += value * value
            sums[row, column] = total
            variances[row, column] = 49 * squares - total * total
    return sums, variances


@numba.njit(fastmath=True)
def _ssim(a: Any, b: Any, a_sums: Any, b_sums: Any, a_variances: Any, b_variances: Any) -> Any:
    rows, columns = a.shape
    c1, c2 = np.float32(6.5025 * 2401), np.float32(58.5225 * 2352)
    products = np.zeros(columns, np.int32)
    for row in range(6):
        for column in range(columns):
            products[column] += np.int32(a[row, column]) * np.int32(b[row, column])
    total = 0.0
    for row in range(rows - 6):
        for column in range(columns):
            products[column] += np.int32(a[row + 6, column]) * np.int32(b[row + 6, column])
        line = np.float32(0)
        for column in range(columns - 6):
            p = products[column] + products[column + 1] + products[column + 2] + products[column + 3]
            p += products[column + 4] + products[column + 5] + products[column + 6]
            x, y = a_sums[row, column], b_sums[row, column]
            means = x * y
            above = (np.float32(2 * means) + c1) * (np.float32(2 * (49 * p - means)) + c2)
            below = np.float32(x * x + y * y) + c1
            line += above / (below * (a_variances[row, column] + b_variances[row, column] + c2))
        total += line
        for column in range(columns):
            products[column] -= np.int32(a[row, column]) * np.int32(b[row, column])
    return total / ((rows - 6) * (columns - 6))


def fast_ssim(a: Grays, b: Grays) -> float:
    """The package Fast-SSIM, whose windows are its own."""
    return float(fast.ssim(a, b, data_range=255))


def bins(pixels: Grays) -> Grays:
    """The 64 bins of a slice, as numpy's histogram has them."""
    low, high = int(pixels.min()), int(pixels.max())
    return np.minimum((pixels.astype(np.int64) - low) * 64 // max(high - low, 1), 63).astype(np.uint8)


def compiled_histogram(a: Grays, b: Grays) -> float:
    """Normalized mutual information by a joint histogram in a loop that numba compiles."""
    joint = _joint(a.ravel(), b.ravel())
    return float((_entropy(joint.sum(0)) + _entropy(joint.sum(1))) / _entropy(joint.ravel()))


@numba.njit
def _joint(a: Any, b: Any) -> Any:
    counts = np.zeros((64, 64), np.int64)
    for at in range(len(a)):
        counts[a[at], b[at]] += 1
    return counts


def _entropy(counts: Any) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def learned(a: Grays, b: Grays) -> float:
    """scikit-learn's score: mutual information over the mean of the entropies."""
    return float(normalized_mutual_info_score(a.ravel(), b.ravel()))
