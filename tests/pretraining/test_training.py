from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.backbone import backbone_metadata, create_backbone
from ctprune.pretraining.methods import METHODS
from ctprune.pretraining.run import Pretraining
from tests.pretraining.tiny import tiny


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_an_epoch(method: str, run: Path, tmp_path: Path) -> None:
    result = ctprune.pretrain(run, out=tmp_path / "pre", config=tiny(method))
    facts = result.summary
    assert math.isfinite(facts["final_loss"])
    assert facts["steps"] == facts["slices"] // 8
    assert ctprune.load_backbone(result.backbone).num_features == 512
    metadata = backbone_metadata(result.backbone)
    assert (metadata["method"], metadata["manifest_digest"]) == (method, ctprune.Manifest.load(run).digest())
    assert facts["manifest_digest"] in (tmp_path / "pre/summary.json").read_text()
    assert f"{facts['slices']:,} (kept)" in (tmp_path / "pre/README.md").read_text()


@pytest.mark.slow
def test_the_loss_falls(run: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"use": "all", "epochs": 8, "batch_size": 16, "learning_rate": 1e-3}
    config = tiny("simclr", **options, settings={"temperature": 0.5})
    ctprune.pretrain(run, out=tmp_path / "pre", config=config)
    lines = (tmp_path / "pre/logs/metrics.csv").read_text().splitlines()
    names = lines[0].split(",")
    losses = [float(dict(zip(names, line.split(","), strict=True))["loss"] or "nan") for line in lines[1:]]
    losses = [loss for loss in losses if math.isfinite(loss)]
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.3


def test_weights_to_start_from(tmp_path: Path, run: Path) -> None:
    config = tiny(weights=str(tmp_path / "none.safetensors"))
    with pytest.raises(ctprune.WeightsError, match=r"none\.safetensors"):
        ctprune.pretrain(run, out=tmp_path / "pre", config=config)
    assert create_backbone("resnet18").num_features == 512


@pytest.mark.slow
def test_a_queue_longer_than_an_epoch_is_noted(run: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    config = tiny("mocov2", steps=1, settings={"queue": 1024, "hidden": 0, "projection": 16})
    result = Pretraining(run, tmp_path / "pre", config, note=notes.append).carry_out()
    slices = result.summary["slices"]
    assert [f"longer than an epoch of {slices:,} slices" in note for note in notes] == [True]
    assert result.summary["notes"] == notes
    assert f"**Note:** {notes[0]}" in (tmp_path / "pre/README.md").read_text()
