"""Volumes with masks of five patients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.segmenting.bodies import write_pair


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five volumes, each of a patient of its own; tests must not change them."""
    folder = tmp_path_factory.mktemp("pairs") / "data"
    for number in range(5):
        write_pair(folder, f"case{number}", number)
    return folder
