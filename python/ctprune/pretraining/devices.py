"""Devices of a pre-training: how many there are, and how they train together."""

from __future__ import annotations

import logging

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment

from ctprune.errors import ConfigError
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.launch import SRUN, Launch, started_together

#: Names of Fabric for the precisions of ctprune.
_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def device_count(devices: int, device: torch.device) -> int:
    """Number of processes that train on this machine, each with its own device.

    Args:
        devices: Number of GPUs, 0 for all; on a CPU, of processes.
        device: What is trained on.

    Raises:
        ConfigError: There are fewer GPUs than `devices`.
    """
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    if gpus and devices > gpus:
        by_task = started_together()[0] == SRUN
        hint = ": give srun --gpus-per-node, so that each task sees all of them" if by_task else ""
        raise ConfigError(
            f"devices {devices}: expected up to {gpus}, the number of GPUs here{hint}", field="devices"
        )
    return devices or max(gpus, 1)


def check_queue(config: PretrainConfig, processes: int) -> None:
    """Refuse a queue whose length is no multiple of the batch of all processes.

    Raises:
        ConfigError: The length of the queue is not such a multiple.
    """
    together, queue = config.batch_size * processes, getattr(config.settings, "queue", 0)
    if queue % together:
        raise ConfigError(
            f"settings.queue {queue}: expected a multiple of {together}, the batch of all devices together: "
            f"otherwise entries would be lost when the queue wraps around",
            field="settings.queue",
        )


def create_fabric(launch: Launch, precision: str, environment: ClusterEnvironment, device: torch.device) -> Fabric:
    """Lightning's Fabric for the processes of a launch.

    Args:
        launch: How the processes are started.
        precision: A precision from `ctprune.networks.device.choose_precision`.
        environment: How the processes find each other.
        device: Kind of the devices; each process gets one.
    """
    # It announces every process on stderr.
    for name in ("rank_zero", "distributed"):
        logging.getLogger(f"lightning_fabric.utilities.{name}").setLevel(logging.WARNING)
    return Fabric(
        accelerator=device.type,
        devices=launch.devices,
        num_nodes=launch.nodes,
        strategy="ddp" if launch.processes > 1 else "auto",
        plugins=[environment],
        precision=_PRECISIONS[precision],  # type: ignore[arg-type]
    )


def device_name(device: torch.device) -> str:
    """The name of a GPU, such as `NVIDIA H100`, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
