"""A small archive, a network, and the run of both; each file of tests has its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ctprune
from ctprune.networks.backbone import create_backbone, save_backbone


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "backbone.safetensors"
    save_backbone(create_backbone("resnet18"), file, name="resnet18", metadata={})
    return file


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
