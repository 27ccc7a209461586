"""Greedy selection of exemplars among embeddings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.environment.threads import check_threads
from ctprune.errors import ConfigError


class CosineSelection(NamedTuple):
    """The exemplars that `cosine_exemplars` chose.

    Attributes:
        exemplar: uint32 of shape (n,): the row of the kept embedding that covers each; itself when kept.
        similarity: float32 of shape (n,): cosine similarity to it; 1 when kept.
        threshold: The threshold that was used; None for methods that have none.
    """

    exemplar: npt.NDArray[np.uint32]
    similarity: npt.NDArray[np.float32]
    threshold: float | None

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Bool of shape (n,): whether each is kept."""
        return np.equal(self.exemplar, np.arange(len(self.exemplar)))


def cosine_exemplars(
    embeddings: npt.NDArray[np.floating[Any]],
    *,
    threshold: float | None = None,
    keep: float | None = None,
    starts: list[int] | None = None,
    position_mm: npt.NDArray[np.float64] | None = None,
    max_gap_mm: float | None = None,
    threads: int = 0,
) -> CosineSelection:
    """Walk through embeddings in order; drop what is similar to one already kept, keep the rest.

    Exact, and the same at any number of threads: products of half-precision numbers are exact in double precision,
    sums are taken in the order of the features, and the similarity is rounded to float32.

    Args:
        embeddings: Of shape (n, features), in order; rounded to float16. They need not have unit length.
        threshold: Two embeddings are similar if their cosine is at least this, from -1 to 1.
        keep: Instead of a threshold, the fraction to keep: of the cosines of 0° and 90° × 2^(-j / 16), j from 0 to
            128, the one that comes nearest is used.
        starts: First row of each volume, ascending from 0, and last n: only rows of a volume are compared. None
            compares all.
        position_mm: Where each row lies along the body in mm, of shape (n,), NaN for unknown; with `max_gap_mm`.
        max_gap_mm: Rows farther apart than this along the body are not similar. None allows any distance.
        threads: Number of threads, 0 for one per core.

    Raises:
        ConfigError: Arrays do not fit together, numbers are not finite, or not exactly one of threshold and keep
            is given.

    >>> embeddings = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    >>> cosine_exemplars(embeddings, threshold=0.9).exemplar.tolist()
    [0, 0, 2, 2]
    """
    check_threads(threads)
    if embeddings.ndim != 2:
        raise ConfigError(f"expected embeddings of shape (n, features), found {embeddings.shape}")
    halves = np.ascontiguousarray(embeddings, np.float16)
    starts = [0, len(halves)] if starts is None else starts
    try:
        used, exemplar, similarity = _core.cosine_exemplars(
            halves, starts, threshold, keep, threads, position_mm, max_gap_mm
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return CosineSelection(exemplar, similarity, used)
