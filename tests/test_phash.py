"""`phash` has the bits of ImageHash's perceptual hash, alone and as a method of reduction."""

from __future__ import annotations

from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image
from scipy.fftpack import dct

import ctprune
from tests.reference import slices as reference
from tests.test_fingerprint import PILLOW_GOES_BY_SHAPE, SIDES, pictures

#: Share of the largest frequency that rounding can account for.
ROUNDING = 4e-14


def decided(picture: np.ndarray, hash_size: int) -> np.ndarray:
    """Whether each frequency differs from the median by more than rounding, which ImageHash lets decide."""
    side = 4 * hash_size
    small = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS), np.float64)
    low = dct(dct(small, axis=0), axis=1)[:hash_size, :hash_size]
    # This transform is 4 times that of the definition.
    found: np.ndarray = np.abs(low - np.median(low)) > 4 * ROUNDING * 255 * side**2
    return found.ravel()


def assert_equals_imagehash(picture: np.ndarray, hash_size: int = 8) -> int:
    """Compares all bits that are decided; returns how many are not."""
    expected = imagehash.phash(Image.fromarray(picture), hash_size=hash_size).hash.ravel()
    found = np.unpackbits(ctprune.phash(picture, hash_size=hash_size), count=hash_size**2).astype(bool)
    certain = decided(picture, hash_size)
    assert found[certain].tolist() == expected[certain].tolist(), picture.shape
    assert not found[~certain].any()
    return int((~certain).sum())


@pytest.mark.parametrize("columns", SIDES)
def test_it_equals_imagehash_at_every_size(columns: int) -> None:
    for rows in (SIDES[0], SIDES[3], columns, SIDES[14]):
        for picture in pictures(rows, columns, seed=rows * 2000 + columns):
            if PILLOW_GOES_BY_SHAPE or rows <= 2 * columns:
                assert_equals_imagehash(picture)


@pytest.mark.parametrize("hash_size", [2, 3, 4, 5, 8, 9, 12, 16, 32])
def test_other_hash_sizes_equal_imagehash(hash_size: int) -> None:
    for picture in pictures(61, 83, seed=hash_size):
        assert_equals_imagehash(picture, hash_size)


def test_every_bit_of_pictures_without_symmetry_is_that_of_imagehash() -> None:
    random = np.random.default_rng(0)
    for number in range(300):
        rows, columns = (int(side) for side in random.integers(33, 300, 2))
        noise = random.integers(0, 256, (rows, columns), np.uint8)
        smooth = np.cumsum(random.integers(-3, 4, (rows, columns)), axis=number % 2).clip(-128, 127) + 128
        for picture in (noise, smooth.astype(np.uint8)):
            if PILLOW_GOES_BY_SHAPE or rows <= 2 * columns:
                # The median of 64 frequencies lies between two of them.
                assert assert_equals_imagehash(picture) == 0


def test_the_method_follows_the_greedy_rule(archive: Path) -> None:
    manifest = ctprune.reduce(archive, method="phash", threshold=10)
    rows = [row for row in manifest.rows.to_dicts() if row["status"] in ("kept", "dropped")]
    for volume in {row["volume"] for row in rows}:
        own = [row for row in rows if row["volume"] == volume]
        first = rows.index(own[0])
        found = reference.exemplars([row["fingerprint"] for row in own], 10)
        assert [row["exemplar"] - first for row in own] == found
    assert 0 < manifest.counts()["kept"] < len(rows)


def test_sweep_keeps_what_reduce_keeps(archive: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, method="phash", keep=0.5, out=tmp_path)
    thresholds, fractions = ctprune.sweep(tmp_path, methods=["phash"], thresholds={"phash": [4, 12]}).curve(
        "phash"
    )
    for threshold, fraction in zip(thresholds, fractions, strict=True):
        counts = ctprune.reduce(archive, method="phash", threshold=int(threshold)).counts()
        assert fraction == pytest.approx(counts["kept"] / (counts["kept"] + counts["dropped"]))
    assert "perceptual hashes of 64 bits" in ctprune.write_report(tmp_path).path.read_text()
