"""`balanced` takes as many slices from a rare part of the archive as from a common one."""

from __future__ import annotations

import numpy as np
import pytest

import ctprune
from ctprune.selection.points import select_points


def test_rare_directions_get_as_much_as_common_ones() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([700, 200, 60, 40])
    kind = np.repeat(np.arange(4), sizes)
    embeddings = np.eye(4, 30)[kind] + rng.normal(0, 0.03, (1000, 30))
    found = select_points(embeddings, "balanced", budget=120, clusters=4)
    counts = np.bincount(kind[found.kept], minlength=4)
    assert counts.tolist() == [30, 30, 30, 30]
    more = select_points(embeddings, "balanced", budget=300, clusters=4)
    assert np.bincount(kind[more.kept], minlength=4).tolist() == [100, 100, 60, 40]
    random = np.bincount(kind[rng.choice(1000, 120, replace=False)], minlength=4)
    assert random[0] > 60


def test_no_slice_stands_for_another_and_threads_do_not_matter() -> None:
    embeddings = np.random.default_rng(1).normal(size=(300, 16))
    found = [select_points(embeddings, "balanced", keep=0.25, seed=9, threads=threads) for threads in (1, 3)]
    assert found[0].exemplar.tolist() == found[1].exemplar.tolist()
    assert found[0].kept.sum() == 75
    assert (found[0].exemplar[~found[0].kept] == 2**32 - 1).all()
    assert found[0].threshold is None
    other = select_points(embeddings, "balanced", keep=0.25, seed=10)
    assert other.exemplar.tolist() != found[0].exemplar.tolist()


def test_mistakes_are_one_sentence() -> None:
    for options, sentence in (
        ({"scope": "dataset"}, r"method balanced needs `keep` .* or `budget`"),
        ({"keep": 0.1}, "method balanced needs `scope` dataset"),
        ({"keep": 0.1, "scope": "dataset", "threshold": 0.9}, "threshold belongs to `method`"),
    ):
        with pytest.raises(ctprune.ConfigError, match=sentence):
            ctprune.ReduceConfig(method="balanced", **options)  # type: ignore[arg-type]
