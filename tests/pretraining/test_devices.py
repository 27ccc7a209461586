"""Training in two processes on a CPU, in half precision, and compiled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import ctprune
from ctprune.backbone import create_backbone
from ctprune.pretraining.methods import METHODS, create_method, in_step
from ctprune.pretraining.peers import Peers
from ctprune.pretraining.run import Pretraining
from tests.pretraining.rank import VIEWS, one_step, without_batchnorm, work
from tests.pretraining.tiny import Flat, stopped_after, tiny, views_of


@pytest.mark.slow
def test_two_processes_do_what_one_does_with_twice_the_batch(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    for name in METHODS:
        found = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        expected = one_step(without_batchnorm(name), views_of(VIEWS[name]))
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert torch.allclose(found[key], value, rtol=1e-4, atol=1e-6), (name, key)


@pytest.mark.slow
def test_two_processes_train_stop_and_resume_to_the_same_bits(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("mocov2", devices=2, batch_size=4, steps=6, log_every=2, settings={"queue": 64})
    before = dict(os.environ)
    whole = ctprune.pretrain(run, out=tmp_path / "whole", config=config)
    assert os.environ == before
    assert not torch.distributed.is_initialized()
    assert (whole.summary["devices"], whole.summary["steps"]) == (2, 6)
    with stopped_after(2, monkeypatch), pytest.raises(ctprune.Interrupted, match="interrupted at step 4 of 6"):
        ctprune.pretrain(run, out=tmp_path / "parts", config=config)
    parts = Pretraining(run, tmp_path / "parts", config, resume=True).carry_out()
    assert parts.summary["final_loss"] == whole.summary["final_loss"]
    full, other = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["module"]
        for name in ("whole", "parts")
    )
    assert all(torch.equal(full[name], other[name]) for name in full)
    # One process writes: a line for the steps, one for the end of the epoch.
    lines = [line.split(",") for line in (tmp_path / "whole/logs/metrics.csv").read_text().splitlines()]
    assert [(line[0], bool(line[2])) for line in lines[1:5]] == [
        ("2", True),
        ("2", False),
        ("4", True),
        ("4", False),
    ]
    assert len(list((tmp_path / "whole/logs/tensorboard").iterdir())) == 1


@pytest.mark.slow
def test_a_process_that_ends_early_is_one_sentence(tmp_path: Path) -> None:
    order = {"run": "nothing", "out": str(tmp_path / "pre"), "config": tiny().to_dict(), "resume": False}

    def lose_the_other() -> None:
        with Peers(2, order) as peers:
            peers._processes[0][0].wait()
            raise RuntimeError("Connection closed by peer")

    with pytest.raises(ctprune.TrainingError, match=r"has ended early: .*found none"):
        lose_the_other()


def test_batchnorm_sees_all_devices_where_the_paper_has_it_so() -> None:
    for name in METHODS:
        method = in_step(create_method(tiny(name), create_backbone("resnet18")))
        kinds = {type(part) for part in method.modules() if "BatchNorm" in type(part).__name__}
        expected = {torch.nn.BatchNorm2d} if name == "mocov2" else {torch.nn.SyncBatchNorm}
        assert kinds == expected


def test_a_queue_must_take_the_batches_of_all_devices(run: Path, tmp_path: Path) -> None:
    config = tiny("mocov2", devices=3, settings={"queue": 64})
    with pytest.raises(ctprune.ConfigError, match=r"settings\.queue 64: expected a multiple of 24"):
        ctprune.pretrain(run, out=tmp_path / "pre", config=config)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["swav", "byol"])
def test_bf16_trains_on_a_cpu(method: str, run: Path, tmp_path: Path) -> None:
    # One step, so that the weights are still the same.
    facts = ctprune.pretrain(run, out=tmp_path / "half", config=tiny(method, precision="bf16", steps=1)).summary
    full = ctprune.pretrain(run, out=tmp_path / "full", config=tiny(method, steps=1)).summary
    assert facts["precision"] == "bf16-mixed"
    assert facts["final_loss"] == pytest.approx(full["final_loss"], rel=0.1)
    assert facts["final_loss"] != full["final_loss"]
    state = ctprune.load_backbone(tmp_path / "half/backbone.safetensors").state_dict()
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}


@pytest.mark.slow
def test_compiled_equals_uncompiled(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Compiling a ResNet takes minutes on a slow machine.
    monkeypatch.setattr(Pretraining, "_create_backbone", lambda _: Flat())
    losses = []
    for compiled in (False, True):
        config = tiny("simclr", compile=compiled, steps=2, epochs=1)
        losses.append(ctprune.pretrain(run, out=tmp_path / str(compiled), config=config).summary["final_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    weights = load_file(tmp_path / "True/backbone.safetensors")
    assert set(weights) == {"layer.weight", "layer.bias"}


def test_fp16_needs_a_gpu(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ctprune.ConfigError, match="--precision fp16 needs a GPU"):
        ctprune.pretrain(run, out=tmp_path / "pre", config=tiny(precision="fp16"))
