"""Vision transformers of Hugging Face's transformers: their weights as DINO, DINOv2 and DINOv3 name them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

Weights = Mapping[str, torch.Tensor]

#: A weight that reveals the prefix, and which names those of the blocks begin with.
_ANCHOR = re.compile(r"(|.*\.)embeddings\.patch_embeddings\.(projection\.)?weight")

#: Names outside of the blocks.
_OUTSIDE = {
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "embeddings.patch_embeddings": "patch_embed.proj",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.cls_token": "cls_token",
    "embeddings.mask_token": "mask_token",
    "layernorm": "norm",
}

_BLOCK = re.compile(r"(?:encoder\.)?layer\.(\d+)\.(.+)")

#: Names within a block: ViT's, DINOv2's, DINOv3's.
_INSIDE = {
    "layernorm_before": "norm1",
    "attention.attention.query": "attn.q",
    "attention.attention.key": "attn.k",
    "attention.attention.value": "attn.v",
    "attention.output.dense": "attn.proj",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "mlp.weights_in": "mlp.w12",
    "mlp.weights_out": "mlp.w3",
    "attention.q_proj": "attn.q",
    "attention.k_proj": "attn.k",
    "attention.v_proj": "attn.v",
    "attention.o_proj": "attn.proj",
    "mlp.up_proj": "mlp.fc1",
    "mlp.down_proj": "mlp.fc2",
}

#: DINOv3's MLPs with a gate have three layers.
_GATED = {"mlp.gate_proj": "mlp.w1", "mlp.up_proj": "mlp.w2", "mlp.down_proj": "mlp.w3"}


def as_published(weights: Weights) -> dict[str, torch.Tensor]:
    """Rename a vision transformer of Hugging Face's transformers; leave all other weights as they are.

    Queries, keys and values become one tensor. ViT's pooler is left out: it is no part of what DINO published.

    Args:
        weights: Weights by name, without the prefixes of torch's wrappers.

    >>> names = ["vit.embeddings.patch_embeddings.projection.weight", "vit.encoder.layer.0.output.dense.bias"]
    >>> list(as_published(dict.fromkeys(names, torch.zeros(1))))
    ['vit.patch_embed.proj.weight', 'vit.blocks.0.mlp.fc2.bias']
    """
    found = dict(weights)
    for prefix in {match[1] for match in map(_ANCHOR.fullmatch, weights) if match}:
        own = {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.startswith(prefix)}
        found = {key: tensor for key, tensor in found.items() if not key.startswith(prefix)}
        found |= {prefix + key: tensor for key, tensor in _renamed(own).items()}
    return found


def _renamed(weights: Weights) -> dict[str, torch.Tensor]:
    inside = _INSIDE | (_GATED if any("mlp.gate_proj." in key for key in weights) else {})
    # Only DINOv3 has no positions: it turns queries and keys by them.
    registers = "register_tokens" if "embeddings.position_embeddings" in weights else "storage_tokens"
    outside = _OUTSIDE | {"embeddings.register_tokens": registers}
    found = {}
    for key, tensor in weights.items():
        block = _BLOCK.fullmatch(key)
        if block:
            found[f"blocks.{block[1]}.{_renamed_part(block[2], inside)}"] = tensor
        elif not key.startswith("pooler."):
            found[_renamed_part(key, outside)] = tensor
    return _with_joined_attention(found)


def _renamed_part(key: str, names: Mapping[str, str]) -> str:
    """The new name of a layer or of a parameter, whichever the names have."""
    layer, dot, parameter = key.rpartition(".")
    return names.get(key) or f"{names.get(layer, layer)}{dot}{parameter}"


def _with_joined_attention(weights: Weights) -> dict[str, torch.Tensor]:
    """Queries, keys and values as one tensor; a bias that keys do not have is 0."""
    found = dict(weights)
    for key in weights:
        layer, dot, parameter = key.rpartition("attn.q.")
        names = [f"{layer}attn.{one}.{parameter}" for one in "qkv"]
        if not dot or names[2] not in weights:
            continue
        parts = [weights.get(name, torch.zeros_like(weights[key])) for name in names]
        found = {name: tensor for name, tensor in found.items() if name not in names}
        found[f"{layer}attn.qkv.{parameter}"] = torch.cat(parts)
    return found
