"""Pictures of two classes, and a network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ctprune.networks.backbone import create_backbone, save_backbone
from tests.labeled import write


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class: 20 patients with two pictures each."""
    root = tmp_path_factory.mktemp("classes") / "data"
    for number in range(20):
        ill = number % 2 == 1
        for side in range(2):
            write(root / ("ill" if ill else "healthy") / f"p{number:02d}_{side}.png", ill, 2 * number + side)
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "backbone.safetensors"
    metadata = {"method": "swav", "mean": 0.3, "std": 0.2, "intensity": "minmax"}
    save_backbone(create_backbone("resnet18"), file, name="resnet18", metadata=metadata)
    return file
