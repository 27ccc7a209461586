"""The greedy exemplar rule on FAISS' multi-index hashing, exact for thresholds up to 7."""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

#: Fingerprints looked up at once: more make use of threads, fewer leave less to compare among themselves.
BLOCK = 512


def select(fingerprints: npt.NDArray[np.uint8], threshold: int) -> npt.NDArray[np.int64]:
    """For each fingerprint of 64 bits the row of the first kept one within `threshold`; its own when kept.

    Four substrings of 16 bits, probed with up to one flip: of at most 7 differing bits some substring has at
    most one.
    """
    index = faiss.IndexBinaryMultiHash(64, 4, 16)
    index.nflip = 1
    words = fingerprints.view(np.uint64)[:, 0]
    exemplar = np.empty(len(words), np.int64)
    kept, count = np.empty(len(words), np.int64), 0
    for start in range(0, len(words), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(words)))
        hit = _first_hit(index, fingerprints[rows], threshold) if count else np.full(len(rows), -1)
        exemplar[rows] = kept[hit]
        new = _among_themselves(words, rows[hit < 0], exemplar, threshold)
        kept[count : count + len(new)] = new
        count += len(new)
        index.add(fingerprints[new])
    return exemplar


def _first_hit(
    index: faiss.IndexBinaryMultiHash, fingerprints: npt.NDArray[np.uint8], threshold: int
) -> npt.NDArray[np.int64]:
    """Number of the first fingerprint in the index within `threshold`, -1 if there is none."""
    # FAISS finds distances below its radius, not at it.
    limits, _, found = index.range_search(fingerprints, threshold + 1)
    starts = limits.astype(np.int64)
    some = starts[1:] > starts[:-1]
    first = np.full(len(fingerprints), -1)
    if some.any():
        first[some] = np.minimum.reduceat(found, starts[:-1][some])
    return first


def _among_themselves(
    words: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.int64],
    exemplar: npt.NDArray[np.int64],
    threshold: int,
) -> list[int]:
    """Apply the rule to rows that nothing earlier covers; the kept ones."""
    kept = []
    while len(rows):
        near = np.bitwise_count(words[rows] ^ words[rows[0]]) <= threshold
        exemplar[rows[near]] = rows[0]
        kept.append(int(rows[0]))
        rows = rows[~near]
    return kept
