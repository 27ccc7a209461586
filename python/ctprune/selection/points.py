"""Selection among points: fingerprints or embeddings, with any of the methods that take both."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.environment.log import Log
from ctprune.environment.threads import check_threads
from ctprune.errors import ConfigError
from ctprune.options.check import shown
from ctprune.selection.methods import taking

_log = Log("ctprune.selection")

#: Compares rows with centroids: takes numbers of rows and the centroids, returns the nearest ones and their
#: margins.
Nearest = Callable[
    [npt.NDArray[np.uint32], npt.NDArray[np.float32]],
    tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]] | None,
]

#: Below this number of products of values, a CPU clusters faster than torch loads.
_WORTHWHILE = 20_000_000_000


class PointSelection(NamedTuple):
    """The result of a selection.

    Attributes:
        exemplar: uint32 of shape (n,): the row of the kept point that stands for each; itself when kept; 2**32 - 1
            if none does.
        measured: float32 of shape (n,): Hamming distance in bits or cosine similarity to it; 0 or 1 when kept.
        threshold: The threshold that was used or reached; None for methods that have none.
    """

    exemplar: npt.NDArray[np.uint32]
    measured: npt.NDArray[np.float32]
    threshold: float | None

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Bool of shape (n,): whether each is kept."""
        return np.equal(self.exemplar, np.arange(len(self.exemplar)))


def select_points(
    points: npt.NDArray[Any],
    method: str,
    *,
    threshold: float | None = None,
    keep: float | None = None,
    budget: int | None = None,
    seed: int | None = None,
    clusters: int | None = None,
    starts: Sequence[int] | None = None,
    threads: int = 0,
) -> PointSelection:
    """Select among fingerprints or embeddings. The result is the same with any number of threads.

    Methods that cluster many embeddings use a GPU if torch finds one; the result is the same to the bit.

    Args:
        points: Embeddings, floats of shape (n, features), rounded to float16; or fingerprints, uint8 of shape
            (n, bytes).
        method: A method of `ctprune reduce` that compares points, such as `kcenter`.
        threshold: The limit for being close enough to a kept point, in bits or as a cosine, if the method takes
            one.
        keep: Fraction to keep, instead of a threshold.
        budget: Number to keep, instead of a threshold.
        seed: Seed of the method's random draws.
        clusters: Number of clusters, for methods that cluster; None means the square root of n.
        starts: First row of each volume, ascending from 0, and last n: only rows of a volume are compared. None
            compares all.
        threads: Number of threads, 0 for one per core.

    Raises:
        ConfigError: The method does not compare points, arrays do not fit together, or numbers are not finite or
            out of range.
        KeyboardInterrupt: The user stopped it.

    >>> embeddings = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    >>> select_points(embeddings, "kcenter", budget=2).exemplar.tolist()
    [0, 0, 2, 2]
    """
    check_threads(threads)
    _check_whole("budget", budget, 1, 2**32 - 1)
    _check_whole("seed", seed, 0, 2**64 - 1)
    _check_whole("clusters", clusters, 1, 2**24)
    found = _as_points(points)
    try:
        used, exemplar, measured = _core.choose_points(
            found,
            [0, len(found)] if starts is None else list(starts),
            method=method,
            threshold=threshold,
            keep=keep,
            budget=budget,
            seed=seed,
            clusters=clusters,
            nearest=_nearest_on_gpu(found, clusters) if method in taking("clusters") else None,
            threads=threads,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return PointSelection(exemplar, measured, used)


def retrieve_points(
    points: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    *,
    keep: float | None = None,
    budget: int | None = None,
    threads: int = 0,
) -> PointSelection:
    """Select the points closest to a target set, exactly. The result is the same with any number of threads.

    Args:
        points: Embeddings, floats of shape (n, features), rounded to float16; or fingerprints, uint8 of shape
            (n, bytes).
        targets: Points of the target set, of shape (m, features) or (m, bytes); at least one.
        keep: Fraction to keep.
        budget: Number to keep, instead of a fraction.
        threads: Number of threads, 0 for one per core.

    Returns: No kept point stands for another. `threshold` is the distance or similarity of the last kept point to
        its nearest target, in bits or as a cosine. Of equally close points, the first in order is kept.

    Raises:
        ConfigError: Arrays do not fit together, numbers are not finite or out of range, or neither `keep` nor
            `budget` is given.
        KeyboardInterrupt: The user stopped it.

    >>> embeddings = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    >>> retrieve_points(embeddings, embeddings[2:3], budget=2).kept.tolist()
    [False, False, True, True]
    """
    check_threads(threads)
    _check_whole("budget", budget, 1, 2**32 - 1)
    if (keep is None) == (budget is None):
        raise ConfigError("expected either `keep` or `budget`")
    if keep is not None and not 0 < keep <= 1:
        raise ConfigError(f"keep {keep:g}: expected a fraction above 0 and up to 1", field="keep")
    own, others = _as_points(points), _as_points(targets)
    if own.dtype != others.dtype or own.shape[1] != others.shape[1]:
        raise ConfigError(f"expected points and targets of one kind, found {_kind(own)} and {_kind(others)}")
    try:
        used, exemplar, measured = _core.retrieve_points(own, others, keep=keep, budget=budget, threads=threads)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return PointSelection(exemplar, measured, used)


def _nearest_on_gpu(points: npt.NDArray[Any], clusters: int | None) -> Nearest | None:
    """What compares embeddings with centroids on a GPU; None if there is none or the embeddings are few."""
    found = None
    are_many = points.dtype != np.uint8 and points.size * (clusters or math.isqrt(len(points))) >= _WORTHWHILE
    if are_many and ("torch" in sys.modules or _has_driver()):
        try:
            from ctprune.selection.centroids import on_gpu

            found = on_gpu(points)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
    if found is None:
        _log.info("k-means on the CPU")
    return found


def _has_driver() -> bool:
    """Whether a GPU driver is installed, since loading torch in vain would take seconds."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _as_points(points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array as the core takes it: float16 or uint8, C-contiguous."""
    if points.ndim != 2:
        raise ConfigError(f"expected points of shape (n, features) or (n, bytes), found {points.shape}")
    if points.dtype.kind != "f" and points.dtype != np.uint8:
        raise ConfigError(f"expected embeddings of floats or fingerprints of uint8, found {points.dtype}")
    return np.ascontiguousarray(points, np.float16 if points.dtype.kind == "f" else np.uint8)


def _kind(points: npt.NDArray[Any]) -> str:
    what = ("fingerprints", "bytes") if points.dtype == np.uint8 else ("embeddings", "features")
    return f"{what[0]} of {points.shape[1]} {what[1]}"


def _check_whole(name: str, value: Any, low: int, high: int) -> None:
    if value is None:
        return
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{name} {value}: expected a whole number, {shown(low)} to {shown(high)}", field=name)
