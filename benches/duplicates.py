"""Search for volumes that show the same anatomy among generated ones: time; every planted copy is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benches.measure import Contender, compare
from benches.settings import Settings
from ctprune import _core

#: 1 million slices.
_VOLUMES, _SLICES, _COPIES = 4000, 250, 200

#: Bodies that volumes start from, and bits that they differ in from these: real ones crowd.
_BODIES, _APART = 20, 14


def run(settings: Settings, threads: int) -> dict[str, Any]:
    fingerprints = archive()
    starts = (np.arange(_VOLUMES + 1) * _SLICES).tolist()
    positions = np.tile(np.arange(_SLICES) * 1.25, _VOLUMES)

    def find() -> list[dict[str, Any]]:
        return _core.find_pairs(
            fingerprints,
            starts,
            positions,
            threshold=3,
            min_overlap=0.5,
            hash_size=8,
            turned=True,
            threads=threads,
        )

    found = {(pair["a"], pair["b"]) for pair in find()}
    assert {(2 * copy, 2 * copy + 1) for copy in range(_COPIES)} <= found
    title = f"{_VOLUMES * _SLICES:,} slices of {_VOLUMES:,} volumes, {len(found):,} pairs found"
    contenders = [Contender(name="ctprune duplicates, without reading pixels", run=find, items=1, loops=1)]
    return {
        "input": f"generated fingerprints of 64 bits, drifting by 1 bit a slice from {_BODIES} bodies; "
        f"{_COPIES} copies with a bit flipped in every second slice",
        "about": f"Every planted copy is among the pairs, {threads} threads. Goal: seconds.",
        "tables": [compare(title, contenders, rounds=settings.rounds, unit="s")],
    }


def archive() -> npt.NDArray[np.uint64]:
    """Fingerprints of all slices, uint64 of shape (slices, 1)."""
    random = np.random.default_rng(0)

    def flipped(bits: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.uint64]:
        for _ in range(count):
            bits = bits ^ (np.uint64(1) << random.integers(0, 64, len(bits), dtype=np.uint64))
        return bits

    bodies = random.integers(0, 2**63, _BODIES, dtype=np.uint64)
    bits = flipped(bodies[random.integers(0, _BODIES, _VOLUMES)], _APART)
    slices = np.empty((_VOLUMES, _SLICES), np.uint64)
    for at in range(_SLICES):
        bits = flipped(bits, 1)
        slices[:, at] = bits
    for copy in range(_COPIES):
        noisy = flipped(slices[2 * copy], 1)
        slices[2 * copy + 1] = np.where(np.arange(_SLICES) % 2, noisy, slices[2 * copy])
    return slices.reshape(-1, 1)
