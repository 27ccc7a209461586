"""Training in two processes on a CPU, in half precision, and compiled."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ctprune
from ctprune.environment.precision import full_precision, quick_gpu
from ctprune.networks.backbone import create_backbone
from ctprune.pretraining.checkpoints import newest_checkpoint
from ctprune.pretraining.launch import Launch
from ctprune.pretraining.methods import METHODS, create_method, sync_batchnorm
from ctprune.pretraining.run import PretrainingRun
from ctprune.pretraining.settings import OF_TRANSFORMERS
from ctprune.pretraining.workers import Workers
from tests.pretraining.rank import (
    LATER,
    SIDES,
    VIEWS,
    even,
    example_views,
    one_step,
    queued,
    without_batchnorm,
    work,
)
from tests.pretraining.test_launch import BATCH_JOB
from tests.pretraining.tiny import START, backbone_of, network_of, number, stopped_after, tiny, views_of


@pytest.mark.slow
def test_two_processes_do_what_one_does_with_twice_the_batch(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    for name in METHODS:
        found = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        expected = one_step(without_batchnorm(name), example_views(name))
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert torch.allclose(found[key], value, rtol=1e-4, atol=1e-6), (name, key)
    found = torch.load(tmp_path / "swav with a queue.pt", weights_only=True)
    for key, value in one_step(queued(), example_views("swav"), LATER).items():
        assert torch.allclose(found[key], value, rtol=1e-4, atol=1e-6), key
    found = torch.load(tmp_path / "dinov2 with sinkhorn.pt", weights_only=True)
    for key, value in one_step(even(), example_views("dinov2")).items():
        # Gradients are as large as 20.
        assert torch.allclose(found[key], value, rtol=1e-4, atol=3e-5), key


@pytest.mark.slow
def test_two_processes_train_stop_and_resume_to_the_same_bits(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("mocov2", devices=2, batch_size=4, steps=6, log_every=2, settings={"queue": 64})
    # As in a batch job of Slurm, which asks for one task and whose script starts no step.
    for name, value in BATCH_JOB.items():
        monkeypatch.setenv(name, value)
    # Unless it is given, the processes share the cores.
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = dict(os.environ)
    whole = ctprune.pretrain(run, config, out=tmp_path / "whole")
    assert os.environ == before
    assert not torch.distributed.is_initialized()
    assert (whole.summary["devices"], whole.summary["steps"]) == (2, 6)
    with stopped_after(4, monkeypatch), pytest.raises(ctprune.Interrupted, match="interrupted at step 4 of 6"):
        ctprune.pretrain(run, config, out=tmp_path / "parts")
    parts = PretrainingRun(run, tmp_path / "parts", config, resume=True).carry_out()
    assert parts.summary["final_loss"] == whole.summary["final_loss"]
    full, other = (
        newest_checkpoint(tmp_path / name / "checkpoints", print)[1]["module"] for name in ("whole", "parts")
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
        with Workers(Launch(devices=2), order) as workers:
            # The port is this process's own from the beginning: nobody else can take it meanwhile.
            with pytest.raises(OSError, match="in use"), socket.socket() as other:
                other.bind(("127.0.0.1", int(os.environ["MASTER_PORT"])))
            workers._processes[0][0].wait()
            raise RuntimeError("Connection closed by peer")

    with pytest.raises(ctprune.TrainingError, match=r"has ended early: .*found none"):
        lose_the_other()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process that adopts orphans")
def test_a_worker_ends_with_its_parent_also_while_it_starts() -> None:
    order = json.dumps({"parent": os.getpid() + 1, "config": {}, "launch": {}})
    command = [sys.executable, "-X", "importtime", "-m", "ctprune.pretraining.worker"]
    done = subprocess.run(command, input=order, capture_output=True, text=True)
    assert done.returncode == 1
    # It has not waited for torch.
    assert "pretraining.training" not in done.stderr
    assert "Traceback" not in done.stderr


def test_batchnorm_sees_all_devices_where_the_paper_has_it_so() -> None:
    for name in METHODS:
        method = sync_batchnorm(create_method(tiny(name), create_backbone(backbone_of(name))))
        kinds = {type(part) for part in method.modules() if "BatchNorm" in type(part).__name__}
        expected = {torch.nn.BatchNorm2d} if name == "mocov2" else {torch.nn.SyncBatchNorm}
        assert kinds == (set() if name in OF_TRANSFORMERS else expected)


@pytest.mark.parametrize(
    ("name", "alike"),
    [("mocov2", 2), ("swav", 1), ("dino", 1), ("dinov2", 2), ("byol", 0), ("lejepa", 0), ("mae", 0)],
)
def test_what_all_devices_have_alike_is_not_sent_at_each_step(
    name: str, alike: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    broadcast = torch.distributed._broadcast_coalesced

    def watched(group: Any, tensors: list[torch.Tensor], *rest: Any) -> None:
        sent.extend(tensor.data_ptr() for tensor in tensors)
        broadcast(group, tensors, *rest)

    monkeypatch.setattr(torch.distributed, "_broadcast_coalesced", watched)
    torch.manual_seed(0)
    method = queued() if name == "swav" else create_method(tiny(name), network_of(name))
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        wrapped = torch.nn.parallel.DistributedDataParallel(method)
        sent.clear()
        wrapped(example_views(name), START)
    finally:
        torch.distributed.destroy_process_group()
    buffers = {buffer_name: buffer.data_ptr() for buffer_name, buffer in method.named_buffers()}
    assert len(method.alike) == alike
    kept = {address for buffer_name, address in buffers.items() if buffer_name not in method.alike}
    # What BatchNorm has seen is sent, as each device sees its own slices.
    assert set(sent) == kept


def test_a_queue_must_take_the_batches_of_all_devices(run: Path, tmp_path: Path) -> None:
    config = tiny("mocov2", devices=3, settings={"queue": 64})
    with pytest.raises(ctprune.ConfigError, match=r"settings\.queue 64: expected a multiple of 24"):
        ctprune.pretrain(run, config, out=tmp_path / "pre")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["swav", "byol"])
def test_bf16_trains_on_a_cpu(method: str, run: Path, tmp_path: Path) -> None:
    # One step, so that the weights are still the same.
    options: dict[str, Any] = {"backbone": "resnet18", "steps": 1}
    facts = ctprune.pretrain(run, tiny(method, precision="bf16", **options), out=tmp_path / "half").summary
    full = ctprune.pretrain(run, tiny(method, **options), out=tmp_path / "full").summary
    assert facts["precision"] == "bf16-mixed"
    assert facts["final_loss"] == pytest.approx(full["final_loss"], rel=0.1)
    assert facts["final_loss"] != full["final_loss"]
    state = ctprune.load_backbone(tmp_path / "half/backbone.safetensors").state_dict()
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize(
    ("name", "backbone"), sorted({(name, kind) for name in METHODS for kind in (backbone_of(name), "test_vit")})
)
def test_bf16_changes_little(name: str, backbone: str) -> None:
    losses: list[float] = []
    gradients: list[torch.Tensor] = []
    for mixed in (False, True):
        torch.manual_seed(0)
        method = create_method(tiny(name, backbone=backbone), create_backbone(backbone))
        method.before_step(START)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            outcome = method(views_of(VIEWS[name], side=64), START)
        outcome.loss.backward()
        losses.append(number(outcome.loss))
        found = [weight.grad.flatten() for weight in method.parameters() if weight.grad is not None]
        gradients.append(torch.cat(found))
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    # Infinite and undefined ones have no such cosine.
    assert torch.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.9
    assert number(gradients[1].norm()) == pytest.approx(number(gradients[0].norm()), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simclr", "dino"])
def test_compiled_equals_uncompiled(
    method: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Compiling a ResNet takes minutes on a slow machine.
    monkeypatch.setattr(PretrainingRun, "_create_backbone", lambda _: network_of(method))
    losses = []
    for compiled in (False, True):
        config = tiny(method, compile=compiled, steps=2, epochs=1)
        losses.append(ctprune.pretrain(run, config, out=tmp_path / str(compiled)).summary["final_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    weights = load_file(tmp_path / "True/backbone.safetensors")
    assert set(weights) == set(network_of(method).state_dict())


def test_a_compiled_transformer_equals_an_uncompiled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Traced only: to compile its kernels takes minutes.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    found = []
    for compiled in (False, True):
        method: Any = without_batchnorm("dinov2")
        del method.backbone.vit.blocks[1:], method.teacher.networks[0].vit.blocks[1:]
        names = set(method.exported.state_dict())
        if compiled:
            method.compile_networks()
        found.append(one_step(method, example_views("dinov2")))
        assert set(method.exported.state_dict()) == names
    assert found[0].keys() == found[1].keys()
    assert all(torch.allclose(found[1][key], value, rtol=1e-4, atol=1e-5) for key, value in found[0].items())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("swav", 2),
        ("dino", 3),
        ("dinov2", 3),
        ("byol", 2),
        ("mocov2", 2),
        ("simclr", 1),
        ("lejepa", 2),
        ("mae", 1),
    ],
)
def test_student_and_teacher_are_compiled_once_for_each_size_of_crop(
    name: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    method: Any = create_method(tiny(name), network_of(name))
    if name == "dinov2":
        del method.backbone.vit.blocks[1:], method.teacher.networks[0].vit.blocks[1:]
    shapes: list[tuple[Any, ...]] = []

    def look(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        # Views have four dimensions, as have the weights of a transformer's patches.
        views = [tensor for tensor in inputs if tensor.ndim == 4 and not isinstance(tensor, torch.nn.Parameter)]
        shapes.extend(tuple(tensor.shape) for tensor in views)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=look))
    method.compile_networks()
    side = SIDES[name]
    sides = [side, side, side // 2, side // 2][: VIEWS[name]]
    for step in range(3):
        state = START._replace(step=step)
        method.before_step(state)
        method([torch.randn(8, 1, side, side) for side in sides], state).loss.backward()
        method.after_step(state)
    assert len(shapes) == expected
    # Whole numbers: no size is left open.
    assert all(type(length) is int for shape in shapes for length in shape)


def test_a_gpu_is_set_up_for_the_training_alone() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark

    def now() -> tuple[str, bool]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark

    with quick_gpu(torch.device("cuda"), mixed=True):
        assert now() == ("high", True)
        with full_precision(torch.device("cpu")):
            # Torch has two ways to say it, and fails where they differ.
            assert (now()[0], torch.backends.cuda.matmul.allow_tf32) == ("highest", False)
        assert now() == ("high", True)
    with quick_gpu(torch.device("cuda"), mixed=False):
        assert now() == (before[0], True)
    with quick_gpu(torch.device("cpu"), mixed=True):
        assert now() == before
    assert now() == before


def test_fp16_needs_a_gpu(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ctprune.ConfigError, match="precision fp16 needs a GPU"):
        ctprune.pretrain(run, tiny(precision="fp16"), out=tmp_path / "pre")
