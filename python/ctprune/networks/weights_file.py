"""Files of weights: read without running code from them, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ctprune.errors import WeightsError
from ctprune.files.atomic import replace_file

# First bytes of files of torch: since version 1.6, and before.
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80\x02"

#: Keys of a safetensors file's metadata: ctprune's facts about the weights, and the checksum of both.
METADATA_KEY, SEAL_KEY = "ctprune", "sha256"

#: Keys under which training programs save the weights, from the outside in.
#: Of DINO's two networks, the teacher is the better one.
_STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model", "teacher", "student")

#: Packages whose objects Lightning saves with the weights: settings, not weights. An inert class replaces each of
#: their classes, so that none of their code runs. Everything else is refused.
_SETTINGS_OF = ("argparse.", "lightning.", "pytorch_lightning.", "lightning_fabric.", "omegaconf.", "pathlib.")


def read_weights(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """All weights of a file by name, on the CPU, and ctprune's metadata if it has any.

    Raises:
        WeightsError: There is no such file, or it holds no weights that can be read safely.
    """
    try:
        with file.open("rb") as opened:
            start = opened.read(9)
    except FileNotFoundError:
        raise WeightsError(f"{file}: expected a file of weights, found none") from None
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


def write_weights(file: Path, write: Callable[[Path], object]) -> None:
    """Write a file of weights beside its place and rename it, whole or not at all.

    Args:
        file: The file; replaced if it is there.
        write: Writes to the path that it is given.

    Raises:
        OutputError: The file cannot be written.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "weights"
    >>> write_weights(file, lambda beside: beside.write_bytes(b"weights"))
    >>> file.read_bytes()
    b'weights'
    """
    with replace_file(file) as beside, refused_by_system(beside, file.name):
        write(beside)


@contextmanager
def refused_by_system(beside: Path, name: str) -> Iterator[None]:
    """Turn torch's and safetensors' own errors into OSError if the system refuses to write.

    Args:
        beside: The temporary file that is written and that such errors name.
        name: The name that the new error gives instead.
    """
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0].replace(str(beside), name)
        # The caller adds the name of the final file.
        raise OSError(f"is the disk full? {reason}") from None


def checksum_of(weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of weights and metadata, in hexadecimal; `SEAL_KEY` itself is left out.

    >>> len(checksum_of({"weight": torch.zeros(2)}, {"format": "pt"}))
    64
    """
    described = {key: value for key, value in metadata.items() if key != SEAL_KEY}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read_safetensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    try:
        with safe_open(file, framework="pt") as opened:
            weights = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - not a mapping
            described = opened.metadata() or {}
        metadata = json.loads(described.get(METADATA_KEY, "{}"))
        # Other programs' files have none. Of ctprune's own, one flipped bit does not reach both keys.
        sealed = SEAL_KEY in described or metadata.get("backbone_version", 0) > 1
    except (SafetensorError, ValueError, AttributeError) as error:
        raise WeightsError(f"{file}: the safetensors file is damaged: {error}") from None
    if sealed and described.get(SEAL_KEY) != checksum_of(weights, described):
        raise WeightsError(f"{file}: the safetensors file is damaged (its checksum does not match)")
    return weights, metadata


def _read_torch(file: Path) -> dict[str, torch.Tensor]:
    try:
        with torch.serialization.safe_globals(_stand_ins(file)):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{file}: the checkpoint is refused: it holds pickled objects besides weights, and loading those can "
            "run code: save only its state_dict"
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
    """Inert classes for the settings in a checkpoint."""
    if not zipfile.is_zipfile(file):
        return []
    found = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    return [(_inert(name), name) for name in found if name.startswith(_SETTINGS_OF)]


def _inert(name: str) -> type:
    return type(name.rpartition(".")[2], (dict,), {"__init__": lambda self, *_: None, "__slots__": ("__dict__",)})
