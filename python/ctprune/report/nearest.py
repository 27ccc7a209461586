"""The distance of each kept slice to the kept ones before it: what a looser threshold would drop next."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ctprune.embedding.embeddings import COLUMNS, kept_embeddings
from ctprune.report.run_slices import Floats, Integers, RunSlices
from ctprune.selection.fingerprint import hamming

#: Kept slices that are compared at a time with all before them.
_BLOCK = 1024

#: Most pairs to compare, by what is compared: a report should not take minutes.
MOST_PAIRS = {"fingerprints": 2 * 10**10, "embeddings": 2 * 10**8}

#: Maps indices of kept slices to a matrix; the closer two slices are, the smaller the value.
_Compare = Callable[[slice, slice], npt.NDArray[Any]]


class Nearest(NamedTuple):
    """For kept slices with kept slices before them: the nearest of those, all of shape (k,).

    Attributes:
        rows: Rows of the slices.
        partners: Rows of the nearest kept slices before them; of equally near ones, the first.
        value: Hamming distance in bits or cosine similarity, according to the reduction's measure.
    """

    rows: Integers
    partners: Integers
    value: Floats


def nearest_kept_before(slices: RunSlices) -> Nearest | None:
    """Compare each kept slice with all kept before it, in its volume or in the dataset, by the reduction's scope.

    Exact. None if the method saves nothing to compare, if that is gone (the embeddings beside the manifest), or if
    there are more than `MOST_PAIRS` pairs.
    """
    kept = np.flatnonzero(slices.kept)
    if slices.config["scope"] == "dataset":
        ends = [0, len(kept)]
    else:
        ends = [0, *np.cumsum(slices.kept_in_volume).tolist()]
    pairs = sum((stop - start) ** 2 for start, stop in itertools.pairwise(ends)) / 2
    method = slices.method
    if not method.decides or pairs > MOST_PAIRS.get(method.compares, -1):
        return None
    compare = (_by_fingerprint if method.compares == "fingerprints" else _by_embedding)(slices, kept)
    if compare is None:
        return None
    partner = np.full(len(kept), -1, np.int64)
    value = np.zeros(len(kept))
    for start, stop in itertools.pairwise(ends):
        for first in range(start + 1, stop, _BLOCK):
            last = min(first + _BLOCK, stop)
            found = compare(slice(first, last), slice(start, last))
            # A slice is compared only with those before it: the rest gets the largest value.
            rows = np.arange(first - start, last - start)[:, np.newaxis]
            found[np.arange(last - start) >= rows] = np.iinfo(np.uint16).max
            partner[first:last] = start + found.argmin(axis=1)
            value[first:last] = found.min(axis=1)
    if slices.measure is not None and slices.measure.larger_is_closer:
        value = -value
    has_one = partner >= 0
    return Nearest(kept[has_one], kept[partner[has_one]], value[has_one])


def _by_fingerprint(slices: RunSlices, rows: Integers) -> _Compare:
    fingerprints = slices.fingerprints[rows]
    return lambda some, others: hamming(fingerprints[some], fingerprints[others], all_to_all=True)


def _by_embedding(slices: RunSlices, rows: Integers) -> _Compare | None:
    """Compare embeddings of the run, if each slice still has one by the same network."""
    found = kept_embeddings(partial(slices.dicts, COLUMNS), slices.config, out=slices.folder)
    if found is None or found[1] != slices.summary.get("embeddings", {}).get("weights_sha256"):
        return None
    embeddings = found[0].embeddings[rows].astype(np.float32)
    # Rounded to 16 bits, embeddings no longer have unit length, and the selection uses the cosine.
    embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return lambda some, others: -(embeddings[some] @ embeddings[others].T)
