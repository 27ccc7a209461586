"""The selection of a manifest, made again from its fingerprints."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctprune.manifest.slices import Floats, Slices
from ctprune.selection.exemplars import select_exemplars
from ctprune.selection.methods import method_of
from ctprune.selection.points import select_points

#: Stands for no exemplar in what the core returns.
_NO_EXEMPLAR = 2**32 - 1

#: Fingerprints that are compared together.
_ROWS = 1 << 14

#: Positions come from rounded cosines: a gap of 5 mm is not beyond 5 mm.
_SLACK_MM = 1e-3

Fingerprints = npt.NDArray[np.uint8]


def exemplars_again(slices: Slices, threshold: float | None, threads: int) -> npt.NDArray[np.int64] | None:
    """The exemplars that the fingerprints give, int64 of shape (n,); None if these do not decide."""
    config = slices.config
    method = method_of(config)
    if method.compares == "fingerprints" and method.by_points:
        found = select_points(
            slices.fingerprints,
            method.name,
            **{name: config[name] for name in ("threshold", "keep", "budget", "seed", "clusters")},
            starts=slices.starts.tolist() if config["scope"] == "volume" else None,
            threads=threads,
        ).exemplar.astype(np.int64)
        return np.where(found == _NO_EXEMPLAR, -1, found)
    if method.fingerprint is None or config.get("stable") or threshold is None:
        return None
    if config.get("max_gap_mm") is not None:
        found = np.empty(len(slices), np.int64)
        for start, stop in zip(slices.starts[:-1].tolist(), slices.starts[1:].tolist(), strict=True):
            some = slice(start, stop)
            found[some] = start + exemplars_within(
                slices.fingerprints[some], slices.position_mm[some], int(threshold), float(config["max_gap_mm"])
            )
        return found
    groups = slices.volume if config["scope"] == "volume" else None
    return select_exemplars(slices.fingerprints, threshold=int(threshold), groups=groups, threads=threads).exemplar


def exemplars_within(
    fingerprints: Fingerprints, position_mm: Floats, threshold: int, max_gap_mm: float
) -> npt.NDArray[np.int64]:
    """For each slice of a volume the first kept one that is similar and near along the body, int64 of shape (n,).

    Args:
        fingerprints: In order, uint8 of shape (n, bytes).
        position_mm: Positions along the body, float64 of shape (n,); NaN, where no one knows, is near to all.
        threshold: Two are similar if at most this many bits differ.
        max_gap_mm: Two are near if they lie at most this far apart.

    >>> prints = np.zeros((4, 8), np.uint8)
    >>> exemplars_within(prints, np.array([0.0, 5.0, 10.0, np.nan]), 6, 5.0).tolist()
    [0, 0, 2, 0]
    """
    found = np.full(len(fingerprints), -1, np.int64)
    for kept in range(len(found)):
        if found[kept] >= 0:
            continue
        # What one kept slice covers, no later one does.
        similar = np.unpackbits(fingerprints[kept:] ^ fingerprints[kept], axis=1).sum(axis=1) <= threshold
        far = np.abs(position_mm[kept:] - position_mm[kept]) > max_gap_mm + _SLACK_MM
        covered = found[kept:]
        covered[similar & ~far & (covered < 0)] = kept
    return found


def hamming_distances(fingerprints: Fingerprints, to: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Hamming distance of each fingerprint to another one, int64 of shape (n,)."""
    found = np.empty(len(fingerprints), np.int64)
    for start in range(0, len(found), _ROWS):
        some = slice(start, start + _ROWS)
        found[some] = np.unpackbits(fingerprints[some] ^ fingerprints[to[some]], axis=1).sum(axis=1)
    return found
