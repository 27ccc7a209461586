"""Files with the keys of published weights, made of random ones by renaming."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

import ctprune
from ctprune.embedding.embedder import Embedder
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.network import new_backbone
from ctprune.networks.backbone import backbone_metadata, create_backbone, save_backbone
from ctprune.networks.gray_backbone import Normalization
from ctprune.networks.pretrained import Pretrained

State = dict[str, Tensor]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def randomized(name: str) -> Any:
    """A network with noise in all its weights, so that none is 0 or 1 as it was at the beginning."""
    network = create_backbone(name).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def under(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


def zeros(state: State) -> State:
    return {key: torch.zeros_like(value) for key, value in state.items()}


def same_features(network: Any, file: Path, name: str, *, given: str | None = None, size: int = 32) -> None:
    loaded = ctprune.load_backbone(file, name=given).eval()
    assert loaded.architecture == name
    picture = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(picture), network(picture), rtol=1e-4, atol=1e-5)


HEAD = {"head.mlp.0.weight": torch.zeros(4, 4), "head.last_layer.weight_v": torch.zeros(4, 4)}


def dinov2(network: Any) -> State:
    """Its published keys: positions of the class token and the patches, registers besides."""
    state = network.state_dict()
    state["mask_token"] = torch.randn(1, 384)
    if "reg_token" in state:
        of_class = torch.randn(1, 1, 384)
        state["register_tokens"] = state.pop("reg_token")
        state["cls_token"] = state["cls_token"] - of_class
        state["pos_embed"] = torch.cat([of_class, state["pos_embed"]], dim=1)
    assert state["pos_embed"].shape == (1, 1 + 37 * 37, 384)
    return dict(state)


def dinov3(network: Any) -> State:
    """Its published keys: registers are storage tokens, biases of keys are there, but masked."""
    state = {"mask_token": torch.randn(1, 384), "rope_embed.periods": torch.ones(16)}
    renamed = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
    renamed |= {"fc1_g": "w1", "fc1_x": "w2"}
    gated = any("fc1_g" in key for key in network.state_dict())
    for key, value in network.state_dict().items():
        new = key
        for old, published in (renamed | ({"fc2": "w3"} if gated else {})).items():
            new = new.replace(old, published)
        if new.endswith("attn.q_bias"):
            values = network.state_dict()[key.replace("q_bias", "v_bias")]
            state[new.replace("q_bias", "qkv.bias")] = torch.cat([value, torch.randn(384), values])
        elif not new.endswith("v_bias"):
            state[new] = value
        if new.endswith("qkv.weight"):
            of_block = new.removesuffix("weight")
            state.setdefault(f"{of_block}bias", torch.cat([torch.zeros(384), torch.randn(384), torch.zeros(384)]))
            state[f"{of_block}bias_mask"] = torch.cat([torch.ones(384), torch.zeros(384), torch.ones(384)])
    return state


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2"])
def test_dinov2(name: str, tmp_path: Path) -> None:
    network = randomized(name)
    torch.save(dinov2(network), tmp_path / "dinov2_vits14_pretrain.pth")
    same_features(network, tmp_path / "dinov2_vits14_pretrain.pth", name, size=42)
    same_features(network, tmp_path / "dinov2_vits14_pretrain.pth", name, given=name, size=42)


def test_dinov2_s_teacher_in_a_checkpoint_with_chunks_of_blocks(tmp_path: Path) -> None:
    network = randomized("vit_small_patch14_dinov2")
    state = {}
    for key, value in dinov2(network).items():
        parts = key.split(".")
        chunk = [str(int(parts[1]) // 3)] if parts[0] == "blocks" else []
        state[".".join(["backbone", parts[0], *chunk, *parts[1:]])] = value
    assert "backbone.blocks.3.11.norm1.weight" in state
    teacher = state | under("dino_head.", HEAD)
    torch.save({"teacher": teacher}, tmp_path / "teacher_checkpoint.pth")
    same_features(network, tmp_path / "teacher_checkpoint.pth", "vit_small_patch14_dinov2", size=28)


@pytest.mark.parametrize(
    "name", ["vit_small_patch16_dinov3", "vit_small_patch16_dinov3_qkvb", "vit_small_plus_patch16_dinov3"]
)
def test_dinov3(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = randomized(name)
    torch.save(dinov3(network), tmp_path / "dinov3.pth")
    same_features(network, tmp_path / "dinov3.pth", name)
    assert capsys.readouterr().out == ""
    if name.endswith("_qkvb"):
        with pytest.raises(
            ctprune.WeightsError, match="found those of vit_small_patch16_dinov3_qkvb: give that as"
        ):
            ctprune.load_backbone(tmp_path / "dinov3.pth", name="vit_small_patch16_dinov3")


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18"])
def test_dino_s_checkpoint_gives_the_teacher(name: str, tmp_path: Path) -> None:
    network = randomized(name)
    state = network.state_dict()
    content = {
        "student": under("module.backbone.", zeros(state)) | under("module.", HEAD),
        "teacher": under("backbone.", state) | HEAD,
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_tiny"),
        "dino_loss": {"center": torch.zeros(1, 4)},
    }
    torch.save(content, tmp_path / "checkpoint.pth")
    same_features(network, tmp_path / "checkpoint.pth", name)
    # What is published for transfer is the backbone alone.
    torch.save(state, tmp_path / "pretrain.pth")
    same_features(network, tmp_path / "pretrain.pth", name)


def test_finetuning_and_deep_start_from_such_files(tmp_path: Path) -> None:
    network = randomized("vit_tiny_patch16_224")
    torch.save(network.state_dict(), tmp_path / "pretrain.pth")
    weights = Pretrained.find(tmp_path / "pretrain.pth")
    module, name = new_backbone(FinetuneConfig(side=32), weights, seed=0)
    assert name == "vit_tiny_patch16_224"
    assert torch.equal(module.state_dict()["pos_embed"], network.state_dict()["pos_embed"])
    embedder = Embedder(tmp_path / "pretrain.pth")
    gray = np.arange(2 * 32 * 32, dtype=np.uint8).reshape(2, 32, 32)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in IMAGENET)
    pictures = (torch.tensor(gray)[:, None].expand(-1, 3, -1, -1) / 255 - mean) / std
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(network(pictures), dim=1)
    np.testing.assert_allclose(embedder.embed(gray), expected.numpy(), atol=2e-3)


def test_moco_s_and_swav_s_checkpoints(tmp_path: Path) -> None:
    network = randomized("resnet18")
    state = network.state_dict()
    head = {"fc.0.weight": torch.zeros(4, 512), "fc.0.bias": torch.zeros(4)}
    moco = under("module.encoder_q.", state | head) | under("module.encoder_k.", zeros(state | head))
    content = {"epoch": 200, "arch": "resnet18", "state_dict": {**moco, "module.queue": torch.zeros(4, 8)}}
    torch.save(content, tmp_path / "moco.pth.tar", _use_new_zipfile_serialization=False)
    same_features(network, tmp_path / "moco.pth.tar", "resnet18")
    swav = state | {"projection_head.0.weight": torch.zeros(4, 512), "prototypes.weight": torch.zeros(3, 4)}
    torch.save(under("module.", swav), tmp_path / "swav.pth.tar", _use_new_zipfile_serialization=False)
    same_features(network, tmp_path / "swav.pth.tar", "resnet18")


@pytest.mark.parametrize("prefix", ["backbone.", "module.backbone.", ""])
def test_radimagenet_s_numbered_parts(prefix: str, tmp_path: Path) -> None:
    resnet = torchvision.models.resnet18().eval()
    sequence = torch.nn.Sequential(*list(resnet.children())[:-1])
    torch.save(under(prefix, sequence.state_dict()), tmp_path / "ResNet18.pt")
    resnet.fc = torch.nn.Identity()  # type: ignore[assignment]
    same_features(resnet, tmp_path / "ResNet18.pt", "resnet18")
    same_features(resnet, tmp_path / "ResNet18.pt", "resnet18", given="resnet18")


def test_a_folder_of_timm_says_what_it_is(tmp_path: Path) -> None:
    network = timm.create_model("test_vit2", num_classes=7).eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    config = {
        "architecture": "test_vit2",
        "num_classes": 7,
        "pretrained_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    network.reset_classifier(0)
    for path in (tmp_path, tmp_path / "model.safetensors"):
        same_features(network, path, "test_vit2")
        expected = Normalization((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
        assert Normalization.of_weights(Pretrained.find(path).metadata) == expected
    for damaged in (
        '{"architecture": 3}',
        "{",
        "[]",
        '{"architecture": "test_vit2", "pretrained_cfg": {"mean": 1}}',
    ):
        (tmp_path / "config.json").write_text(damaged)
        assert set(backbone_metadata(tmp_path)) <= {"backbone"}


def test_a_folder_that_convert_wrote_is_read(tmp_path: Path) -> None:
    network = randomized("test_vit")
    save_backbone(network, tmp_path / "b.safetensors", name="test_vit", metadata={"mean": 0.2, "std": 0.3})
    ctprune.convert_backbone(tmp_path / "b.safetensors", tmp_path / "folder", to="timm", side=32)
    same_features(network, tmp_path / "folder", "test_vit")
    assert Normalization.of_weights(backbone_metadata(tmp_path / "folder")).mean == (0.2,)


def test_positions_are_resampled(tmp_path: Path) -> None:
    small = randomized("vit_tiny_patch16_224")
    large = timm.create_model("vit_tiny_patch16_224", img_size=384, num_classes=0)
    state = small.state_dict() | {"pos_embed": torch.randn_like(large.pos_embed)}
    torch.save(state, tmp_path / "of_384.pth")
    loaded: Any = ctprune.load_backbone(tmp_path / "of_384.pth", name="vit_tiny_patch16_224")
    of_patches = state["pos_embed"][:, 1:].reshape(1, 24, 24, -1).permute(0, 3, 1, 2)
    resampled = torch.nn.functional.interpolate(of_patches, size=(14, 14), mode="bicubic", antialias=True)
    expected = torch.cat([state["pos_embed"][:, :1], resampled.flatten(2).mT], dim=1)
    torch.testing.assert_close(loaded.pos_embed.detach(), expected)


def test_files_of_other_networks_are_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(dinov2(create_backbone("vit_small_patch14_dinov2")), file)
    sentence = (
        rf"^{file}: expected weights of {{}}, found those of vit_small_patch14_dinov2: give that as `backbone`$"
    )
    for name in ("resnet50", "vit_small_patch16_224", "vit_base_patch14_dinov2", "vit_small_patch14_reg4_dinov2"):
        with pytest.raises(ctprune.WeightsError, match=sentence.format(name)):
            ctprune.load_backbone(file, name=name)
    # Kernels are not resampled, as a network with other kernels is another one.
    torch.save(create_backbone("vit_tiny_patch16_224").state_dict(), file)
    with pytest.raises(ctprune.WeightsError, match="found those of vit_tiny_patch16_224"):
        ctprune.load_backbone(file, name="vit_small_patch8_224")
    # Whatever else it may be, it has what no transformer of DINO has.
    state = create_backbone("vit_tiny_patch16_224").state_dict() | {"norm_pre.weight": torch.zeros(192)}
    torch.save(state, file)
    with pytest.raises(ctprune.WeightsError, match=r"no transformer of DINO, DINOv2 or DINOv3: name the arch"):
        ctprune.load_backbone(file)
    torch.save({"patch_embed.proj.weight": torch.zeros(192, 3, 16, 16)}, file)
    with pytest.raises(ctprune.WeightsError, match=r"no transformer of DINO, DINOv2 or DINOv3"):
        ctprune.load_backbone(file)
