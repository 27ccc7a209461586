"""Backbones: created, loaded from files of several programs, and saved."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ctprune import _core
from ctprune.errors import WeightsError
from ctprune.networks.architectures import RESNETS, create_architecture, resnet_of
from ctprune.networks.foreign import (
    HUB_NAMES,
    TRANSFORMER_ANCHOR,
    converted,
    described_beside,
    renamed,
    transformer_of,
)
from ctprune.networks.weights_file import METADATA_KEY, SEAL_KEY, checksum_of, read_weights, write_weights

#: The file of weights in the folder of a pre-training.
BACKBONE_NAME = "backbone.safetensors"

#: Version of the metadata in `backbone.safetensors`.
BACKBONE_VERSION = 2

Shapes = dict[str, tuple[int, ...]]

# A convolution so deep that no head has one of this name; it reveals the prefix of a ResNet's weights.
_RESNET_ANCHOR = "layer1.0.conv1.weight"

# Prefixes to prefer if a file holds several networks: the trained network, not its momentum encoder.
_PREFERRED_PREFIXES = ("", "model.", "backbone.", "encoder_q.", "encoder.", "online_network.encoder.")

# Prefixes that torch's wrappers add to names.
_WRAPPERS = ("module.", "_orig_mod.")


def backbone_file(path: str | os.PathLike[str]) -> Path:
    """The file of weights at a path: the path itself, or the file in a folder of a pre-training or of the Hub.

    >>> backbone_file("weights.pth").name
    'weights.pth'
    """
    for name in (BACKBONE_NAME, *HUB_NAMES):
        inside = Path(path, name)
        if inside.is_file():
            return inside
    return Path(path)


def create_backbone(name: str, weights: str | os.PathLike[str] | None = None) -> torch.nn.Module:
    """A network that outputs pooled features, with the weights of a file or random ones.

    Args:
        name: A ResNet of torchvision, or any name of timm when timm is installed.
        weights: A file for `load_backbone`; None draws random weights from torch's generator.

    Returns:
        The module in training mode, with the attributes `num_features` and `architecture` (its name). It takes
        float32 of shape (n, 3, rows, columns) and gives float32 of shape (n, num_features).

    Raises:
        ConfigError: The name is not known.
        WeightsError: The file cannot be used.

    >>> create_backbone("resnet18").num_features
    512
    """
    return create_architecture(name) if weights is None else load_backbone(weights, name=name)


def load_backbone(path: str | os.PathLike[str], *, name: str | None = None) -> torch.nn.Module:
    """Read a backbone from a file that ctprune, torchvision, timm or the published code of a method wrote.

    It reads ctprune's `backbone.safetensors`, state dicts of torchvision and timm, and checkpoints of Lightning,
    with the network at the top or under `model.`, `encoder_q.`, `online_network.encoder.`, `backbone.` or
    `module.`; files of DINO, DINOv2 and DINOv3, from which it takes the teacher, also as Hugging Face's
    transformers name the weights; and ResNets with numbered parts, such as RadImageNet's. Positions are resampled
    if the network has another number of them. Heads are left out.
    Objects in a file that are not tensors are never created.

    Args:
        path: The file, or the folder of a pre-training, of timm or of transformers.
        name: The architecture, as for `create_backbone`; by default the one that the file or timm's `config.json`
            beside it names, or that the shapes of the weights identify.

    Returns:
        The module in training mode, with the attributes `num_features` and `architecture` (its name), as from
        `create_backbone`.

    Raises:
        WeightsError: There is no such file, it is not a checkpoint, it does not fit the architecture, or it has
            weights that are not finite.
        ConfigError: The name is not known.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "backbone.safetensors"
    >>> save_backbone(create_backbone("resnet18"), file, name="resnet18", metadata={"method": "swav"})
    >>> load_backbone(file).num_features, backbone_metadata(file)["method"]
    (512, 'swav')
    """
    path = backbone_file(path)
    weights, metadata = _read(path)
    weights = renamed({_unwrapped(key): tensor for key, tensor in weights.items()})
    name = name or metadata.get("backbone")
    if name is None:
        name = _recognized(weights, path)
        if name is None:
            raise WeightsError(
                f"{path}: the weights fit none of {', '.join(RESNETS)}, and no transformer of DINO, DINOv2 or "
                "DINOv3: name the architecture that they belong to as `backbone`"
            )
    module = create_architecture(name)
    try:
        state = _weights_for(module, name, weights, path)
    except WeightsError:
        found = metadata.get("backbone") or _recognized_or_none(weights, path)
        if found in (None, name):
            raise
        raise WeightsError(
            f"{path}: expected weights of {name}, found those of {found}: give that as `backbone`"
        ) from None
    # Old files lack BatchNorm's counters, which nothing here uses; `_fitting` has checked everything else.
    module.load_state_dict(state, strict=False)
    for key, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(
                f"{path}: {key} holds values that are not finite: the training diverged, or the file is damaged"
            )
    return module


def save_backbone(
    module: torch.nn.Module,
    path: str | os.PathLike[str],
    *,
    name: str,
    metadata: Mapping[str, Any],
) -> None:
    """Write a backbone's weights as a torchvision-compatible state dict in safetensors, whole or not at all.

    Args:
        module: A module from `create_backbone`; may be wrapped by `torch.compile` or `DistributedDataParallel`.
        path: The file; replaced if it is there.
        name: Name of the architecture.
        metadata: Facts about the training, such as method, manifest digest and settings; must fit JSON.

    Raises:
        OutputError: The file cannot be written.
    """
    state = {
        _unwrapped(key): tensor.detach().cpu().contiguous()
        for key, tensor in module.state_dict().items()
        if not _unwrapped(key).startswith("fc.")
    }
    described = {
        "backbone_version": BACKBONE_VERSION,
        "ctprune_version": _core.__version__,
        "backbone": name,
        **metadata,
    }
    texts = {"format": "pt", METADATA_KEY: json.dumps(described, sort_keys=True)}
    sealed = texts | {SEAL_KEY: checksum_of(state, texts)}
    write_weights(Path(path), lambda beside: save_file(state, beside, metadata=sealed))


def backbone_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata that `save_backbone` wrote with the weights; empty for files of other programs.

    Args:
        path: The file, or the folder of a pre-training.

    Raises:
        WeightsError: There is no such file, or it is not a checkpoint.
    """
    return _read(backbone_file(path))[1]


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """All weights of a file by name, and the metadata about them."""
    if path.is_dir():
        # Those of a fine-tuning or of a segmentation lie deeper, one for each seed.
        inside = min(path.glob(f"model/**/{BACKBONE_NAME}"), default=None)
        expected = "expected a file of weights or the folder of a pre-training"
        such_as = f": name a file, such as {inside}" if inside else ""
        raise WeightsError(
            f"{path}: {expected}, found a folder without {BACKBONE_NAME} or {HUB_NAMES[0]}{such_as}"
        )
    weights, metadata = read_weights(path)
    return weights, metadata or described_beside(path)


def _weights_for(
    module: torch.nn.Module, name: str, weights: Mapping[str, torch.Tensor], path: Path
) -> dict[str, torch.Tensor]:
    """The weights of a network of this name, by their names in it."""
    own: Mapping[str, torch.Tensor]
    if name in RESNETS:
        own = _below_prefix(weights, _RESNET_ANCHOR, path)
    else:
        own = converted(_below_prefix(weights, _anchor(module), path), module, name, path)
    return _fitting(_without_classifier(own, module), _shapes(module), name, path)


def _recognized(weights: Mapping[str, torch.Tensor], path: Path) -> str | None:
    """The architecture that the names and shapes of weights identify; None if they identify none.

    Raises:
        WeightsError: There is no network to recognize, or there are several.
    """
    if any(key.endswith(TRANSFORMER_ANCHOR) for key in weights):
        return transformer_of(_below_prefix(weights, TRANSFORMER_ANCHOR, path))
    return resnet_of(_below_prefix(weights, _RESNET_ANCHOR, path))


def _recognized_or_none(weights: Mapping[str, torch.Tensor], path: Path) -> str | None:
    try:
        return _recognized(weights, path)
    except WeightsError:
        return None


def _below_prefix(weights: Mapping[str, torch.Tensor], anchor: str, path: Path) -> dict[str, torch.Tensor]:
    """The weights of one network, by their names in it."""
    prefixes = [key.removesuffix(anchor) for key in weights if key == anchor or key.endswith("." + anchor)]
    preferred = [prefix for prefix in _PREFERRED_PREFIXES if prefix in prefixes]
    if not prefixes:
        some = ", ".join(map(repr, list(weights)[:3])) + (", …" if len(weights) > 3 else "")
        what = "weights of a ResNet or a transformer" if anchor == _RESNET_ANCHOR else f"weights with {anchor}"
        count = f"{len(weights):,} tensor{'' if len(weights) == 1 else 's'}"
        raise WeightsError(
            f"{path}: expected {what}, found {count} ({some}): if these are of another network, name it as "
            "`backbone`"
        )
    if len(prefixes) > 1 and not preferred:
        raise WeightsError(f"{path}: expected one backbone, found several: under {', '.join(prefixes)}")
    prefix = (preferred or prefixes)[0]
    return {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.startswith(prefix)}


def _unwrapped(key: str) -> str:
    for wrapper in _WRAPPERS:
        key = key.replace(f".{wrapper}", ".").removeprefix(wrapper)
    return key


def _anchor(module: torch.nn.Module) -> str:
    """The longest name of a weight, so that it is found below any prefix."""
    return max((key for key, _ in module.named_parameters()), key=len)


def _shapes(module: torch.nn.Module) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}


def _without_classifier(
    weights: Mapping[str, torch.Tensor], module: torch.nn.Module
) -> Mapping[str, torch.Tensor]:
    """Timm says where a network's classifier is, which may be among layers that belong to its features."""
    names = getattr(module, "default_cfg", {}).get("classifier") or ()
    prefixes = tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))
    return {key: tensor for key, tensor in weights.items() if not key.startswith(prefixes)}


def _fitting(
    weights: Mapping[str, torch.Tensor], expected: Shapes, name: str, path: Path
) -> dict[str, torch.Tensor]:
    """The weights of the architecture, with the right shapes; heads are left out, anything else is refused."""
    parts = {key.split(".")[0] for key in expected}
    for key, shape in expected.items():
        if key not in weights and not key.endswith("num_batches_tracked"):
            raise WeightsError(f"{path}: expected weights of {name}, found no {key}")
        if key in weights and tuple(weights[key].shape) != shape:
            found = tuple(weights[key].shape)
            raise WeightsError(f"{path}: expected weights of {name} with {key} of shape {shape}, found {found}")
    for key in weights:
        if key not in expected and key.split(".")[0] in parts:
            raise WeightsError(
                f"{path}: expected weights of {name}, also found {key}, which belongs to another architecture"
            )
    return {key: weights[key] for key in expected if key in weights}
