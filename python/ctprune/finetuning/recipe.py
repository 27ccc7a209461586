"""Recipes: what trains in each epoch, the learning rate, and which epoch is taken; default and reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch.nn.modules.batchnorm import _BatchNorm

from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.course_options import CONSTANT
from ctprune.networks.gray_backbone import GrayBackbone
from ctprune.pretraining.schedule import scheduled_rate

#: Up to this side a ResNet's last map has one pixel, and BatchNorm cannot train on one image.
_ONE_PIXEL_SIDE = 32


class Recipe(Protocol):
    """The decisions of a training before and after each epoch; epochs count from 1."""

    def begin(self, epoch: int, network: GrayBackbone) -> None:
        """Set what trains."""

    def rate(self, epoch: int, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0, in an epoch of `steps` steps."""

    def reaches_backbone(self, epoch: int) -> bool:
        """Whether anything in the backbone has a gradient."""

    def is_better(self, accuracy: float, loss: float, best: tuple[float, float]) -> bool:
        """Whether an epoch is better than the best one so far, by accuracy and loss on the selecting split."""

    def batches(self, count: int, size: int, devices: int = 1) -> list[tuple[int, int]]:
        """Ranges of the images of each step, which `devices` devices share."""


def recipe_of(config: FinetuneConfig) -> Recipe:
    """As the configuration says."""
    frozen = config.frozen_epochs or 0
    if config.preset == "reference":
        return ReferenceRecipe(frozen, config.learning_rate or 0.0, config.side)
    return OwnRecipe(
        frozen,
        config.epochs or 0,
        config.learning_rate or 0.0,
        config.schedule or CONSTANT,
        config.warmup_epochs or 0,
    )


@dataclass(frozen=True)
class OwnRecipe:
    """The default: a frozen backbone does not change, so its BatchNorm layers keep their statistics.

    All weights have the same rate. It rises during the warm-up and then stays or falls to 0 along a cosine, step
    by step; frozen epochs are included. Of the epochs with the best accuracy, the one with the smallest loss is
    taken.
    """

    frozen_epochs: int
    epochs: int
    learning_rate: float
    schedule: str
    warmup_epochs: int

    def begin(self, epoch: int, network: GrayBackbone) -> None:
        """Freeze or thaw the backbone."""
        thawed = self.reaches_backbone(epoch)
        network.train(thawed)
        network.requires_grad_(thawed)

    def rate(self, epoch: int, step: int, steps: int) -> float:
        """As the schedule says."""
        return scheduled_rate(
            (epoch - 1) * steps + step,
            self.epochs * steps,
            warmup=self.warmup_epochs * steps,
            start=0.0,
            peak=self.learning_rate,
            end=self.learning_rate if self.schedule == CONSTANT else 0.0,
        )

    def reaches_backbone(self, epoch: int) -> bool:
        """From the first thawed epoch on."""
        return epoch > self.frozen_epochs

    def is_better(self, accuracy: float, loss: float, best: tuple[float, float]) -> bool:
        """By accuracy, then loss."""
        return (accuracy, -loss) > (best[0], -best[1])

    def batches(self, count: int, size: int, devices: int = 1) -> list[tuple[int, int]]:
        """A last batch of fewer than two images per device joins the batch before, as BatchNorm needs two."""
        return joined_batches(count, size, 2 * devices)


@dataclass(frozen=True)
class ReferenceRecipe:
    """The published notebooks: Adam over all weights, and Lightning's `BackboneFinetuning` with its defaults.

    While the backbone is frozen, its BatchNorm layers train, weights and statistics. It thaws at the full rate:
    the callback would add the backbone to the optimizer at a tenth of the rate, but the optimizer has it already.
    From the next epoch on, the callback sets twice that tenth for the optimizer's last group. That is the only
    group, so all weights train at a fifth of the rate. Without frozen epochs, the notebooks omit the callback.

    Of the epochs with the best accuracy, the first one is taken, as by Lightning's `ModelCheckpoint`.

    Source: Wolf et al., github.com/Wolfda95/Less_is_More, Downstream_Evaluation; Lightning 1.7.7,
    `callbacks/finetuning.py`.
    """

    frozen_epochs: int
    learning_rate: float
    side: int

    def begin(self, epoch: int, network: GrayBackbone) -> None:
        """Freeze all but BatchNorm, or thaw all."""
        network.train()
        thawed = epoch > self.frozen_epochs
        for module in network.modules():
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(thawed or isinstance(module, _BatchNorm))

    def rate(self, epoch: int, step: int, steps: int) -> float:
        """The same for all steps of an epoch."""
        if not self.frozen_epochs or epoch <= self.frozen_epochs + 1:
            return self.learning_rate
        return 2 * (0.1 * self.learning_rate)

    def reaches_backbone(self, epoch: int) -> bool:
        """Always: BatchNorm trains from the first step."""
        return True

    def is_better(self, accuracy: float, loss: float, best: tuple[float, float]) -> bool:
        """By accuracy alone."""
        return accuracy > best[0]

    def batches(self, count: int, size: int, devices: int = 1) -> list[tuple[int, int]]:
        """As torch's `DataLoader` makes them; the last one may be a single image."""
        if self.side <= _ONE_PIXEL_SIDE:
            return joined_batches(count, size)
        return [(start, min(start + size, count)) for start in range(0, count, size)]


def joined_batches(count: int, size: int, least: int = 2) -> list[tuple[int, int]]:
    """Ranges of at most `size`; a last one of fewer than `least` joins the one before.

    >>> joined_batches(9, 4), joined_batches(10, 4, 4)
    ([(0, 4), (4, 9)], [(0, 4), (4, 10)])
    """
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] < least:
        starts.pop()
    return list(zip(starts, [*starts[1:], count], strict=True))
