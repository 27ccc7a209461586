"""Weights of other programs: recognize their network, and rename them as in timm and torchvision."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ctprune.errors import WeightsError
from ctprune.networks.transformers_names import as_published

Weights = Mapping[str, torch.Tensor]

#: Files of weights in a folder of timm or transformers.
HUB_NAMES = ("model.safetensors", "pytorch_model.bin")

#: A weight that reveals the prefix of a transformer's weights.
TRANSFORMER_ANCHOR = "patch_embed.proj.weight"

#: Parts of torchvision's ResNets by number, for networks saved as a sequence of parts, such as RadImageNet's.
_NUMBERED = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}

_NUMBERED_ANCHOR = "4.0.conv1.weight"

#: Blocks in chunks, as DINOv2 trains them: the second number counts all of them.
_CHUNKED = re.compile(r"(.*\bblocks)\.\d+\.(\d+\..+)")

#: Sizes of vision transformers by width, number of blocks, and whether their MLPs are gated.
_SIZES = {
    (192, 12, False): "tiny",
    (384, 12, False): "small",
    (384, 12, True): "small_plus",
    (768, 12, False): "base",
    (1024, 24, False): "large",
    (1280, 32, True): "huge_plus",
    (1536, 40, True): "giant",
    (4096, 40, True): "7b",
}

#: What timm's conversions raise for weights that are not what they expect.
_UNFIT = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


def renamed(weights: Weights) -> dict[str, torch.Tensor]:
    """Replace numbers of parts and names of transformers by the names that the published network has.

    Args:
        weights: Weights by name, without the prefixes of torch's wrappers.

    >>> parts = ["net.0.weight", "net.1.running_mean", "net.4.0.conv1.weight"]
    >>> list(renamed(dict.fromkeys(parts, torch.zeros(1))))
    ['net.conv1.weight', 'net.bn1.running_mean', 'net.layer1.0.conv1.weight']
    """
    found = as_published(weights)
    for key in weights:
        prefix = key.removesuffix(_NUMBERED_ANCHOR)
        if prefix == key or prefix[-1:] not in ("", "."):
            continue
        if f"{prefix}0.weight" in weights and f"{prefix}1.running_mean" in weights:
            found = {_with_name(one, prefix): tensor for one, tensor in found.items()}
    # Other networks also have two numbers there, but no mask token.
    if any(key.endswith("mask_token") for key in weights):
        found = {_CHUNKED.sub(r"\1.\2", key): tensor for key, tensor in found.items()}
    return found


def transformer_of(weights: Weights) -> str | None:
    """The name in timm of the transformer of DINO, DINOv2 or DINOv3 whose weights these are; None for others.

    Args:
        weights: Weights by the names that the published files have, without a prefix.
    """
    kernel = weights.get(TRANSFORMER_ANCHOR)
    if kernel is None or kernel.ndim != 4:
        return None
    depth = len({key.split(".")[1] for key in weights if key.startswith("blocks.")})
    gated = any(f"blocks.0.mlp.{part}.weight" in weights for part in ("w1", "w12"))
    size, patch = _SIZES.get((len(kernel), depth, gated)), kernel.shape[-1]
    scaled = "blocks.0.ls1.gamma" in weights
    if scaled and "storage_tokens" in weights:
        name = f"vit_{size}_patch{patch}_dinov3" + ("_qkvb" if _has_biases(weights) else "")
    elif scaled and "pos_embed" in weights:
        registers = weights.get("register_tokens", weights.get("reg_token"))
        name = f"vit_{size}_patch{patch}{'' if registers is None else f'_reg{registers.shape[1]}'}_dinov2"
    elif _is_plain(weights, patch):
        name = f"vit_{size}_patch{patch}_224"
    else:
        return None
    return name if name in _names_of_timm() else None


def converted(weights: Weights, module: torch.nn.Module, name: str, path: Path) -> Weights:
    """Weights by their names in timm's network: timm's own conversion, which also resamples positions.

    Args:
        weights: Weights of one network, without a prefix.
        module: The network.
        name: Name of its architecture.
        path: The file, for the error message.

    Raises:
        WeightsError: The file has weights that the network has no place for.
    """
    expected = {key: tensor.shape for key, tensor in module.state_dict().items()}
    if all(key in weights and weights[key].shape == shape for key, shape in expected.items()):
        return weights
    if "storage_tokens" in weights and _has_biases(weights) and not any("q_bias" in key for key in expected):
        raise WeightsError(
            f"{path}: expected weights of {name}, found biases of queries and values besides: give {name}_qkvb as "
            "`backbone`"
        )
    convert = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    kernel = weights.get(TRANSFORMER_ANCHOR)
    # timm would also resample kernels of another size, but these belong to another network.
    other_kernel = kernel is not None and kernel.shape != expected.get(TRANSFORMER_ANCHOR, kernel.shape)
    if convert is None or other_kernel:
        return weights
    try:
        # The conversion prints the names that it did not find.
        with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            found: Weights = convert(dict(weights), module)
    except _UNFIT:
        # The comparison with the network will say what is missing.
        return weights
    return found


def described_beside(file: Path) -> dict[str, Any]:
    """What JSON files beside the weights tell: timm's `config.json`, transformers' `preprocessor_config.json`.

    Args:
        file: File of weights; only the file names of timm and the Hugging Face Hub have such files.

    Returns:
        `backbone` (timm's alone), `mean` and `std`; empty if there is no such file.
    """
    if file.name not in HUB_NAMES:
        return {}
    described = _json_object(file.parent / "config.json")
    name = described.get("architecture")
    if isinstance(name, str):
        return {"backbone": name, **_normalization(described.get("pretrained_cfg"), "mean", "std")}
    return _normalization(_json_object(file.parent / "preprocessor_config.json"), "image_mean", "image_std")


def _json_object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _normalization(described: object, mean: str, std: str) -> dict[str, Any]:
    """Three means and three standard deviations; empty if they are anything else."""
    if not isinstance(described, dict):
        return {}
    found = {"mean": described.get(mean), "std": described.get(std)}
    numbers = all(
        isinstance(values, list) and len(values) == 3 and all(isinstance(one, (int, float)) for one in values)
        for values in found.values()
    )
    return found if numbers else {}


def _with_name(key: str, prefix: str) -> str:
    if not key.startswith(prefix):
        return key
    number, dot, rest = key.removeprefix(prefix).partition(".")
    return f"{prefix}{_NUMBERED.get(number, number)}{dot}{rest}"


def _has_biases(weights: Weights) -> bool:
    """Whether DINOv3's biases of queries or values are not all zero; those of keys are masked."""
    for key, bias in weights.items():
        if key.endswith("attn.qkv.bias"):
            queries, _, values = bias.chunk(3)
            if queries.any() or values.any():
                return True
    return False


def _is_plain(weights: Weights, patch: int) -> bool:
    """Whether these are exactly the weights of DINO's transformer for 224 pixels, apart from a head."""
    positions = weights.get("pos_embed")
    if positions is None or "cls_token" not in weights or positions.shape[1] != 1 + (224 // patch) ** 2:
        return False
    first = {"cls_token", "pos_embed", "patch_embed", "blocks", "norm", "head"}
    of_block = {"norm1", "attn", "norm2", "mlp"}
    return all(
        key.split(".")[0] in first and (not key.startswith("blocks.") or key.split(".")[2] in of_block)
        for key in weights
    )


def _names_of_timm() -> list[str]:
    try:
        import timm
    except ModuleNotFoundError:
        return []
    names: list[str] = timm.list_models()
    return names
