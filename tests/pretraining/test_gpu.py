"""What only a GPU can show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import ctprune
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods import METHODS
from ctprune.pretraining.optimizers import create_optimizer
from ctprune.pretraining.run import PretrainingRun
from ctprune.pretraining.settings import TEACHER_SAVED
from ctprune.pretraining.training import TrainingLoop
from tests.pretraining import tiny as small
from tests.pretraining.test_optimizers import start, stepped
from tests.pretraining.tiny import stopped_after, usual_backbone_of

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


def tiny(method: str = "swav", **options: Any) -> PretrainConfig:
    return small.tiny(method, **{"backbone": usual_backbone_of(method)} | options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("precision", ["32", "fp16", "bf16"])
def test_every_method_trains_in_every_precision(method: str, precision: str, run: Path, tmp_path: Path) -> None:
    facts = ctprune.pretrain(run, tiny(method, precision=precision), out=tmp_path / "pre").summary
    assert facts["device"] != "cpu"
    assert 0 < facts["final_loss"] < 20


def test_a_scaled_loss_is_resumed_with_its_scale(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("simclr", precision="fp16", steps=4)
    whole = ctprune.pretrain(run, config, out=tmp_path / "whole").summary
    with stopped_after(2, monkeypatch), pytest.raises(ctprune.Interrupted):
        ctprune.pretrain(run, config, out=tmp_path / "parts")
    parts = PretrainingRun(run, tmp_path / "parts", config, resume=True).carry_out().summary
    assert parts["final_loss"] == pytest.approx(whole["final_loss"], rel=0.02)


def test_compiled_trains(run: Path, tmp_path: Path) -> None:
    plain = ctprune.pretrain(run, tiny(precision="32", steps=1), out=tmp_path / "plain").summary
    compiled = ctprune.pretrain(run, tiny(precision="32", steps=1, compile=True), out=tmp_path / "pre").summary
    assert compiled["final_loss"] == pytest.approx(plain["final_loss"], rel=1e-2)


@pytest.mark.parametrize("method", METHODS)
def test_no_step_waits_for_the_gpu(
    method: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_step = TrainingLoop._one_step

    def watched(training: TrainingLoop, *args: Any) -> None:
        # The first step asks for memory and tries algorithms.
        torch.cuda.set_sync_debug_mode("error" if training.step else "default")
        try:
            one_step(training, *args)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(TrainingLoop, "_one_step", watched)
    momentum = None if method in TEACHER_SAVED else 0.99
    options: dict[str, Any] = {"precision": "bf16", "clip_gradients": 1.0, "average_momentum": momentum}
    ctprune.pretrain(run, tiny(method, steps=3, log_every=5, **options), out=tmp_path / "pre")


@pytest.mark.parametrize("name", ["lars", "sgd", "adam", "adamw"])
def test_optimizers_take_the_same_steps_as_on_a_cpu(name: str) -> None:
    config = tiny(optimizer=name, decay_biases=True, weight_decay=0.1)
    here, there = torch.nn.ParameterList(start()), torch.nn.ParameterList(start()).to("cuda")
    expected = stepped(create_optimizer(config, here), list(here))
    found = stepped(create_optimizer(config, there, fused=True), list(there))
    for one, other in zip(found, expected, strict=True):
        for own, of_cpu in zip(one, other, strict=True):
            torch.testing.assert_close(own.cpu(), of_cpu, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("method", METHODS)
def test_all_gpus_train_together(method: str, run: Path, tmp_path: Path) -> None:
    config = tiny(method, devices=0, batch_size=4, settings={"queue": 64} if method == "mocov2" else {})
    facts = ctprune.pretrain(run, config, out=tmp_path / "pre").summary
    assert facts["devices"] == torch.cuda.device_count()
    assert 0 < facts["final_loss"] < 20
