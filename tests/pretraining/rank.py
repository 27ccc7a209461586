"""What each of two processes does in the tests of training over several devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ctprune.pretraining.methods import METHODS, Method, TrainingState, create_method
from ctprune.pretraining.settings import OF_TRANSFORMERS
from tests.pretraining.tiny import START, network_of, tiny, views_of

#: Views that each method takes of a slice.
VIEWS = {name: tiny(name).views.views for name in METHODS}

#: Rows and columns of these: for transformers, as many patches as can be masked.
SIDES = {name: 64 if name in OF_TRANSFORMERS else 16 for name in METHODS}

#: A step at which SwAV uses its queue.
LATER = TrainingState(epoch=0, step=8, steps=10)


def queued(**options: Any) -> Method:
    """SwAV with a full queue of projections of earlier slices, the same in each process."""
    settings = {
        "queue": 32,
        "queue_epochs": 0,
        "prototypes": 32,
        "hidden": 128,
        "projection": 64,
        "freeze_epochs": 0,
    }
    method = without_batchnorm("swav", settings=settings, **options)
    generator = torch.Generator().manual_seed(3)
    assert isinstance(method.queue, Tensor)
    method.queue.copy_(torch.nn.functional.normalize(torch.randn(2, 32, 64, generator=generator), dim=2))
    return method


def even(**options: Any) -> Method:
    """DINOv2 with even assignments, and a head for patches."""
    settings = {"centering": "sinkhorn", "separate_heads": True, "outputs": 16, "hidden": 32, "bottleneck": 8}
    return without_batchnorm("dinov2", settings=settings, **options)


def example_views(method: str) -> list[Tensor]:
    """As many views as a method takes."""
    return views_of(VIEWS[method], side=SIDES[method])


def without_batchnorm(method: str, **options: Any) -> Method:
    """A method whose result for a slice does not depend on which others share its batch by BatchNorm."""
    torch.manual_seed(0)
    created = create_method(tiny(method, **options), network_of(method))
    for module in list(created.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.BatchNorm1d):
                setattr(module, name, torch.nn.Identity())
    return created


def one_step(method: Method, views: list[Tensor], state: TrainingState = START) -> dict[str, Tensor]:
    """The loss, its gradients, and what the step leaves behind."""
    method.before_step(state)
    outcome = method(views, state)
    outcome.loss.backward()
    found = {f"gradient of {name}": p.grad for name, p in method.named_parameters() if p.grad is not None}
    # A step changes a queue and a center. (A queue of length 0 has a pointer without a value.)
    left = {name: buffer.clone() for name, buffer in method.named_buffers() if buffer.is_floating_point()}
    return {"loss": outcome.loss.detach(), **found, **left}


def work(rank: int, folder: str) -> None:
    """Half of the batch of each method; writes the mean of both processes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    steps = {name: (without_batchnorm(name, devices=2), example_views(name), START) for name in METHODS}
    steps["swav with a queue"] = (queued(devices=2), example_views("swav"), LATER)
    steps["dinov2 with sinkhorn"] = (even(devices=2), example_views("dinov2"), START)
    for name, (method, views, state) in steps.items():
        found = one_step(method, [view[rank * 4 : rank * 4 + 4] for view in views], state)
        for value in found.values():
            torch.distributed.all_reduce(value)
            value /= 2
        if rank == 0:
            torch.save(found, Path(folder) / f"{name}.pt")
    torch.distributed.destroy_process_group()
