"""Optimizers and the course of the learning rate."""

from __future__ import annotations

import math
from typing import Any

from ctprune.extras import extra
from ctprune.pretraining.config import PretrainConfig

with extra("train", "pre-training"):
    import torch
    from lightly.utils.lars import LARS


def create_optimizer(config: PretrainConfig, module: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a configuration.

    Without `decay_biases`, biases and normalisation get neither weight decay nor layer-wise scaling.

    >>> config = PretrainConfig.resolve({"optimizer": "sgd"}, preset_name="smoke")
    >>> [group["weight_decay"] for group in create_optimizer(config, torch.nn.Linear(2, 2)).param_groups]
    [0.0001, 0.0]
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if config.decay_biases or parameter.ndim > 1]
    others = [parameter for parameter in trained if not config.decay_biases and parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate, weight_decay=decay)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, weight_decay=decay)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, weight_decay=decay, momentum=config.momentum)
    lars: torch.optim.Optimizer = LARS(groups, lr=rate, weight_decay=decay, momentum=config.momentum)
    return lars


def learning_rate(config: PretrainConfig, step: int, steps: int, steps_per_epoch: int) -> float:
    """The learning rate of an optimizer step, counted from 0: in equal steps to the rate, then along a cosine.

    >>> rates = {"learning_rate": 1.0, "start_learning_rate": 0.0, "final_learning_rate": 0.0}
    >>> config = PretrainConfig(**rates, warmup_epochs=1)
    >>> [round(learning_rate(config, step, 30, 10), 2) for step in (0, 5, 10, 20, 30)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    # A run that is shorter than its warm-up still gets to the rate.
    warmup = min(config.warmup_epochs * steps_per_epoch, steps)
    if step < warmup:
        start = config.start_learning_rate
        return start + (config.learning_rate - start) * step / warmup
    share = (step - warmup) / max(1, steps - warmup)
    final = config.final_learning_rate
    return final + (config.learning_rate - final) * (1 + math.cos(math.pi * share)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use this learning rate from now on."""
    for group in optimizer.param_groups:
        group["lr"] = rate
