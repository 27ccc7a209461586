"""Methods of pre-training, one file each, on lightly's losses and heads."""

from __future__ import annotations

import torch

from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods.byol import Byol
from ctprune.pretraining.methods.dino import Dino
from ctprune.pretraining.methods.dinov2 import Dinov2
from ctprune.pretraining.methods.method import Method, Outcome, TrainingState
from ctprune.pretraining.methods.mocov2 import MocoV2
from ctprune.pretraining.methods.simclr import SimClr
from ctprune.pretraining.methods.swav import Swav

__all__ = ["METHODS", "Method", "Outcome", "TrainingState", "create_method", "sync_batchnorm"]

METHODS: dict[str, type[Method]] = {
    "swav": Swav,
    "mocov2": MocoV2,
    "byol": Byol,
    "simclr": SimClr,
    "dino": Dino,
    "dinov2": Dinov2,
}


def create_method(config: PretrainConfig, backbone: torch.nn.Module) -> Method:
    """The method of a configuration around a backbone (from `ctprune.networks.backbone.create_backbone`)."""
    return METHODS[config.method](backbone, config)


def sync_batchnorm(method: Method) -> Method:
    """BatchNorm over the batches of all devices together, where the method's paper has it so; for GPUs only.

    MoCo shuffles slices among devices instead.
    """
    if not method.syncs_batchnorm:
        return method
    converted: Method = torch.nn.SyncBatchNorm.convert_sync_batchnorm(method)  # type: ignore[no-untyped-call]
    return converted
