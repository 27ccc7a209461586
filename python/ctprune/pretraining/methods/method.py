"""The interface of all methods of pre-training, and the parts they share."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from lightly.models.utils import update_momentum
from lightly.utils import dist
from torch import Tensor

from ctprune.networks.gray_backbone import repeat_gray
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.settings import DinoSettings, Dinov2Settings


class TrainingState(NamedTuple):
    """How far a training has come.

    Attributes:
        epoch: Number of the epoch, from 0.
        step: Number of optimizer steps done.
        steps: Number of optimizer steps in all.
        batch: Number of batches done in all epochs; an optimizer step may take several.
    """

    epoch: int
    step: int
    steps: int
    batch: int = 0

    def rising(self, start: float) -> float:
        """A share that rises from `start` to 1 along a cosine, as the momentum of BYOL and DINO does.

        >>> TrainingState(epoch=0, step=0, steps=10).rising(0.996)
        0.996
        """
        return 1 - (1 - start) * (math.cos(math.pi * self.step / self.steps) + 1) / 2


class Outcome(NamedTuple):
    """Loss and features of a batch.

    Attributes:
        loss: A scalar with gradient, float32.
        features: The exported network's pooled features of each slice's first view (MAE: of the patches of it that
            are shown), float32 of shape (n, num_features), without gradient.
        assignments: Share of each slice in each prototype, float32 of shape (n, prototypes); None for methods
            without prototypes.
    """

    loss: Tensor
    features: Tensor
    assignments: Tensor | None = None


class Method(torch.nn.Module, ABC):
    """A backbone with the heads and the loss that train it.

    The training calls `before_step`, `forward`, `after_backward`, steps the optimizer, and calls `after_step`.
    """

    #: Whether BatchNorm sees the batches of all devices together.
    syncs_batchnorm = True

    #: Buffers that are equal on all devices anyway, so that they need not be sent at each step.
    alike: tuple[str, ...] = ()

    def __init__(self, backbone: torch.nn.Module, config: PretrainConfig) -> None:
        super().__init__()
        # DistributedDataParallel leaves the buffers that this attribute names alone.
        self._ddp_params_and_buffers_to_ignore = self.alike
        self.backbone = backbone
        self.features = int(backbone.num_features)  # type: ignore[arg-type]

    @property
    def exported(self) -> torch.nn.Module:
        """The network that is evaluated and saved."""
        return self.backbone

    @abstractmethod
    def forward(self, views: Sequence[Tensor], state: TrainingState) -> Outcome:
        """The loss of a batch.

        Args:
            views: One tensor of shape (n, 1, size, size) per view; views of one group of crops follow each other.
            state: How far the training has come.
        """

    def before_step(self, state: TrainingState) -> None:
        """Called before a batch goes through."""

    def after_backward(self, state: TrainingState) -> None:
        """Called once gradients are computed, before the optimizer's step."""

    def after_step(self, state: TrainingState) -> None:
        """Called after the optimizer's step."""

    def compile_networks(self) -> None:
        """Compile the backbone and its slow copy, if there is one: for each size of crop once, for that size."""
        # Torch counts how often a class is compiled, over all trainings of a process, and gives up after some.
        torch.compiler.reset()
        teacher = getattr(self, "teacher", None)
        for network in (self.backbone, *(teacher.networks[:1] if isinstance(teacher, Teacher) else ())):
            network.compile(dynamic=False)

    def embed(self, network: torch.nn.Module, views: Sequence[Tensor]) -> list[Tensor]:
        """Features of each view: views of one size go through the network together."""
        features: list[Tensor] = []
        start = 0
        while start < len(views):
            stop = start + 1
            while stop < len(views) and views[stop].shape == views[start].shape:
                stop += 1
            images = repeat_gray(torch.cat(list(views[start:stop])))
            found = network(images.contiguous(memory_format=torch.channels_last))
            features += found.chunk(stop - start)
            start = stop
        return features


class Teacher(torch.nn.Module):
    """A momentum encoder: a copy of networks that follows them slowly and gets no gradient.

    Only parameters follow. Momentum encoders use their own batch statistics, as in the published code of MoCo and
    BYOL.
    """

    def __init__(self, *networks: torch.nn.Module) -> None:
        super().__init__()
        self.networks = torch.nn.ModuleList(copy.deepcopy(network) for network in networks)
        self.requires_grad_(False)

    def follow(self, networks: Sequence[torch.nn.Module], momentum: float) -> None:
        """Move the copy's parameters toward the networks' by a share of 1 - `momentum`."""
        for own, other in zip(self.networks, networks, strict=True):
            update_momentum(other, own, m=momentum)


def in_float32(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors in float32: a loss takes exponentials of large numbers."""
    return [tensor.float() for tensor in tensors]


def momentum_per_slice(config: PretrainConfig, given: float | None, paper: float, *, slices: int) -> float:
    """A teacher's momentum at the beginning.

    The paper's momentum is for many slices per optimizer step. With smaller steps, the teacher must not follow
    faster per slice: momentum^(slices / the paper's slices) (Busbridge et al. 2023, arXiv 2307.13813).

    Args:
        config: Configuration of the pre-training.
        given: The user's value instead; None for the paper's.
        paper: The paper's momentum.
        slices: Slices of the paper's optimizer steps.
    """
    if given is not None:
        return given
    return float(paper ** (config.batch_size * config.accumulate * dist.world_size() / slices))


def warming_up(settings: DinoSettings | Dinov2Settings, state: TrainingState) -> float:
    """The temperature of a teacher's softmax, which rises in equal steps over some epochs."""
    start, end = settings.teacher_start_temperature, settings.teacher_temperature
    if state.epoch >= settings.teacher_warmup_epochs:
        return end
    return start + (end - start) * state.epoch / settings.teacher_warmup_epochs
