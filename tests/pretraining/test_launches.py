"""What a step asks of a GPU, seen on a CPU: nothing that the host waits for, and few launches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException

import ctprune
from ctprune.networks.backbone import create_backbone
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.health import rankme
from ctprune.pretraining.methods import METHODS, Method, create_method
from ctprune.pretraining.moving_average import MovingAverage
from ctprune.pretraining.optimizers import create_optimizer
from ctprune.pretraining.run import PretrainingRun
from ctprune.pretraining.settings import OF_TRANSFORMERS, ONE_VIEW, TEACHER_SAVED
from ctprune.pretraining.training import TrainingLoop
from ctprune.pretraining.view_parameters import view_generator
from ctprune.pretraining.views import BatchViews
from tests.pretraining.dispatched import Dispatched, counted
from tests.pretraining.rank import VIEWS
from tests.pretraining.tiny import START, stopped_after, tiny, usual_backbone_of

#: Each method with a convolutional network and with a transformer, if it takes both.
PAIRS = [
    *((name, usual_backbone_of(name)) for name in METHODS),
    *((name, "test_vit") for name in METHODS if name not in OF_TRANSFORMERS),
]

#: Launches that a step of ResNet-18, or of a transformer of six blocks, may take, for forward, backward, optimizer
#: and what stands around them.
BUDGETS = {
    ("swav", "resnet18"): (290, 275, 90, 8),
    ("swav", "test_vit"): (250, 420, 110, 8),
    ("mocov2", "resnet18"): (210, 100, 10, 8),
    ("mocov2", "test_vit"): (165, 160, 10, 8),
    ("byol", "resnet18"): (430, 280, 4, 8),
    ("byol", "test_vit"): (340, 420, 4, 8),
    ("simclr", "resnet18"): (125, 120, 50, 8),
    ("simclr", "test_vit"): (100, 185, 55, 8),
    ("dino", "resnet18"): (330, 250, 12, 8),
    ("dino", "test_vit"): (255, 390, 12, 8),
    ("dinov2", "test_vit"): (335, 470, 8, 8),
    ("lejepa", "resnet18"): (230, 260, 4, 0),
    ("lejepa", "test_vit"): (190, 400, 4, 0),
    ("mae", "test_vit"): (185, 325, 6, 0),
}

#: Launches for the clipping of all gradients, with the norm of each in one.
CLIPPING = 8

#: Launches for all views of one group of crops.
OF_A_GROUP = 100


def created(name: str, backbone: str) -> tuple[Method, PretrainConfig]:
    """A method as the papers have it, but for backbone and number of slices; in memory as in a training."""
    others: dict[str, Any] = {"settings": {"queue": 64}} if name == "mocov2" else {}
    if name in ONE_VIEW:
        others = {"views": {"crops": [{"count": 1, "size": 64}]}}
    config = PretrainConfig.resolve({"method": name, "backbone": backbone, "batch_size": 4, **others})
    return create_method(config, create_backbone(backbone)).to(memory_format=torch.channels_last), config


def views_of(name: str) -> list[Tensor]:
    """Random views, small ones."""
    sides = [64, 64, 32, 32][: VIEWS[name]]
    return [torch.randn(4, 1, side, side) for side in sides]


def put(module: torch.nn.Module, device: str, mode: FakeTensorMode) -> None:
    """Replace all tensors of a module by such that only say that they are on that device."""
    for part in module.modules():
        for name, weight in part.named_parameters(recurse=False):
            there = mode.from_tensor(weight).detach().to(device)
            setattr(part, name, torch.nn.Parameter(there, requires_grad=weight.requires_grad))
        for name, buffer in part.named_buffers(recurse=False):
            setattr(part, name, mode.from_tensor(buffer).to(device))


def test_the_counter_sees_waits_and_slow_lists() -> None:
    values = torch.tensor([1.0, 0.0])
    with counted() as found:
        values.sum().item()
        values[values > 0].sum()
        values.nonzero()
    assert found.waits.total() == 3
    with FakeTensorMode(), counted() as copied:
        there = torch.ones(2, device="cuda")
        there.cpu()
        torch.empty(2).copy_(there)
        torch.ones(2).to("cuda")
        there.float().to("cuda", torch.bfloat16)
    assert copied.waits == {"aten::_to_copy": 1, "aten::copy_": 1}
    with counted() as fits:
        torch._foreach_add_([values, values.clone()], [values, values])
    with counted() as slow:
        torch._foreach_mul_([values, values.clone()], [torch.ones(()), torch.ones(())])
    assert (fits.operations["aten::_foreach_add_"], slow.operations["aten::_foreach_mul_"]) == (1, 2)


@pytest.mark.parametrize(("name", "backbone"), PAIRS)
def test_stages_wait_for_nothing_and_keep_their_budgets(name: str, backbone: str) -> None:
    method, config = created(name, backbone)
    optimizer = create_optimizer(config, method, fused=True)
    views = views_of(name)
    for _ in range(2):
        # The second step, when the optimizer has its state.
        with counted() as around:
            method.before_step(START)
        with counted() as forward:
            outcome = method(views, START)
        with counted() as backward:
            outcome.loss.backward()
        with around:
            method.after_backward(START._replace(epoch=2))
        with counted() as step:
            optimizer.step()
        optimizer.zero_grad()
        with around:
            method.after_step(START._replace(step=1))
    stages = (forward, backward, step, around)
    assert [stage.waits for stage in stages] == [{}] * 4
    launches = tuple(stage.launches for stage in stages)
    budget = BUDGETS[name, backbone]
    assert all(found <= allowed for found, allowed in zip(launches, budget, strict=True)), launches


def watch(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> list[Dispatched]:
    """A list of what each call of a method of this class asks for from now on."""
    calls: list[Dispatched] = []
    method = getattr(kind, name)

    def watched(*args: Any, **others: Any) -> Any:
        with counted() as found:
            result = method(*args, **others)
        calls.append(found)
        return result

    monkeypatch.setattr(kind, name, watched)
    return calls


@pytest.mark.parametrize(("name", "backbone"), PAIRS)
def test_whole_steps_of_a_training_wait_for_nothing(
    name: str, backbone: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = watch(monkeypatch, TrainingLoop, "_one_step")
    averaged = watch(monkeypatch, MovingAverage, "follow")
    clipped = watch(monkeypatch, Fabric, "clip_gradients")
    momentum = None if name in TEACHER_SAVED else 0.99
    options: dict[str, Any] = {"steps": 3, "log_every": 5, "clip_gradients": 1.0, "average_momentum": momentum}
    config = tiny(name, backbone=backbone, optimizer="sgd", **options)
    # On a CPU only the views that are to be blurred are, for which it has to look.
    config = replace(config, views=replace(config.views, blur_probability=0))
    ctprune.pretrain(run, config, out=tmp_path / "pre")
    assert [step.waits for step in steps] == [{}] * 3
    assert [call.launches for call in averaged] == ([] if momentum is None else [1, 1, 1])
    assert len(clipped) == 3
    assert all(call.launches <= CLIPPING for call in clipped), clipped[-1].operations


def test_a_resumed_moving_average_takes_one_launch(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("simclr", steps=3, average_momentum=0.99)
    with stopped_after(2, monkeypatch), pytest.raises(ctprune.Interrupted):
        ctprune.pretrain(run, config, out=tmp_path / "pre")
    averaged = watch(monkeypatch, MovingAverage, "follow")
    PretrainingRun(run, tmp_path / "pre", config, resume=True).carry_out()
    assert [call.launches for call in averaged] == [1]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("depth", [8, 16])
def test_views_on_a_gpu_wait_for_nothing(name: str, depth: int) -> None:
    config = PretrainConfig.resolve({"method": name, "depth": depth}).views
    # There is no generator of a device that is not there.
    config = replace(config, noise_probability=0)
    views = BatchViews(config, 0.3, 0.2)
    plan = views.draw(4, 256, view_generator(0, 0, 0))
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            there = BatchViews(config, 0.3, 0.2)
            pixels = torch.empty(4, 256, 256, dtype=torch.uint8 if depth == 8 else torch.uint16)
        with counted() as found:
            made = there(pixels, plan)
    assert {view.device.type for view in made} == {"cuda"}
    assert [view.shape[-1] for view in made] == [crop.size for crop in config.crops for _ in range(crop.count)]
    assert found.waits == {}
    assert found.launches <= OF_A_GROUP * len(config.crops), found.operations


def test_parameters_of_views_are_drawn_in_the_thread_that_works_ahead(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    draw = BatchViews.draw

    def watched(views: BatchViews, *args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return draw(views, *args)

    monkeypatch.setattr(BatchViews, "draw", watched)
    ctprune.pretrain(run, tiny(steps=3), out=tmp_path / "pre")
    assert len(threads) >= 3
    assert set(threads) == {"ctprune-ahead"}


def test_the_rank_of_features_is_computed_on_their_device() -> None:
    with FakeTensorMode(), counted() as found, suppress(DataDependentOutputException):
        rankme(torch.ones(6, 4, device="cuda"))
    # The number itself, and nothing before it.
    assert found.waits == {"aten::_local_scalar_dense": 1}


@contextmanager
def lazy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch's "lazy" device without autocast, of which it has none."""
    with monkeypatch.context() as patch:
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
        yield


@contextmanager
def mixed() -> Iterator[None]:
    """Autocast to bf16 on "cuda", without a look whether there is a GPU."""
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", before[0])
        torch.set_autocast_dtype("cuda", before[1])
        torch.clear_autocast_cache()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("device", ["cuda", "lazy"])
def test_every_method_stays_on_its_device(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With tensors that have a device, a shape and a type, but no values, which no GPU is needed for.

    Where there is none, torch cannot go backward on "cuda"; "lazy" stands in, a device that is not the CPU either.
    """
    method, config = created(name, usual_backbone_of(name))
    views = views_of(name)
    with lazy(monkeypatch) if device == "lazy" else nullcontext(), FakeTensorMode() as mode:
        put(method, device, mode)
        views = [mode.from_tensor(view).to(device) for view in views]
        method.before_step(START)
        with counted() as found:
            outcome = method(views, START)
        assert {tensor.device.type for tensor in outcome if tensor is not None} == {device}
        assert found.waits == {}
        if device == "cuda":
            return
        outcome.loss.backward()
        gradients = [weight.grad for weight in method.parameters() if weight.grad is not None]
        assert {gradient.device.type for gradient in gradients} == {device}
        optimizer = create_optimizer(replace(config, optimizer="lars", weight_decay=0.1), method)
        method.after_backward(START)
        optimizer.step()
        method.after_step(START)
        # A tensor of the CPU would be noticed.
        with pytest.raises(RuntimeError, match="same device"):
            outcome.features + torch.ones(outcome.features.shape)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_stays_on_a_gpu_in_mixed_precision(name: str) -> None:
    """As above, in the precision that GPUs train in, forward alone."""
    method, _ = created(name, usual_backbone_of(name))
    kinds: set[torch.dtype] = set()
    for layer in method.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            layer.register_forward_hook(lambda _, __, output: kinds.add(output.dtype))
    with FakeTensorMode() as mode:
        put(method, "cuda", mode)
        views = [mode.from_tensor(view).to("cuda") for view in views_of(name)]
        method.before_step(START)
        with mixed(), counted() as found:
            outcome = method(views, START)
    assert torch.bfloat16 in kinds
    about = {(tensor.device.type, tensor.dtype) for tensor in outcome if tensor is not None}
    assert about == {("cuda", torch.float32)}
    assert found.waits == {}
