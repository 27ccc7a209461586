"""Findings about the values of a series, from the shares of Hounsfield units that a manifest has of each slice.

Landmarks: air is near −1000 HU, fat near −100, soft tissue near 40. A volume of CT has all three.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ctprune.checking.series import Finding, Floats, Series, listed

#: Bins of the column `hu_shares`, by their lower edges; see docs/manifest.md.
_LOW, _BELOW_AIR, _AIR, _LUNG, _LESS_DENSE, _FAT, _SOFT, _DENSE, _UNSCALED, _HARD, _METAL, _AT_MIN, _AT_MAX = (
    range(13)
)

#: Largest label of a mask: that of a signed byte.
_MOST_LABEL = 127

#: Shares from which on something counts, from 0 to 1.
_SOME_PADDING, _SOME_METAL, _SOME_BODY, _SOME_LIMIT = 0.02, 0.0002, 0.01, 0.002

#: Transfer syntaxes that lose something: baseline and extended JPEG, and JPEG-LS near-lossless.
_LOSSY_SYNTAXES = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81")

_FEWEST_BITS = 12

#: Slices that a statement about a whole volume needs.
_FEWEST_SLICES = 3


def intensity_findings(series: Series) -> Iterator[Finding]:
    """What is unusual about the values."""
    if series.is_dicom:
        yield from _encoding(series)
    for volume in series.volumes():
        yield from _values(volume)


def body_share(series: Series) -> Floats:
    """Share of each slice that is denser than −500 HU, shape (n,); NaN where pixels were not read."""
    return np.asarray(_shares(series)[:, _LESS_DENSE : _METAL + 1].sum(axis=1), np.float64)


def _shares(series: Series) -> Floats:
    return np.asarray(series["hu_shares"], float).reshape(-1, 13)


def _encoding(series: Series) -> Iterator[Finding]:
    lossy = (series["lossy_image_compression"] == "01") | np.isin(
        series["transfer_syntax_uid"].astype(str), _LOSSY_SYNTAXES
    )
    if lossy.any():
        yield series.finding("C-LOSSY", lossy)
    bits = np.asarray(series["bits_stored"], np.int64)
    few = (bits > 0) & (bits < _FEWEST_BITS)
    if few.any():
        yield series.finding("C-FEW-BITS", few, f"{listed(np.unique(bits[few]).tolist())} bits")


def _values(volume: Series) -> Iterator[Finding]:
    shares = _shares(volume)
    low, high = np.asarray(volume["min_hu"], float), np.asarray(volume["max_hu"], float)
    read = ~np.isnan(shares).any(axis=1)
    if not read.any():
        return
    constant = read & (low == high)
    if constant.any():
        yield volume.finding("C-CONSTANT", constant)
    wrong = _scale(volume, shares[read], low[read], high[read])
    if wrong is not None:
        yield wrong
        return
    yield from _limits(volume, shares, low, high)
    metal = read & (shares[:, _METAL] >= _SOME_METAL)
    if metal.any():
        yield volume.finding("C-METAL", metal, f"up to {high[metal].max():.0f} HU")
    empty = read & ~constant & (body_share(volume) < _SOME_BODY)
    if empty.any():
        yield volume.finding("C-EMPTY", empty)


def _scale(volume: Series, shares: Floats, low: Floats, high: Floats) -> Finding | None:
    """Whether the values are Hounsfield units at all."""
    if not np.isin(volume["modality"].astype(str), ["CT", ""]).all() or low.min() == high.max():
        return None
    if low.min() >= 0:
        whole = (low == np.floor(low)).all() and (high == np.floor(high)).all()
        if whole and 1 <= high.max() <= _MOST_LABEL:
            return volume.finding("C-LABELS", None, f"0 to {high.max():.0f}")
        stored = np.median(shares[:, _UNSCALED]) >= 0.05
        return volume.finding(
            "C-NO-RESCALE" if stored else "C-NOT-HU", None, f"{low.min():.0f} to {high.max():.0f}"
        )
    if len(low) < _FEWEST_SLICES:
        return None
    soft = np.median(shares[:, _FAT : _DENSE + 1].sum(axis=1))
    deep = np.median(shares[:, _LOW])
    shifted = np.median(shares[:, _AIR]) >= 0.1 and deep >= 0.1
    all_deep = deep >= 0.9 and np.median(shares[:, _AT_MIN]) < 0.9
    if soft < 0.02 and (shifted or all_deep):
        return volume.finding("C-RESCALED-TWICE", None, f"{_hu(low.min())} to {_hu(high.max())} HU")
    return None


def _limits(volume: Series, shares: Floats, low: Floats, high: Floats) -> Iterator[Finding]:
    padded = (low < -1100) & (shares[:, _AT_MIN] >= _SOME_PADDING)
    if padded.any():
        yield volume.finding("C-PADDING", padded, f"{listed([_hu(value) for value in np.unique(low[padded])])} HU")
    if len(low) < _FEWEST_SLICES:
        return
    texts = []
    cut = np.zeros(len(low), np.bool_)
    for values, share, inside, name in (
        (high, shares[:, _AT_MAX], high.max() < 2900, "above"),
        (low, shares[:, _AT_MIN], low.min() > -950, "below"),
    ):
        limit = values.max() if name == "above" else values.min()
        at = (values == limit) & (share >= _SOME_LIMIT)
        if inside and at.sum() >= max(_FEWEST_SLICES, len(low) / 4):
            texts.append(f"{name} {_hu(limit)} HU")
            cut |= at
    if texts:
        yield volume.finding("C-CLIPPED", cut, " and ".join(texts))


def _hu(value: float) -> str:
    return f"{value:.0f}".replace("-", "−")
