"""Fingerprints to select among: like those of CT volumes, and unrelated ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Fingerprints = npt.NDArray[np.uint8]

_BLOCK = 1 << 20


def walks(count: int, seed: int = 1) -> Fingerprints:
    """Volumes of 250 to 600 slices as random walks that flip 0 to 3 bits a step; about 18 % are kept."""
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.integers(250, 601, size=count // 250 + 1))
    change = np.concatenate([_steps(rng, min(_BLOCK, count - at)) for at in range(0, count, _BLOCK)])
    starts = starts[starts < count]
    change[starts] = rng.integers(0, 2**64, size=len(starts), dtype=np.uint64)
    return _bytes(np.bitwise_xor.accumulate(change))


def uniform(count: int, seed: int = 1) -> Fingerprints:
    """Unrelated fingerprints, of which nearly all are kept."""
    return _bytes(np.random.default_rng(seed).integers(0, 2**64, size=count, dtype=np.uint64))


def _steps(rng: np.random.Generator, count: int) -> npt.NDArray[np.uint64]:
    flips = rng.integers(0, 4, size=count)
    bits = np.uint64(1) << rng.integers(0, 64, size=(3, count), dtype=np.uint64)
    return np.bitwise_xor.reduce(np.where(flips > np.arange(3)[:, None], bits, np.uint64(0)), axis=0)


def _bytes(words: npt.NDArray[np.uint64]) -> Fingerprints:
    return words.view(np.uint8).reshape(-1, 8)
