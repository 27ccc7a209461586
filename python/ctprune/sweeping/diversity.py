"""How diverse the kept slices are, by measures that no method optimizes: reported, for methods side by side.

On embeddings where the reduction compared these, else on fingerprints, whose bits are taken as 1 and -1.
Sources: effective rank, Roy and Vetterli 2007; Vendi score, Friedman and Dieng 2023.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ctprune.embedding.embeddings import COLUMNS, kept_embeddings
from ctprune.manifest.slices import Booleans, Floats, Integers, Slices
from ctprune.selection.methods import method_of
from ctprune.sweeping.coverage import Coverage

#: Kept slices that the measures are taken from, at most: a seeded sample, of the same size for every method.
SAMPLE = 1024

#: Resamples of the volumes for an interval.
_RESAMPLES = 200

#: With no more features the matrices of volumes are made once, for all resamples.
_FEW_FEATURES = 128

#: Kept slices that others are compared with at a time.
_BLOCK = 1 << 14

#: Normal quantile of a 95 % interval.
_QUANTILE = 1.959964


class Estimate(NamedTuple):
    """A measure and its 95 % interval.

    Attributes:
        value: The measure of the sample.
        low: Lower end: 1.96 standard errors below, by a bootstrap over volumes; at least 0.
        high: Upper end; of a share at most 1.
    """

    value: float
    low: float
    high: float


class Diversity(NamedTuple):
    """How diverse the kept slices are.

    Attributes:
        effective_rank: Exponential of the entropy of the singular values, scaled to a sum of 1.
        vendi_score: Exponential of the entropy of the eigenvalues of the matrix of cosine similarities over n.
        nearest: Median distance, 1 - cosine, of a kept slice to the nearest other one.
        coverage: By `scanner`, `kernel`, `thickness` and `body position`: of the archive's different values the
            share that kept slices have. A body position is a tenth of one volume.
    """

    effective_rank: Estimate
    vendi_score: Estimate
    nearest: Estimate
    coverage: dict[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        measures = {name: list(getattr(self, name)) for name in ("effective_rank", "vendi_score", "nearest")}
        return measures | {"coverage": {name: list(share) for name, share in self.coverage.items()}}


class DiversityMeasures:
    """Measures of selections among the same slices.

    Args:
        slices: The slices.
        folder: Of the run, where embeddings may be.
        seed: Of the sample and the bootstrap.
        sample: Kept slices that the measures are taken from, at most.

    Attributes:
        features: What the measures are taken on: `embeddings` or `fingerprints`.
    """

    def __init__(self, slices: Slices, folder: Path, *, seed: int = 0, sample: int = SAMPLE) -> None:
        self._slices = slices
        self._sample = sample
        self._seed = seed
        self._embeddings = _embeddings(slices, folder)
        self.features = "fingerprints" if self._embeddings is None else "embeddings"
        self._coverage = Coverage(slices, resamples=_RESAMPLES, seed=seed)

    def of(self, kept: Booleans) -> Diversity:
        """The measures of the slices where this mask of shape (n,) is true; at least one must be."""
        rows = np.flatnonzero(kept)
        rng = np.random.default_rng(self._seed)
        sample = rows if len(rows) <= self._sample else np.sort(rng.choice(rows, self._sample, replace=False))
        unit = self._unit(sample)
        distances = self._nearest(sample, unit, rows)
        volumes, volume = np.unique(self._slices.volume[sample], return_inverse=True)

        drawn = np.stack(
            [
                np.bincount(rng.integers(0, len(volumes), len(volumes)), minlength=len(volumes))
                for _ in range(_RESAMPLES)
            ]
        ).astype(np.float64)
        found = [*spectral(unit, np.ones(len(sample))), _weighted_median(distances, np.ones(len(sample)))]
        medians = [_weighted_median(distances, weights[volume]) for weights in drawn]
        errors = np.std(np.column_stack([_resampled(unit, volume, drawn), medians]), axis=0, ddof=1)
        rank, vendi, nearest = (_estimate(*pair) for pair in zip(found, errors.tolist(), strict=True))
        coverage = {
            name: _estimate(share, error, most=1.0) for name, (share, error) in self._coverage.of(kept).items()
        }
        return Diversity(rank, vendi, nearest, coverage)

    def _unit(self, rows: Integers) -> npt.NDArray[np.float32]:
        """Vectors of length 1, float32 of shape (rows, features)."""
        if self._embeddings is not None:
            found = self._embeddings[rows].astype(np.float32)
        else:
            bits = int(self._slices.config["hash_size"]) ** 2
            found = np.unpackbits(self._slices.fingerprints[rows], axis=1)[:, :bits].astype(np.float32) * 2 - 1
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        unit: npt.NDArray[np.float32] = found / np.maximum(lengths, np.finfo(np.float32).tiny)
        return unit

    def _nearest(self, sample: Integers, unit: npt.NDArray[np.float32], rows: Integers) -> Floats:
        """Distance of each slice of the sample to the nearest other kept one, float64 of shape (sample,)."""
        closest = np.full(len(sample), -1.0)
        for first in range(0, len(rows), _BLOCK):
            others = rows[first : first + _BLOCK]
            similarity = unit @ self._unit(others).T
            similarity[sample[:, np.newaxis] == others] = -1
            closest = np.maximum(closest, similarity.max(axis=1))
        distances: Floats = np.maximum(1 - closest, 0)
        return distances


def _estimate(value: float, error: float, most: float = float("inf")) -> Estimate:
    """From a value and its standard error."""
    value, reach = float(value), float(_QUANTILE * error)
    return Estimate(value, max(value - reach, 0.0), min(value + reach, most))


def spectral(unit: npt.NDArray[np.float32], weights: Floats) -> tuple[float, float]:
    """Effective rank and Vendi score of vectors of length 1, each counted as often as its weight says.

    Args:
        unit: Of shape (n, features).
        weights: Of shape (n,), not all 0.

    >>> rank, vendi = spectral(np.eye(4, dtype=np.float32), np.ones(4))
    >>> round(rank, 6), round(vendi, 6)
    (4.0, 4.0)
    """
    scaled = unit[weights > 0] * np.sqrt(weights[weights > 0] / weights.sum())[:, np.newaxis]
    # The smaller of the two matrices that have the same eigenvalues.
    product = scaled @ scaled.T if scaled.shape[0] <= scaled.shape[1] else scaled.T @ scaled
    eigenvalues = np.clip(np.linalg.eigvalsh(product.astype(np.float64)), 0, None)
    return _exponential_entropy(np.sqrt(eigenvalues)), _exponential_entropy(eigenvalues)


def _resampled(unit: npt.NDArray[np.float32], volume: Integers, drawn: Floats) -> Floats:
    """Effective rank and Vendi score of resamples, float64 of shape (resamples, 2).

    Args:
        unit: Vectors of length 1, of shape (n, features).
        volume: Index of each vector's volume, shape (n,).
        drawn: How often each volume was drawn, of shape (resamples, volumes).
    """
    if unit.shape[1] > _FEW_FEATURES:
        return np.array([spectral(unit, weights[volume]) for weights in drawn])
    products = np.zeros((drawn.shape[1], unit.shape[1], unit.shape[1]))
    for number in range(drawn.shape[1]):
        own = unit[volume == number].astype(np.float64)
        products[number] = own.T @ own
    sizes = drawn @ np.bincount(volume, minlength=drawn.shape[1])
    found = np.linalg.eigvalsh(np.tensordot(drawn / sizes[:, np.newaxis], products, 1))
    eigenvalues = np.clip(found, 0, None)
    return np.array([[_exponential_entropy(np.sqrt(own)), _exponential_entropy(own)] for own in eigenvalues])


def _exponential_entropy(values: Floats) -> float:
    shares = values[values > 1e-12 * values.sum()] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    half = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    return float(values[order][min(half, len(values) - 1)])


def _embeddings(slices: Slices, folder: Path) -> npt.NDArray[np.float16] | None:
    """Embeddings of all slices, if the reduction compared these and they are still there."""
    if method_of(slices.config).compares != "embeddings":
        return None
    found = kept_embeddings(partial(slices.dicts, COLUMNS), slices.config, out=folder)
    return None if found is None else found[0].embeddings
