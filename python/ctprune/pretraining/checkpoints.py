"""Checkpoints of a pre-training: everything that resuming needs, in one file without pickled objects."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

from ctprune.atomic import replace_file
from ctprune.errors import WeightsError
from ctprune.extras import extra

with extra("train", "pre-training"):
    import torch
    from torch import Tensor

#: Version of the layout; other versions are refused.
CHECKPOINT_VERSION = 1

FOLDER_NAME, FILE_NAME = "checkpoints", "last.ckpt"

# What torch raises for files that are cut short, or no checkpoints at all.
_DAMAGED = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)


def module_state(module: torch.nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name, also those that a state dict leaves out, such as the queue of MoCo."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def load_module_state(module: torch.nn.Module, state: dict[str, Tensor], file: Path) -> None:
    """The reverse of `module_state`.

    Raises:
        WeightsError: The state is not this module's.
    """
    own = module_state(module)
    if {name: value.shape for name, value in own.items()} != {name: v.shape for name, v in state.items()}:
        raise WeightsError(f"{file}: the checkpoint's networks are not those of this configuration")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(state[name])


def random_state() -> dict[str, Any]:
    """The states of torch's generators."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict[str, Any]) -> None:
    """The reverse of `random_state`; GPUs that were not there keep theirs."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def write_checkpoint(file: Path, content: dict[str, Any]) -> None:
    """Write beside the file and rename into place.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    with replace_file(file) as beside:
        torch.save({"checkpoint_version": CHECKPOINT_VERSION, **content}, beside)


def read_training_checkpoint(file: Path) -> dict[str, Any]:
    """What `write_checkpoint` wrote.

    Raises:
        WeightsError: It is damaged, not a checkpoint of pre-training, or of another version.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        version = content["checkpoint_version"]
    except _DAMAGED:
        raise WeightsError(
            f"{file}: the checkpoint is damaged or none of pre-training: start again without --resume"
        ) from None
    if version != CHECKPOINT_VERSION:
        raise WeightsError(
            f"{file}: checkpoint version {version}, but this ctprune reads {CHECKPOINT_VERSION}: start again"
        )
    return dict(content)
