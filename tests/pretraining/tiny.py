"""Pre-trainings and networks small enough for tests of seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from ctprune.environment.progress import Operation
from ctprune.networks.backbone import create_backbone
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods import TrainingState, create_method
from ctprune.pretraining.settings import MULTI_CROP, OF_TRANSFORMERS, ONE_VIEW

START = TrainingState(epoch=0, step=0, steps=10)

#: Small enough for seconds; every other option is the preset's.
TINY: dict[str, Any] = {"side": 32, "batch_size": 8, "epochs": 1, "log_every": 1}


def tiny(method: str = "swav", **options: Any) -> PretrainConfig:
    crops = [{"count": 2, "size": 32, "scale": [0.5, 1.0]}]
    if method in MULTI_CROP:
        crops.append({"count": 2, "size": 16, "scale": [0.2, 0.5]})
    if method in ONE_VIEW:
        # Patches of 16 pixels that can be shown and masked.
        crops = [{"count": 1, "size": 64, "scale": [0.5, 1.0]}]
    views = {"crops": crops, "blur_sigma": [0.1, 1.0]}
    named = {"method": method, "backbone": backbone_of(method)}
    return PretrainConfig.resolve({**named, **TINY, "views": views, **options}, preset_name="smoke")


def backbone_of(method: str) -> str:
    """The name of the smallest backbone that a method takes."""
    return "test_vit" if method in OF_TRANSFORMERS else "test_resnet"


def usual_backbone_of(method: str) -> str:
    """As large as people use them, where a test is about launches, precision or a GPU; transformers stay small."""
    return "test_vit" if method in OF_TRANSFORMERS else "resnet18"


def network_of(method: str) -> torch.nn.Module:
    """The smallest network that a method takes: `Flat`, or a transformer."""
    return create_backbone("test_vit") if method in OF_TRANSFORMERS else Flat()


class Flat(torch.nn.Module):
    """A backbone of one layer, so that a loop can follow it."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3 * 4 * 4, 6)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1))


def views_of(count: int, seed: int = 0, side: int = 16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(8, 1, side, side, generator=generator) for _ in range(count)]


def flat(method: str) -> tuple[Any, PretrainConfig]:
    torch.manual_seed(0)
    config = tiny(method)
    return create_method(config, network_of(method)), config


def number(scalar: Tensor) -> float:
    return scalar.detach().item()


def unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


def without(line: str, column: int) -> list[str]:
    fields = line.split(",")
    return fields[:column] + fields[column + 1 :]


@contextmanager
def stopped_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trainings within are asked to stop after some steps, as Ctrl-C does."""

    class Stopped(Operation):
        def report(self, stage: str, done: int = 0, *rest: Any, **facts: Any) -> None:
            if stage == "training" and done >= steps:
                self.stop()
            super().report(stage, done, *rest, **facts)

    with monkeypatch.context() as patch:
        patch.setattr("ctprune.pretraining.run.Operation", Stopped)
        yield
