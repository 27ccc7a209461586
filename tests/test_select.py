"""`select_exemplars` equals the greedy rule written down plainly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ctprune
from tests.reference import slices as reference


def walk(count: int, width: int, seed: int) -> np.ndarray:
    """Fingerprints that change by a few bits from one to the next, as along a volume."""
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2, 8 * width, np.uint8)
    rows = []
    for _ in range(count):
        bits[random.integers(0, 8 * width, random.integers(0, 4))] ^= 1
        rows.append(np.packbits(bits))
    return np.array(rows, np.uint8).reshape(count, width)


@settings(deadline=None)
@given(st.integers(0, 60), st.sampled_from([1, 8, 32]), st.integers(0, 64), st.integers(0, 2**32 - 1))
def test_one_group_equals_the_greedy_rule(count: int, width: int, threshold: int, seed: int) -> None:
    fingerprints = walk(count, width, seed)
    threshold = min(threshold, 8 * width)
    expected = reference.exemplars([row.tobytes() for row in fingerprints], threshold)
    found = ctprune.select_exemplars(fingerprints, threshold=threshold)
    assert found.exemplar.tolist() == expected
    assert found.distance.tolist() == [
        reference.hamming(fingerprints[i].tobytes(), fingerprints[e].tobytes()) for i, e in enumerate(expected)
    ]


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 64), st.integers(0, 2**32 - 1))
def test_groups_are_compared_within_themselves(count: int, threshold: int, seed: int) -> None:
    fingerprints = walk(count, 8, seed)
    groups = np.random.default_rng(seed).integers(-2, 3, count)
    expected = np.empty(count, int)
    for group in set(groups.tolist()):
        members = np.flatnonzero(groups == group)
        exemplars = reference.exemplars([fingerprints[i].tobytes() for i in members], threshold)
        expected[members] = members[exemplars]
    assert (ctprune.select_exemplars(fingerprints, threshold=threshold, groups=groups).exemplar == expected).all()


def test_wrong_arguments_say_what_was_expected() -> None:
    fingerprints = np.zeros((3, 8), np.uint8)
    with pytest.raises(ctprune.ConfigError, match="threshold 65: expected 0 to 64"):
        ctprune.select_exemplars(fingerprints, threshold=65)
    with pytest.raises(ctprune.ConfigError, match=r"groups of shape \(3,\), found \(2,\)"):
        ctprune.select_exemplars(fingerprints, groups=np.zeros(2, int))
    with pytest.raises(ctprune.ConfigError, match="threshold 129: expected 0 to 128 bits"):
        ctprune.select_exemplars(np.zeros((3, 2), np.uint64), threshold=129)
    with pytest.raises(ctprune.ConfigError, match="threads"):
        ctprune.select_exemplars(fingerprints, threads=-1)


@settings(deadline=None)
@given(st.integers(0, 60), st.sampled_from([8, 32]), st.integers(0, 64), st.integers(0, 2**32 - 1))
def test_words_select_as_bytes_do(count: int, width: int, threshold: int, seed: int) -> None:
    fingerprints = walk(count, width, seed)
    groups = np.arange(count) // 7
    words = fingerprints.view(">u8")
    for one in (words, words.astype(np.uint64), words[:, 0] if width == 8 else words):
        for chosen in (None, groups):
            expected = ctprune.select_exemplars(fingerprints, threshold=threshold, groups=chosen)
            found = ctprune.select_exemplars(one, threshold=threshold, groups=chosen, threads=2)
            assert (found.exemplar == expected.exemplar).all()
            assert (found.distance == expected.distance).all()
