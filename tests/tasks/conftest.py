"""Pictures of two classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.labeled import write


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A folder per class: 20 patients with two pictures each."""
    root = tmp_path / "data"
    for number in range(20):
        ill = number % 2 == 1
        for side in range(2):
            write(root / ("ill" if ill else "healthy") / f"p{number:02d}_{side}.png", ill, 2 * number + side)
    return root
