"""The benchmark of embeddings at a size of seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benches.deep import measure


def test_it_compares_the_embeddings_and_measures_both(files: list[Path], tmp_path: Path) -> None:
    table = measure(files, "resnet18", rounds=1, work=tmp_path)
    assert [row[0] for row in table.rows] == ["ctprune", "torchvision loop"]
    assert [line["items"] for line in table.raw] == [len(files), len(files)]
    assert table.notes[0].startswith("Smallest cosine between the two embeddings of a slice: 0.99")


def test_other_embeddings_are_not_timed(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benches.deep._plain_loop", lambda paths, *_: np.full((len(paths), 512), 512**-0.5))
    with pytest.raises(AssertionError, match="embeddings of a slice differ"):
        measure(files, "resnet18", rounds=1, work=tmp_path)
