"""`dhash` equals ImageHash and Pillow bit by bit; `hamming` equals counting bits."""

from __future__ import annotations

import os
import signal

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ctprune
from tests.reference import slices as reference

#: Since then the order of the passes depends on the shape.
PILLOW_GOES_BY_SHAPE = int(PIL.__version__.split(".")[0]) >= 13

SIDES = [1, 2, 3, 7, 8, 9, 10, 17, 63, 64, 65, 100, 255, 256, 257, 511, 512, 513, 777, 1024]


def pictures(rows: int, columns: int, seed: int) -> list[np.ndarray]:
    """Flat, noise, extreme contrast, ramps, blobs."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    return [
        np.full((rows, columns), 255, np.uint8),
        random.integers(0, 256, (rows, columns), np.uint8),
        (random.random((rows, columns)) < 0.5).astype(np.uint8) * 255,
        ((x + y) % 2 * 255).astype(np.uint8),
        (x * 255 // max(columns - 1, 1)).astype(np.uint8),
        (127 + 127 * np.sin(x / 7 + y / 11)).astype(np.uint8),
        (x * x + y * y < rows * columns / 5).astype(np.uint8) * 200,
    ]


def assert_equals_reference(picture: np.ndarray) -> None:
    by_rows = ctprune.dhash(picture, horizontal_first=True).tobytes()
    assert by_rows == reference.dhash_horizontal_first(picture), picture.shape
    found = ctprune.dhash(picture).tobytes() if PILLOW_GOES_BY_SHAPE else by_rows
    assert found == reference.dhash(picture), picture.shape


@pytest.mark.parametrize("columns", SIDES)
def test_dhash_equals_imagehash_at_every_size(columns: int) -> None:
    for rows in (SIDES[0], SIDES[3], columns, SIDES[14]):
        for picture in pictures(rows, columns, seed=rows * 2000 + columns):
            assert_equals_reference(picture)


@pytest.mark.slow
def test_dhash_equals_imagehash_on_two_thousand_images() -> None:
    random = np.random.default_rng(0)
    for seed in range(290):
        rows, columns = (int(side) for side in np.exp(random.uniform(0, np.log(2000), 2)).round())
        for picture in pictures(rows, columns, seed):
            assert_equals_reference(picture)


@pytest.mark.parametrize("hash_size", [2, 3, 4, 5, 8, 9, 12, 16, 32])
def test_other_hash_sizes_equal_imagehash(hash_size: int) -> None:
    for picture in pictures(61, 83, seed=hash_size):
        expected = reference.dhash(picture, hash_size)
        assert ctprune.dhash(picture, hash_size=hash_size).tobytes() == expected


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([np.int16, np.uint16, np.int32, np.uint32, np.int8]),
    st.integers(0, 2**32 - 1),
)
def test_hounsfield_units_go_through_minmax(rows: int, columns: int, dtype: type, seed: int) -> None:
    info = np.iinfo(dtype)
    hu = np.random.default_rng(seed).integers(info.min, info.max, (3, rows, columns), dtype, endpoint=True)
    expected = [reference.dhash(reference.gray_by_minmax(image)) for image in hu]
    assert [row.tobytes() for row in ctprune.dhash(hu)] == expected


def test_windows_clip_and_round_half_to_even() -> None:
    hu = np.random.default_rng(3).integers(-2000, 3000, (4, 50, 60)).astype(np.int16)
    for intensity, low, high in [
        ("lung", -1350, 150),
        ("window:40,400", -160, 240),
        ("hu:-1000,400", -1000, 400),
    ]:
        expected = [reference.dhash(reference.gray_by_range(image, low, high)) for image in hu]
        assert [row.tobytes() for row in ctprune.dhash(hu, intensity=intensity)] == expected


def test_floats_are_read_as_they_are() -> None:
    hu = np.random.default_rng(4).normal(0, 500, (2, 40, 40))
    for dtype in (np.float32, np.float64):
        values = hu.astype(dtype)
        expected = [reference.dhash(reference.gray_by_minmax(image)) for image in values]
        assert [row.tobytes() for row in ctprune.dhash(values)] == expected


def test_arrays_that_are_not_contiguous_give_the_same() -> None:
    hu = np.random.default_rng(5).integers(0, 255, (30, 20, 5), np.uint8).transpose(2, 0, 1)
    assert (ctprune.dhash(hu) == ctprune.dhash(hu.copy())).all()


def test_no_image_gives_no_fingerprint() -> None:
    assert ctprune.dhash(np.zeros((0, 5, 5), np.uint8)).shape == (0, 8)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros((2, 3, 4, 5), np.uint8), {}, "expected shape"),
        (np.zeros((2, 0, 4), np.uint8), {}, "at least one pixel"),
        (np.zeros((2, 3, 4), np.complex64), {}, "expected a numpy array of uint8"),
        (np.zeros((2, 3, 4), np.uint8), {"hash_size": 1}, "hash_size 1: expected 2 to 32"),
        (np.zeros((2, 3, 4), np.int16), {"intensity": "nonsense"}, "nonsense"),
        (np.full((2, 3, 4), np.nan, np.float32), {}, "image 0"),
    ],
)
def test_wrong_arguments_say_what_was_expected(images: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ctprune.ConfigError, match=message):
        ctprune.dhash(images, **options)


@given(st.integers(0, 20), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_hamming_counts_bits(count: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 256, (2, count, width), np.uint8)
    expected = [[reference.hamming(x.tobytes(), y.tobytes()) for y in b] for x in a]
    assert ctprune.hamming(a, b, all_to_all=True).tolist() == (expected if count else [])
    assert ctprune.hamming(a, b).tolist() == [expected[i][i] for i in range(count)]


def test_hamming_refuses_what_does_not_fit() -> None:
    a = np.zeros((2, 8), np.uint8)
    with pytest.raises(ctprune.ConfigError, match="8 and 9 bytes"):
        ctprune.hamming(a, np.zeros((2, 9), np.uint8))
    with pytest.raises(ctprune.ConfigError, match="expected 2"):
        ctprune.hamming(a, np.zeros((3, 8), np.uint8))
    with pytest.raises(ctprune.ConfigError, match="uint8 of shape"):
        ctprune.hamming(a.astype(np.int64), a)
    with pytest.raises(
        ctprune.ConfigError, match=r"uint64 of shape \(n,\) or \(n, words\), found uint64 of shape \(1, 2, 8\)"
    ):
        ctprune.hamming(a.astype(np.uint64)[np.newaxis], a)
    with pytest.raises(ctprune.ConfigError, match="8 and 16 bytes"):
        ctprune.hamming(a, np.zeros((2, 2), np.uint64))
    with pytest.raises(ctprune.ConfigError, match="at least one word"):
        ctprune.hamming(np.zeros((2, 0), np.uint64), a)


@given(st.integers(0, 20), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_words_are_bytes_with_the_most_significant_first(count: int, words: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 256, (2, count, 8 * words), np.uint8)
    big_endian = a.view(">u8"), b.view(">u8")
    native = [array.astype(np.uint64) for array in big_endian]
    for one, other in ((native[0], native[1]), big_endian, (native[0], b), (a, native[1])):
        assert (ctprune.hamming(one, other) == ctprune.hamming(a, b)).all()
        assert (ctprune.hamming(one, other, all_to_all=True) == ctprune.hamming(a, b, all_to_all=True)).all()


def test_one_word_a_fingerprint_needs_no_second_axis() -> None:
    words = np.array([0b1111, 0b0111, 2**63], np.uint64)
    assert ctprune.hamming(words, words[::-1]).tolist() == [5, 0, 5]
    assert ctprune.hamming(words, words, all_to_all=True)[0].tolist() == [0, 1, 5]
    assert ctprune.hamming(words[:0], words[:0]).shape == (0,)


def test_the_number_of_threads_changes_nothing() -> None:
    images = np.random.default_rng(1).integers(-1000, 1000, (9, 40, 30), np.int16)
    hashes = ctprune.dhash(images)
    for threads in (1, 3, 0):
        assert (ctprune.dhash(images, threads=threads) == hashes).all()
        assert (ctprune.hamming(hashes, hashes, all_to_all=True, threads=threads).diagonal() == 0).all()
    with pytest.raises(ctprune.ConfigError, match="threads"):
        ctprune.dhash(images, threads=-1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_computes_as_its_parent_does() -> None:
    images = np.random.default_rng(2).integers(-1000, 1000, (9, 40, 30), np.int16)
    hashes = ctprune.dhash(images, threads=2)
    child = os.fork()
    if child == 0:
        # Without threads of its own the child would wait for its parent's for ever.
        signal.alarm(60)
        os._exit(0 if (ctprune.dhash(images, threads=2) == hashes).all() else 1)
    assert os.waitpid(child, 0)[1] == 0
