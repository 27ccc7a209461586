"""A small archive, a network, and the run of both; each file of tests has its own."""

from __future__ import annotations

from pathlib import Path

import pytest

import ctprune
from tests.backbones import write_resnet18


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_resnet18(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "dicoms"
    ctprune.phantom.write_archive(folder, patients=1, seed=3, size=64, slices=8)
    return folder


@pytest.fixture(scope="module")
def run(small: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("deep") / "run"
    ctprune.reduce(small, method="deep", weights=weights, keep=0.4, out=out)
    return out
