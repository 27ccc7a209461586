"""The nearest centroids of embeddings, compared by torch on a GPU.

This is a filter before an exact step: the core accepts answers whose margin exceeds the rounding of float32 and
decides the others itself (`rust/ctprune-core/src/selection/kmeans/device.rs`).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ctprune.environment.log import Log
from ctprune.environment.precision import full_precision

_log = Log("ctprune.selection")

_Answer = tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]

#: If memory does not suffice for this many rows, another program is using it.
_FEWEST_ROWS = 64


def on_gpu(embeddings: npt.NDArray[np.float16]) -> NearestCentroids | None:
    """What compares these embeddings with centroids on a GPU; None if torch finds none."""
    if not torch.cuda.is_available():
        return None
    try:
        device = torch.device("cuda", torch.cuda.current_device())
        free, _ = torch.cuda.mem_get_info(device)
    except RuntimeError as error:
        # Another program uses all of its memory, or has exclusive access.
        _log.warning("the GPU cannot be used: %s", _first_line(error))
        return None
    _log.info("k-means on the GPU: %s", torch.cuda.get_device_name(device))
    return NearestCentroids(embeddings, device, memory=free // 2)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


class NearestCentroids:
    """Compares embeddings with centroids on a device.

    Args:
        embeddings: float16 of shape (n, features), possibly mapped from a file: some rows are read at a time.
        device: Where products are computed.
        memory: Bytes to use there: half for rows that may be needed again, half for products.

    >>> embeddings = np.array([[1, 0], [0, 1], [3, 4]], np.float16)
    >>> nearest = NearestCentroids(embeddings, torch.device("cpu"), memory=1 << 20)
    >>> numbers, margins = nearest(np.array([0, 2], np.uint32), np.array([[1, 0], [0, 1]], np.float32))
    >>> numbers.tolist(), margins.tolist()
    ([0, 1], [1.0, 1.0])
    """

    def __init__(self, embeddings: npt.NDArray[np.float16], device: torch.device, *, memory: int) -> None:
        self._embeddings = embeddings
        self._device = device
        self._memory = memory
        self._most_rows = len(embeddings)
        self._held: dict[int, tuple[npt.NDArray[np.uint32], Tensor]] = {}
        self._works = True

    def __call__(self, rows: npt.NDArray[np.uint32], centroids: npt.NDArray[np.float32]) -> _Answer | None:
        """The nearest of k centroids for each of m rows.

        Args:
            rows: Numbers of the rows, of shape (m,).
            centroids: Of shape (k, features).

        Returns: The number of the centroid with the largest product, and its margin over the second largest, both
            of shape (m,); None once the device fails.
        """
        if not self._works:
            return None
        try:
            with torch.inference_mode(), full_precision(self._device):
                return self._nearest(rows, centroids)
        except RuntimeError as error:
            # Out of memory, or a GPU that this torch does not support: the CPU gives the same answer.
            _log.warning("k-means goes on on the CPU: %s", _first_line(error))
            self._works = False
            self._held.clear()
            return None

    def _nearest(self, rows: npt.NDArray[np.uint32], centroids: npt.NDArray[np.float32]) -> _Answer:
        centers = torch.from_numpy(centroids).to(self._device)
        # The half-precision rows, their floats, and the products, which are written twice.
        bytes_of_row = 6 * centroids.shape[1] + 8 * len(centroids)
        together = max(min(self._memory // 2 // bytes_of_row, self._most_rows), 1)
        answers: list[tuple[Tensor, Tensor]] = []
        start = 0
        while start < len(rows):
            some = rows[start : start + together]
            try:
                answers.append(_compared(self._lines(some), centers))
            except torch.OutOfMemoryError:
                if len(some) <= _FEWEST_ROWS:
                    raise
                together = self._most_rows = len(some) // 2
            else:
                start += len(some)
                continue
            # Outside the handler, the failed attempt no longer holds memory.
            self._held.clear()
            torch.cuda.empty_cache()
        numbers, margins = (torch.cat(parts).cpu().numpy() for parts in zip(*answers, strict=True))
        return numbers.view(np.uint32), margins

    def _lines(self, rows: npt.NDArray[np.uint32]) -> Tensor:
        """Embeddings on the device. Rounds of k-means need the same ones, which may still be there."""
        first = int(rows[0])
        held = self._held.get(first)
        if held is not None and np.array_equal(held[0], rows):
            return held[1]
        lines = torch.from_numpy(self._embeddings[rows]).to(self._device)
        if sum(lines.nbytes for _, lines in self._held.values()) + lines.nbytes > self._memory // 2:
            self._held.clear()
        self._held[first] = rows, lines
        return lines


def _compared(lines: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    products = lines.float() @ centers.T
    first, numbers = products.max(dim=1)
    second = products.scatter_(1, numbers[:, None], -math.inf).amax(dim=1)
    return numbers.to(torch.int32), first - second
