"""Weights of Hugging Face's transformers, made of random ones by renaming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import ctprune
from ctprune.networks.backbone import backbone_metadata, create_backbone
from ctprune.networks.gray_backbone import IMAGENET_NORMALIZATION, Normalization
from tests.test_published_weights import HEAD, State, dinov2, dinov3, one_thread, randomized, same_features, under

__all__ = ["one_thread"]

#: Names of layers in the files of transformers, by those in timm and by the kind of model.
OUTSIDE = {
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "pos_embed": "embeddings.position_embeddings",
    "cls_token": "embeddings.cls_token",
    "mask_token": "embeddings.mask_token",
    "register_tokens": "embeddings.register_tokens",
    "norm": "layernorm",
}
DINOV2 = {
    "attn.q": "attention.attention.query",
    "attn.k": "attention.attention.key",
    "attn.v": "attention.attention.value",
    "attn.proj": "attention.output.dense",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
}
VIT = {
    "attn.q": "attention.attention.query",
    "attn.k": "attention.attention.key",
    "attn.v": "attention.attention.value",
    "attn.proj": "attention.output.dense",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
DINOV3 = {
    "attn.q": "attention.q_proj",
    "attn.k": "attention.k_proj",
    "attn.v": "attention.v_proj",
    "attn.proj": "attention.o_proj",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
    "mlp.fc1": "mlp.up_proj",
    "mlp.fc2": "mlp.down_proj",
    "mlp.w1": "mlp.gate_proj",
    "mlp.w2": "mlp.up_proj",
    "mlp.w3": "mlp.down_proj",
}


def of_transformers(state: State, inside: dict[str, str], blocks: str, outside: dict[str, str]) -> State:
    """Rename a published transformer's weights; queries, keys and values are three layers."""
    found = {}
    for key, tensor in state.items():
        if not key.startswith("blocks."):
            layer, dot, parameter = key.rpartition(".")
            found[outside.get(key) or f"{outside.get(layer, layer)}{dot}{parameter}"] = tensor
            continue
        number, _, part = key.removeprefix("blocks.").partition(".")
        for name, value in apart(part, tensor):
            layer, dot, parameter = name.rpartition(".")
            found[f"{blocks}.{number}.{inside.get(name) or inside.get(layer, layer) + dot + parameter}"] = value
    return {key: tensor.contiguous() for key, tensor in found.items()}


def apart(part: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    if not part.startswith("attn.qkv."):
        return [(part, tensor)]
    parameter = part.removeprefix("attn.qkv.")
    return [(f"attn.{one}.{parameter}", value) for one, value in zip("qkv", tensor.chunk(3), strict=True)]


def dinov2_of_transformers(network: Any) -> State:
    return of_transformers(dinov2(network), DINOV2, "encoder.layer", OUTSIDE)


@pytest.mark.parametrize(
    ("name", "prefix"), [("vit_small_patch14_dinov2", "dinov2."), ("vit_small_patch14_reg4_dinov2", "")]
)
def test_dinov2(name: str, prefix: str, tmp_path: Path) -> None:
    network = randomized(name)
    state = under(prefix, dinov2_of_transformers(network))
    assert f"{prefix}encoder.layer.11.attention.attention.value.bias" in state
    head = {"classifier.weight": torch.zeros(2, 768)} if prefix else {}
    save_file(state | head, tmp_path / "model.safetensors")
    same_features(network, tmp_path, name, size=28)
    same_features(network, tmp_path / "model.safetensors", name, given=name, size=28)
    with pytest.raises(ctprune.WeightsError, match=f"found those of {name}: give that"):
        ctprune.load_backbone(tmp_path, name="vit_tiny_patch16_224")


@pytest.mark.parametrize(
    "name", ["vit_small_patch16_dinov3", "vit_small_patch16_dinov3_qkvb", "vit_small_plus_patch16_dinov3"]
)
def test_dinov3(name: str, tmp_path: Path) -> None:
    network = randomized(name)
    outside = OUTSIDE | {
        "patch_embed.proj": "embeddings.patch_embeddings",
        "storage_tokens": "embeddings.register_tokens",
        "norm": "norm",
    }
    published = {key: tensor for key, tensor in dinov3(network).items() if not key.endswith("bias_mask")}
    state = of_transformers(published, DINOV3, "layer", outside)
    # Keys have no bias there, and the angles are no weights.
    state = {key: tensor for key, tensor in state.items() if not key.endswith("k_proj.bias")}
    del state["rope_embed.periods"]
    assert "layer.11.attention.v_proj.bias" in state
    torch.save(state, tmp_path / "pytorch_model.bin")
    same_features(network, tmp_path, name)


@pytest.mark.parametrize("prefix", ["", "vit."])
def test_vit(prefix: str, tmp_path: Path) -> None:
    network = randomized("vit_tiny_patch16_224")
    state = under(prefix, of_transformers(network.state_dict(), VIT, "encoder.layer", OUTSIDE))
    beside = {"classifier.bias": torch.zeros(2)} if prefix else {"pooler.dense.weight": torch.zeros(192, 192)}
    save_file(state | beside, tmp_path / "model.safetensors")
    same_features(network, tmp_path, "vit_tiny_patch16_224")


def test_the_preprocessor_s_mean_and_standard_deviation_are_taken(tmp_path: Path) -> None:
    save_file(dinov2_of_transformers(create_backbone("vit_small_patch14_dinov2")), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dinov2", "hidden_size": 384}))
    assert Normalization.of_weights(backbone_metadata(tmp_path)) == IMAGENET_NORMALIZATION
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({"image_mean": [0.53, 0.53, 0.53], "image_std": [0.26, 0.26, 0.26], "size": 518}))
    expected = Normalization((0.53, 0.53, 0.53), (0.26, 0.26, 0.26))
    assert Normalization.of_weights(backbone_metadata(tmp_path)) == expected
    for damaged in ("{", "[]", '{"image_mean": 1, "image_std": 2}', '{"image_mean": [1, 2, 3]}'):
        file.write_text(damaged)
        assert backbone_metadata(tmp_path) == {}


def test_incomplete_weights_are_one_sentence(tmp_path: Path) -> None:
    state = dinov2_of_transformers(create_backbone("vit_small_patch14_dinov2"))
    del state["encoder.layer.3.attention.attention.value.weight"]
    save_file(state | HEAD, tmp_path / "model.safetensors")
    with pytest.raises(
        ctprune.WeightsError,
        match=r"^.*expected weights of vit_small_patch14_dinov2, found no blocks\.3\.attn\.qkv\.weight$",
    ):
        ctprune.load_backbone(tmp_path)
