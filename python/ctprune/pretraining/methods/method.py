"""What all methods of pre-training have in common."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from ctprune.environment.extras import extra
from ctprune.pretraining.config import PretrainConfig

with extra("train", "pre-training"):
    import torch
    from lightly.models.utils import update_momentum
    from torch import Tensor

    from ctprune.networks.backbone import repeat_grey


class Moment(NamedTuple):
    """A point of the training.

    Attributes:
        epoch: From 0.
        step: Optimizer steps done.
        steps: Optimizer steps in all.
    """

    epoch: int
    step: int
    steps: int

    def rising(self, start: float) -> float:
        """A share that rises from `start` to 1 along a cosine, as the momentum of BYOL and DINO does.

        >>> Moment(epoch=0, step=0, steps=10).rising(0.996)
        0.996
        """
        return 1 - (1 - start) * (math.cos(math.pi * self.step / self.steps) + 1) / 2


class Outcome(NamedTuple):
    """What a method makes of a batch.

    Attributes:
        loss: A scalar with gradient, float32.
        features: The exported network's pooled features of each slice's first view, float32 of shape
            (n, num_features), without gradient.
        assignments: For methods with prototypes, the share of each slice in each of them, (n, prototypes).
    """

    loss: Tensor
    features: Tensor
    assignments: Tensor | None = None


class Method(torch.nn.Module, ABC):
    """A backbone with what it is trained by.

    The training calls `before_step`, `forward`, `after_backward`, steps the optimizer, and calls `after_step`.
    """

    #: Whether BatchNorm sees the batches of all devices together.
    synchronised = True

    #: Buffers that come out the same on all devices, so that none sends them to the others at each step.
    alike: tuple[str, ...] = ()

    def __init__(self, backbone: torch.nn.Module, config: PretrainConfig) -> None:
        super().__init__()
        # Where DistributedDataParallel looks for what it shall leave alone.
        self._ddp_params_and_buffers_to_ignore = self.alike
        self.backbone = backbone
        self.features = int(backbone.num_features)  # type: ignore[arg-type]

    @property
    def exported(self) -> torch.nn.Module:
        """The network that is evaluated and saved."""
        return self.backbone

    @abstractmethod
    def forward(self, views: Sequence[Tensor], moment: Moment) -> Outcome:
        """The loss of a batch.

        Args:
            views: One tensor of shape (n, 1, size, size) per view; views of one group of crops follow each other.
            moment: Where the training is.
        """

    def before_step(self, moment: Moment) -> None:
        """Called before a batch goes through."""

    def after_backward(self, moment: Moment) -> None:
        """Called when gradients are there, before the optimizer's step."""

    def after_step(self, moment: Moment) -> None:
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
            images = repeat_grey(torch.cat(list(views[start:stop])))
            found = network(images.contiguous(memory_format=torch.channels_last))
            features += found.chunk(stop - start)
            start = stop
        return features


class Teacher(torch.nn.Module):
    """A copy of networks that follows them slowly and gets no gradient.

    Only parameters follow. The copy's own BatchNorm statistics come from what it sees: in training it normalises
    with its batch, as in the published code of MoCo and BYOL.
    """

    def __init__(self, *networks: torch.nn.Module) -> None:
        super().__init__()
        self.networks = torch.nn.ModuleList(copy.deepcopy(network) for network in networks)
        self.requires_grad_(False)

    def follow(self, networks: Sequence[torch.nn.Module], momentum: float) -> None:
        """Move towards the networks by 1 - momentum."""
        for own, other in zip(self.networks, networks, strict=True):
            update_momentum(other, own, m=momentum)


def in_float32(tensors: Sequence[Tensor]) -> list[Tensor]:
    """For losses: exponentials of large numbers need float32."""
    return [tensor.float() for tensor in tensors]
