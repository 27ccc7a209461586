"""Optimizers, and the schedules of learning rate and weight decay."""

from __future__ import annotations

import math
from typing import Any

import torch

from ctprune.pretraining.config import RATE_BATCH, PretrainConfig
from ctprune.pretraining.lars import Lars
from ctprune.pretraining.schedule import along_cosine, scheduled_rate

#: Key of a group of parameters: whether weight decay applies to it.
_DECAYS = "decays"


def create_optimizer(
    config: PretrainConfig, module: torch.nn.Module, *, fused: bool = False
) -> torch.optim.Optimizer:
    """The optimizer of a configuration. It processes all tensors together and never waits for the GPU.

    Without `decay_biases`, biases and normalization layers get neither weight decay nor layer-wise scaling.

    Args:
        config: Configuration of the pre-training.
        module: Module whose parameters are trained.
        fused: Run Adam and AdamW as one operation, for GPUs.

    >>> config = PretrainConfig.resolve({"optimizer": "sgd"}, preset_name="smoke")
    >>> [group["weight_decay"] for group in create_optimizer(config, torch.nn.Linear(2, 2)).param_groups]
    [0.0001, 0.0]
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if config.decay_biases or parameter.ndim > 1]
    others = [parameter for parameter in trained if not config.decay_biases and parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, _DECAYS: True},
        {"params": others, _DECAYS: False, "weight_decay": 0.0},
    ]
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate, weight_decay=decay, fused=fused, foreach=not fused)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, weight_decay=decay, fused=fused, foreach=not fused)
    if config.optimizer == "sgd":
        # Its fused form cannot take a tensor whose gradients begin later, such as SwAV's prototypes.
        return torch.optim.SGD(groups, lr=rate, weight_decay=decay, momentum=config.momentum, foreach=True)
    return Lars(groups, lr=rate, weight_decay=decay, momentum=config.momentum)


def rate_factor(config: PretrainConfig, devices: int) -> float:
    """Factor of the learning rates, which are given for 256 slices per optimizer step.

    >>> rate_factor(PretrainConfig(batch_size=128, accumulate=2), devices=4)
    4.0
    """
    share = config.batch_size * config.accumulate * devices / RATE_BATCH
    return {"linear": share, "sqrt": math.sqrt(share), "none": 1.0}[config.rate_scaling]


def learning_rate(config: PretrainConfig, step: int, steps: int, steps_per_epoch: int) -> float:
    """The learning rate of an optimizer step, counted from 0: a linear warm-up, then a cosine.

    It is the rate for 256 slices per step, see `rate_factor`.

    >>> rates = {"learning_rate": 1.0, "start_learning_rate": 0.0, "final_learning_rate": 0.0}
    >>> config = PretrainConfig(**rates, warmup_epochs=1)
    >>> [round(learning_rate(config, step, 30, 10), 2) for step in (0, 5, 10, 20, 30)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    return scheduled_rate(
        step,
        steps,
        warmup=config.warmup_epochs * steps_per_epoch,
        start=config.start_learning_rate,
        peak=config.learning_rate,
        end=config.final_learning_rate,
    )


def weight_decay(config: PretrainConfig, step: int, steps: int) -> float:
    """The weight decay of an optimizer step, counted from 0: along a cosine from the first to the last.

    >>> config = PretrainConfig(weight_decay=0.04, final_weight_decay=0.4)
    >>> [round(weight_decay(config, step, 10), 2) for step in (0, 5, 10)]
    [0.04, 0.22, 0.4]
    """
    if config.final_weight_decay is None:
        return config.weight_decay
    return along_cosine(config.weight_decay, config.final_weight_decay, step / steps)


def set_rates(optimizer: torch.optim.Optimizer, *, learning_rate: float, weight_decay: float) -> None:
    """Set the learning rate, and the weight decay of the groups that have one."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
        if group[_DECAYS]:
            group["weight_decay"] = weight_decay
