"""The probe of a pre-training with neighboring slices as channels: against a slow loop over packed slices."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ctprune
from ctprune.pretraining import probe as under_test
from ctprune.pretraining.probe import Probe
from ctprune.pretraining.view_config import WindowConfig
from tests.labeled import write
from tests.pretraining.test_channels import shown
from tests.pretraining.tiny import tiny

CHANNELS = "neighbors:5"


@pytest.fixture(scope="module")
def labeled(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every third slice of whole series in each of two classes, and every third beside them."""
    folder = tmp_path_factory.mktemp("probe")
    rows = ctprune.Manifest.load(run).slices().rows.to_dicts()
    files = Counter(row["path"] for row in rows)
    for number, row in enumerate(row for row in rows if files[row["path"]] == 1):
        place = folder / ("upper", "lower", ".")[number % 3]
        place.mkdir(exist_ok=True)
        os.link(Path(row["source"], row["path"]), place / f"{number:03d}.dcm")
    return folder


class Watching(torch.nn.Module):
    """A network that keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(images)
        return images.flatten(1)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("damaged", [False, True])
def test_images_are_shown_between_their_neighbors(
    run: Path, labeled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int, damaged: bool
) -> None:
    ctprune.reduce(labeled, method="all", modality="any", out=tmp_path / "all")
    slices = ctprune.Manifest.load(tmp_path / "all").slices()
    pixels = ctprune.build_store(tmp_path / "all", use="all", side=24, depth=depth).pixels
    rows = slices.rows.to_dicts()
    # Some neighbors without a class cannot be read.
    lost = [row for row, line in enumerate(rows) if damaged and "/" not in line["path"] and row % 2]
    plain = under_test.read_resized

    def some(lines: list[dict[str, Any]], *rest: Any) -> Any:
        names = {rows[row]["path"] for row in lost}
        found = plain(lines, *rest)
        return [
            (0, 0, "damaged") if line["path"] in names else one for line, one in zip(lines, found, strict=True)
        ]

    monkeypatch.setattr(under_test, "read_resized", some)
    store = ctprune.build_store(run, side=24, depth=depth, out=tmp_path / "store")
    window = WindowConfig() if depth == 16 else None
    network = Watching()
    probe = Probe(labeled, store, window=window, mean=0.2, std=0.3, channels=CHANNELS)
    assert all(0 <= measure <= 1 for measure in probe.measure(network, torch.device("cpu")))
    found = torch.cat(network.seen).numpy()
    expected = shown(slices.volume, slices.position_mm, 5.0)
    of_class = sorted((line["path"], row) for row, line in enumerate(rows) if "/" in line["path"])
    assert len(probe) == len(found) == len(of_class)
    for (_, row), image in zip(of_class, found, strict=True):
        places = [row if place in lost else place for place in expected[row]]
        values = pixels[places].astype(np.float32)
        share = values / 255 if window is None else np.clip((values - window.stored_low) / window.width, 0, 1)
        np.testing.assert_allclose(image, (share - 0.2) / 0.3, rtol=1e-5, atol=1e-5)
    beside = {place for _, row in of_class for place in expected[row]} - {row for _, row in of_class}
    assert len(beside) > 5
    assert any(row in beside for row in lost) == damaged


def test_a_training_with_channels_is_probed(run: Path, labeled: Path, tmp_path: Path) -> None:
    config = tiny("simclr", channels=CHANNELS, probe=str(labeled), steps=2)
    facts = ctprune.pretrain(run, config, out=tmp_path / "pre").summary
    assert 0 <= facts["knn_accuracy"] <= 1


def test_pictures_are_refused(run: Path, tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / "ab"[number % 2] / f"{number}.png", ill=number % 2 == 0, number=number)
    store = ctprune.build_store(run, side=24, out=tmp_path / "store")
    with pytest.raises(
        ctprune.ConfigError, match=r"`channels` neighbors:5 needs .* none of its images has a position"
    ):
        Probe(tmp_path, store, window=None, mean=0.2, std=0.3, channels=CHANNELS)
