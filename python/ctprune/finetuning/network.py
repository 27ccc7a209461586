"""The backbone of a fine-tuning: its weights, its normalization, and its random initialization."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ctprune.errors import ConfigError
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.option_values import NORMALIZATIONS, mean_and_std
from ctprune.finetuning.training_options import DEFAULT_BACKBONE, IMAGENET
from ctprune.networks.architectures import check_size
from ctprune.networks.backbone import create_backbone, load_backbone
from ctprune.networks.gray_backbone import IMAGENET_NORMALIZATION, Normalization, Pixels
from ctprune.networks.pretrained import Pretrained


def find_weights(config: FinetuneConfig) -> Pretrained | None:
    """The file of weights that a configuration means; None for random weights.

    Args:
        config: The configuration.

    Raises:
        WeightsError: The file is not there or cannot be used.
        ConfigError: `download` is of no use with these weights.
    """
    if config.download and config.weights != IMAGENET:
        raise ConfigError("download belongs to `weights` imagenet", field="download")
    if config.weights is None:
        return None
    path = None if config.weights == IMAGENET else Path(config.weights)
    return Pretrained.find(path, download=config.download, neighbors=True)


def choose_normalization(way: str, weights: Pretrained | None, train: Pixels) -> Normalization:
    """The normalization that `FinetuneConfig.normalize` asks for.

    Args:
        way: The option `normalize`.
        weights: The file of weights; None for random weights.
        train: Pixels of the training images, uint8 of any shape.
    """
    if way == "auto" and weights is not None:
        return Normalization.of_weights(weights.metadata)
    if way == "imagenet":
        return IMAGENET_NORMALIZATION
    if way not in NORMALIZATIONS:
        mean, std = mean_and_std(way)
        return Normalization((mean,), (std,))
    return Normalization.of_pixels(train)


def new_backbone(config: FinetuneConfig, weights: Pretrained | None, seed: int) -> tuple[torch.nn.Module, str]:
    """A backbone as the configuration says, and the name of its architecture.

    Args:
        config: The configuration.
        weights: The file of weights; None draws random ones.
        seed: Seed of random weights.

    Raises:
        WeightsError: The file cannot be used.
        ConfigError: The name is not known, or the network does not take images of this size.
    """
    module = loaded_or_drawn(config.backbone, weights, seed)
    name = str(module.architecture)
    check_size(module, name, config.side)
    return module, name


def loaded_or_drawn(name: str | None, weights: Pretrained | None, seed: int) -> torch.nn.Module:
    """A backbone with the weights of a file, or with random ones.

    Args:
        name: The option `backbone`.
        weights: The file of weights; None draws random ones.
        seed: Seed of random weights.

    Raises:
        WeightsError: The file cannot be used.
        ConfigError: The name is not known.
    """
    with seeded(seed):
        return (
            create_backbone(name or DEFAULT_BACKBONE)
            if weights is None
            else load_backbone(weights.file, name=name)
        )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """A block in which torch's generators start from this seed; their states are restored afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
