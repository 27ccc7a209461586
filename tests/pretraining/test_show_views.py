from __future__ import annotations

from pathlib import Path

import ctprune
from ctprune.pretraining.show_views import write_views
from tests.pretraining.tiny import tiny


def test_views_can_be_looked_at(run: Path, tmp_path: Path) -> None:
    for depth in (8, 16):
        store = ctprune.build_store(run, side=32, depth=depth, out=tmp_path / f"store-{depth}")
        write_views(store, tiny().views, tmp_path / "views.png", slices=3)
        assert (tmp_path / "views.png").read_bytes().startswith(b"\x89PNG")
