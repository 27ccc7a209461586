"""What only a GPU can show."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ctprune
from ctprune.pretraining.methods import METHODS
from ctprune.pretraining.run import Pretraining
from tests.pretraining.tiny import stopped_after, tiny

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("precision", ["32", "fp16", "bf16"])
def test_every_method_trains_in_every_precision(method: str, precision: str, run: Path, tmp_path: Path) -> None:
    facts = ctprune.pretrain(run, out=tmp_path / "pre", config=tiny(method, precision=precision)).summary
    assert facts["device"] != "cpu"
    assert 0 < facts["final_loss"] < 20


def test_a_scaled_loss_is_resumed_with_its_scale(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("simclr", precision="fp16", steps=4)
    whole = ctprune.pretrain(run, out=tmp_path / "whole", config=config).summary
    with stopped_after(2, monkeypatch), pytest.raises(ctprune.Interrupted):
        ctprune.pretrain(run, out=tmp_path / "parts", config=config)
    parts = Pretraining(run, tmp_path / "parts", config, resume=True).carry_out().summary
    assert parts["final_loss"] == pytest.approx(whole["final_loss"], rel=0.02)


def test_compiled_trains(run: Path, tmp_path: Path) -> None:
    plain = ctprune.pretrain(run, out=tmp_path / "plain", config=tiny(precision="32", steps=1)).summary
    compiled = ctprune.pretrain(
        run, out=tmp_path / "pre", config=tiny(precision="32", steps=1, compile=True)
    ).summary
    assert compiled["final_loss"] == pytest.approx(plain["final_loss"], rel=1e-2)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("method", METHODS)
def test_all_gpus_train_together(method: str, run: Path, tmp_path: Path) -> None:
    config = tiny(method, devices=0, batch_size=4, settings={"queue": 64} if method == "mocov2" else {})
    facts = ctprune.pretrain(run, out=tmp_path / "pre", config=config).summary
    assert facts["devices"] == torch.cuda.device_count()
    assert 0 < facts["final_loss"] < 20
