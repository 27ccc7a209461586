"""Files of weights, read without running anything that is in them."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctprune.errors import WeightsError
from ctprune.extras import extra

with extra("train", "reading weights"):
    import torch
    from safetensors import SafetensorError, safe_open

# How files of torch begin: since version 1.6, and before.
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80\x02"

#: Where training programs put the weights among other things, from the outside in.
_STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model")

#: Packages whose objects stand beside the weights in the checkpoints of Lightning: settings, not weights. An inert
#: class stands in for each of theirs, so that none of their code runs. Everything else is refused.
_SETTINGS_OF = ("argparse.", "lightning.", "pytorch_lightning.", "lightning_fabric.", "omegaconf.", "pathlib.")


def read_checkpoint(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """All weights of a file by name, on the CPU, and ctprune's metadata if it has any.

    Raises:
        WeightsError: There is no such file, or it holds no weights that can be read safely.
    """
    try:
        with file.open("rb") as opened:
            start = opened.read(9)
    except OSError as error:
        raise WeightsError(f"{file}: expected a file of weights: {error.strerror}") from None
    if start[8:] == b"{":
        # Safetensors begins with the length of a JSON object, eight bytes, then the object.
        weights, metadata = _read_safetensors(file)
    elif start.startswith((_ZIP, _PICKLE)):
        weights, metadata = _read_torch(file), {}
    else:
        raise WeightsError(f"{file}: expected a checkpoint of torch or safetensors, found something else")
    if not weights:
        raise WeightsError(f"{file}: expected a checkpoint with weights, found none")
    return weights, metadata


def _read_safetensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    try:
        with safe_open(file, framework="pt") as opened:
            weights = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - not a mapping
            metadata = json.loads((opened.metadata() or {}).get("ctprune", "{}"))
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{file}: the safetensors file is damaged: {error}") from None
    return weights, metadata


def _read_torch(file: Path) -> dict[str, torch.Tensor]:
    try:
        with torch.serialization.safe_globals(_stand_ins(file)):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{file}: the checkpoint is refused: it holds pickled objects besides weights, and loading those can "
            "run code: save its state_dict alone"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise WeightsError(f"{file}: the checkpoint is damaged or cut short") from None
    for key in _STATE_DICT_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{file}: expected a checkpoint with weights by name, found {type(content).__name__}")
    return {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}


def _stand_ins(file: Path) -> list[Any]:
    """Inert classes for what a checkpoint holds of settings."""
    if not zipfile.is_zipfile(file):
        return []
    found = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    return [(_inert(name), name) for name in found if name.startswith(_SETTINGS_OF)]


def _inert(name: str) -> type:
    return type(name.rpartition(".")[2], (dict,), {"__init__": lambda self, *_: None, "__slots__": ("__dict__",)})
