"""The description of methods: it is what help, errors, sweeps, reports and the tables of the pages say."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from docs.methods import PAGES, TABLES, inserted

import ctprune
from ctprune import _core
from ctprune.selection.methods import FINGERPRINTS, METHODS, comparing, deciding, swept, taking


def test_every_fact_of_every_method_is_there() -> None:
    assert [facts["name"] for facts in _core.methods()] == list(METHODS)
    for method in METHODS.values():
        assert method.drops
        assert method.citation
        assert method.role in ("decides", "recorded", "sizes", "")
        assert method.compares in ("fingerprints", "pixels", "embeddings", "")
        assert (method.measure is None) == (method.role == "")
        assert bool(method.source) == (method.decides or method.by_points or method.name == "retrieval")
        if method.measure is not None and method.measure.grid:
            assert list(method.measure.grid) == sorted(method.measure.grid)
            assert all(method.measure.wrong(threshold, 64) is None for threshold in method.measure.grid)
            assert method.measure.wrong(method.measure.example, 64) is None
    assert deciding() == comparing("fingerprints", "pixels", "embeddings")
    assert FINGERPRINTS == ("dhash", "ahash", "phash")


def test_options_are_those_of_the_configuration() -> None:
    config = ctprune.ReduceConfig()
    for method in METHODS.values():
        assert all(hasattr(config, option) for option in method.options)
    assert taking("window") == ["ssim"]
    on_embeddings = [n for n, method in METHODS.items() if method.compares == "embeddings" or method.on_embeddings]
    assert taking("weights") == on_embeddings
    assert taking("keep") == taking("budget") == [*swept(), "retrieval", "random", "random-per-volume"]
    assert taking("clusters") == ["semdedup", "balanced"]
    assert taking("features") == [name for name, method in METHODS.items() if method.on_embeddings]


def test_grids_have_their_steps() -> None:
    def grid(name: str) -> tuple[float, ...]:
        measure = METHODS[name].measure
        assert measure is not None
        return measure.grid

    assert grid("ssim") == tuple(step / 200 for step in range(201))
    assert grid("mi") == tuple((200 + step) / 200 for step in range(201))
    degrees = [0.0, *(90 * 2 ** (-j / 16) for j in range(128, 0, -1)), 90.0]
    assert grid("deep") == pytest.approx([math.cos(math.radians(angle)) for angle in reversed(degrees)], abs=1e-15)


def test_each_kind_of_fingerprint_is_a_function() -> None:
    for kind in FINGERPRINTS:
        assert callable(getattr(ctprune, kind))


@pytest.mark.parametrize("page", TABLES)
def test_tables_of_the_pages_are_made_from_it(page: str) -> None:
    text = PAGES[page].read_text()
    assert text == inserted(text, TABLES[page]()), "run 'python -m docs.methods'"


def test_it_is_known_without_numpy() -> None:
    code = "import sys, ctprune.selection.methods; print({'numpy', 'pyarrow', 'torch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
