"""Greedy selection of exemplars among fingerprints."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.environment.threads import check_threads
from ctprune.errors import ConfigError
from ctprune.selection.fingerprint import FingerprintArray, as_fingerprints


class Selection(NamedTuple):
    """The exemplars that `select_exemplars` chose.

    Attributes:
        exemplar: int64 of shape (n,): the row of the kept fingerprint that covers each; itself when kept.
        distance: uint16 of shape (n,): Hamming distance to it, in bits.
    """

    exemplar: npt.NDArray[np.int64]
    distance: npt.NDArray[np.uint16]

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Bool of shape (n,): whether each is kept."""
        return np.equal(self.exemplar, np.arange(len(self.exemplar)))


def select_exemplars(
    fingerprints: FingerprintArray,
    *,
    threshold: int = 6,
    groups: npt.NDArray[np.integer] | None = None,
    threads: int = 0,
) -> Selection:
    """Walk through the fingerprints in order; drop what is similar to one already kept, keep the rest.

    Args:
        fingerprints: In order: uint8 of shape (n, bytes), as `ctprune.dhash` returns them; or uint64 of shape (n,)
            or (n, words), a word for 8 bytes, the most significant first. uint64 arrays are not copied.
        threshold: Two fingerprints are similar if at most this many bits differ.
        groups: Integers of shape (n,): only fingerprints of the same group are compared. None compares all.
        threads: Number of threads, 0 for one per core; the result does not depend on it.

    Returns: For each fingerprint, the first similar kept one in order and the distance to it. Exact.

    Raises:
        ConfigError: Arrays do not fit together, or the threshold exceeds the number of bits.
        KeyboardInterrupt: The user stopped it.

    >>> import numpy as np
    >>> fingerprints = np.array([[0b0000], [0b0001], [0b1111], [0b0011]], dtype=np.uint8)
    >>> select_exemplars(fingerprints, threshold=1).exemplar.tolist()
    [0, 0, 2, 3]
    >>> select_exemplars(np.array([0b0000, 0b0001, 0b1111], dtype=np.uint64), threshold=1).exemplar.tolist()
    [0, 0, 2]
    """
    check_threads(threads)
    fingerprints = as_fingerprints(fingerprints)
    count, bits = len(fingerprints), 8 * fingerprints.itemsize * fingerprints.shape[1]
    if not 0 <= threshold <= bits:
        raise ConfigError(f"threshold {threshold}: expected 0 to {bits} bits")
    if groups is None:
        return _select(fingerprints, threshold, [0, count], threads)
    groups = np.asarray(groups)
    if groups.shape != (count,):
        raise ConfigError(f"expected groups of shape ({count},), found {groups.shape}")
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order][:1] - 1)) if count else np.array([], int)
    found = _select(as_fingerprints(fingerprints[order]), threshold, [*starts.tolist(), count], threads)
    exemplar, distance = np.empty(count, np.int64), np.empty(count, np.uint16)
    exemplar[order], distance[order] = order[found.exemplar], found.distance
    return Selection(exemplar, distance)


def _select(fingerprints: FingerprintArray, threshold: int, starts: list[int], threads: int) -> Selection:
    try:
        exemplar, distance = _core.select_exemplars(fingerprints, threshold, starts, threads)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return Selection(exemplar.astype(np.int64), distance)
