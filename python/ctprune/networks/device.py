"""The device and the precision that networks run with, chosen in one place. Imports torch only when it chooses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from ctprune.errors import ConfigError

if TYPE_CHECKING:
    import torch


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name; `auto` is a GPU if there is one.

    Args:
        name: One of `ctprune.options.shared.DEVICES`.

    Raises:
        ConfigError: There is no GPU.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    import torch

    gpu = torch.cuda.is_available()
    if name == "cuda" and not gpu:
        raise ConfigError("device cuda: torch finds no GPU: use auto or cpu", field="device")
    return torch.device("cuda" if gpu and name != "cpu" else "cpu")


def choose_precision(name: str, device: torch.device) -> str:
    """The precision of a name on a device: `bf16`, `fp16` or `32`; `auto` is mixed on a GPU.

    Args:
        name: One of `ctprune.options.shared.PRECISIONS`.
        device: Where the network runs.

    Raises:
        ConfigError: The device does not have this precision.

    >>> choose_precision("auto", choose_device("cpu"))
    '32'
    """
    import torch

    gpu = device.type == "cuda"
    if name == "fp16" and not gpu:
        raise ConfigError("precision fp16 needs a GPU: use 32 or bf16", field="precision")
    if name != "auto":
        return name
    return "32" if not gpu else "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """A block in which networks compute in this precision.

    Args:
        device: Where the network runs.
        precision: A precision from `choose_precision`.

    >>> with autocast(choose_device("cpu"), "bf16"):
    ...     pass
    """
    import torch

    if precision == "32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)
