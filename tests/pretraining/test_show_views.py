from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ctprune
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.show_views import write_views


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("method", ["swav", "byol", "mae"])
def test_views_can_be_looked_at(method: str, depth: int, run: Path, tmp_path: Path) -> None:
    store = ctprune.build_store(run, side=64, depth=depth, out=tmp_path / "store")
    views = PretrainConfig.resolve({"method": method, "depth": depth}, preset_name="smoke").views
    write_views(store, views, tmp_path / "views.png", slices=3)
    with Image.open(tmp_path / "views.png") as picture:
        gray = np.asarray(picture.convert("L"))
    columns = 1 + views.views
    assert gray.shape[1] / gray.shape[0] == pytest.approx(1.3 * columns / (1.3 * 3 + 0.4), rel=0.02)
    # Every picture has contrast: the middle of each cell, where no other cell and no title reaches.
    height, width = (gray.shape[0] - 40) / 3, gray.shape[1] / columns
    for row in range(3):
        for column in range(columns):
            top, left = int(40 + row * height + 0.2 * height), int(column * width + 0.2 * width)
            cell = gray[top : top + int(0.6 * height), left : left + int(0.6 * width)]
            assert cell.std() > 5, (row, column)
