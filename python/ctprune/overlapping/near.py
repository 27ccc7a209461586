"""Exact search for near-duplicates between two sets of fingerprints, used by every check for leakage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.errors import ConfigError
from ctprune.selection.methods import METHODS

Fingerprints: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint64]

#: How pictures of one set may be turned relative to those of the other; the first is not at all.
TURNS = ("", "left-right", "up-down", "half turn")


@dataclass(frozen=True, eq=False)
class Near:
    """For each of n slices, the nearest slice of the other set.

    Attributes:
        row: Its row, int64 of shape (n,); -1 if none is near enough.
        bits: Hamming distance to it, uint16 of shape (n,); 65535 if there is none.
        turn: How the slice must be turned to match, as index of `TURNS`; int8 of shape (n,).
    """

    row: npt.NDArray[np.int64]
    bits: npt.NDArray[np.uint16]
    turn: npt.NDArray[np.int8]

    @property
    def found(self) -> npt.NDArray[np.bool_]:
        """Whether a slice is near enough, shape (n,)."""
        return self.row >= 0


def find_near(
    slices: Fingerprints,
    others: Fingerprints,
    threshold: int,
    *,
    turned: bool = False,
    hash_size: int = 8,
    threads: int = 0,
) -> Near:
    """Find for each slice the nearest slice of the other set within a number of bits.

    Of equally near slices, the first one is taken; of turns, the first of `TURNS`.

    Args:
        slices: Fingerprints, uint8 of shape (n, bytes) or uint64 of shape (n, words).
        others: Fingerprints of the other set, with the same number of bits.
        threshold: Largest Hamming distance in bits.
        turned: Whether to look for slices that are mirrored or turned by half a turn, too; dHashes only.
        hash_size: Rows of a fingerprint.
        threads: Number of threads, 0 for one per core; the result does not depend on it.

    Raises:
        KeyboardInterrupt: The user stopped it.

    >>> one = np.array([[0b1111_0000]], np.uint8)
    >>> near = find_near(one, np.array([[0], [0b1111_0001]], np.uint8), 2)
    >>> near.row.tolist(), near.bits.tolist()
    ([1], [1])
    """
    own, theirs = (cast(Fingerprints, np.ascontiguousarray(prints)) for prints in (slices, others))
    row, bits = _core.nearest_within(theirs, own, threshold, threads)
    turn = np.zeros(len(row), np.int8)
    if turned:
        # Turned fingerprints are words, so the others must be words, too.
        as_words = _core.turned(theirs, "", hash_size)
        for number, name in list(enumerate(TURNS))[1:]:
            turned_own = _core.turned(own, name, hash_size)
            there, distance = _core.nearest_within(as_words, turned_own, threshold, threads)
            nearer = distance < bits
            row[nearer], bits[nearer], turn[nearer] = there[nearer], distance[nearer], number
    return Near(row, bits, turn)


def near_threshold(config: dict[str, Any], threshold: int | None, *, name: str = "threshold") -> int:
    """The largest distance that counts: the given one, the reduction's, or that of `hash`: 6 of 64 bits.

    Args:
        config: A reduction's configuration.
        threshold: In bits, or None.
        name: The option's name, for the error.

    Raises:
        ConfigError: It exceeds the bits of a fingerprint.
    """
    bits = int(config["hash_size"]) ** 2
    if threshold is None:
        method = METHODS[config["method"]]
        own = config["threshold"] if method.decides and method.compares == "fingerprints" else None
        threshold = int(METHODS["hash"].default_threshold(bits) or 0) if own is None else int(own)
    if not 0 <= threshold <= bits:
        raise ConfigError(f"{name} {threshold}: expected 0 to {bits} bits", field=name)
    return threshold
