"""Checkpoints of a pre-training: everything that resuming needs, in one file without pickled objects.

The last few are kept as `checkpoints/step-NNNNNNNN.ckpt`. Torch writes zip archives with a CRC-32 for each part
but does not check it when it reads. ctprune does, so it notices a damaged checkpoint and uses the one before it.
"""

from __future__ import annotations

import pickle
import re
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ctprune.errors import WeightsError
from ctprune.files.atomic import replace_file

#: Version of the layout; other versions are refused.
CHECKPOINT_VERSION = 3

FOLDER_NAME = "checkpoints"

_NAME = re.compile(r"step-(\d{8,})\.ckpt")

# What torch and zipfile raise for files that are damaged, or no checkpoints at all.
_DAMAGED = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    NotImplementedError,
    zlib.error,
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
    """Restore what `random_state` saved; GPUs that were not there keep their states."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def checkpoint_files(folder: Path) -> dict[int, Path]:
    """The checkpoints of a folder by step, the newest first; empty if the folder does not exist."""
    paths = folder.iterdir() if folder.is_dir() else ()
    found = {int(match[1]): path for path in paths if (match := _NAME.fullmatch(path.name))}
    return dict(sorted(found.items(), reverse=True))


def write_checkpoint(folder: Path, content: dict[str, Any], *, keep: int) -> Path:
    """Write the checkpoint of `content["step"]`, then remove all but the newest `keep` ones.

    Checkpoints of later steps are removed, too: the training did not resume from them, so they are damaged.

    Raises:
        OutputError: The folder cannot be written, or the disk is full; earlier checkpoints stay intact.
    """
    step = int(content["step"])
    file = folder / f"step-{step:08d}.ckpt"
    with replace_file(file) as beside, beside.open("wb") as opened:
        try:
            torch.save({"checkpoint_version": CHECKPOINT_VERSION, **content}, opened)
        except RuntimeError as error:
            # Torch's error says where it stopped writing, the system's says why.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
    steps = checkpoint_files(folder)
    kept = [other for other in steps if other <= step][:keep]
    for other, path in steps.items():
        if other not in kept:
            with suppress(OSError):
                path.unlink()
    return file


def newest_checkpoint(folder: Path, note: Callable[[str], None]) -> tuple[Path, dict[str, Any]]:
    """The newest intact checkpoint, and the content that `write_checkpoint` wrote.

    Args:
        folder: Folder of the checkpoints.
        note: Function called with a sentence for each damaged checkpoint.

    Raises:
        WeightsError: None is intact, or one is of another version.
    """
    damaged = ""
    for step, file in checkpoint_files(folder).items():
        try:
            content = _read(file)
        except _DAMAGED:
            if damaged:
                note(damaged)
            damaged = f"{file}: the checkpoint of step {step:,} is damaged"
            continue
        if content["checkpoint_version"] != CHECKPOINT_VERSION:
            raise WeightsError(
                f"{file}: checkpoint version {content['checkpoint_version']}, but this ctprune reads "
                f"{CHECKPOINT_VERSION}: start again in another folder"
            )
        if damaged:
            note(f"{damaged}: continuing from the one of step {step:,}")
        return file, content
    raise WeightsError(
        f"{damaged or f'{folder}: there is no checkpoint'}, and there is no other: start again in another folder"
    )


def _read(file: Path) -> dict[str, Any]:
    """The content of a checkpoint; raises one of `_DAMAGED` if it is damaged."""
    with zipfile.ZipFile(file) as archive:
        broken = archive.testzip()
        if broken is not None:
            raise zipfile.BadZipFile(broken)
    content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content["checkpoint_version"], int):
        raise TypeError
    return dict(content)
