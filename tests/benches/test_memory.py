"""The archives of the memory benchmark are read as what they are meant to be."""

from __future__ import annotations

from pathlib import Path

import pytest

import ctprune
from benches import memory


def test_each_file_is_a_slice_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_SLICES", 3)
    memory.write_archive(tmp_path, 5)
    lines = ctprune.reduce(tmp_path, method="all").rows.to_dicts()
    assert [line["status"] for line in lines] == ["kept"] * 5
    assert [line["position_mm"] for line in lines] == [0, 1.25, 2.5, 0, 1.25]
    assert len({line["sop_instance_uid"] for line in lines}) == 5
    assert len({line["series_instance_uid"] for line in lines}) == 2
