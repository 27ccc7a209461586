"""Backbones for nnU-Net: its plans build the network, its loader takes the weights, and its trainer can use both.

nnU-Net itself is no dependency; what it does with plans and weights is written here from its version 2.8.
"""

from __future__ import annotations

import json
import pydoc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ctprune
from ctprune.networks.backbone import create_backbone, load_backbone, save_backbone
from tests.conftest import Cli

BASE: dict[str, Any] = {
    "data_identifier": "nnUNetPlans_2d",
    "batch_size": 12,
    "patch_size": [96, 100],
    "normalization_schemes": ["CTNormalization"],
    "architecture": {"network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet"},
}


def plans(base: dict[str, Any] | None = BASE, **others: Any) -> dict[str, Any]:
    configurations = {"2d": base, "3d_fullres": {}} if base is not None else {"3d_fullres": {}}
    return {
        "dataset_name": "Dataset009_Spleen",
        "plans_name": "nnUNetPlans",
        "configurations": configurations,
    } | others


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "backbone.safetensors"
    save_backbone(create_backbone("resnet18"), file, name="resnet18", metadata={"mean": 0.2, "std": 0.3})
    return file


@pytest.fixture(scope="module")
def folder(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nnunet")
    (root / "nnUNetPlans.json").write_text(json.dumps(plans()))
    found = ctprune.convert_backbone(weights, root / "out", to="nnunet", plans=root / "nnUNetPlans.json")
    assert (found.backbone, found.num_features, found.largest_difference < 1e-4) == ("resnet18", 512, True)
    return root / "out"


def resolved(folder: Path) -> dict[str, Any]:
    """`PlansManager.get_configuration`."""
    configurations = json.loads((folder / "nnUNetPlans_ctprune.json").read_text())["configurations"]
    own = configurations["2d_ctprune"]
    found: dict[str, Any] = configurations[own["inherits_from"]] | own
    return found


def built(configuration: dict[str, Any], classes: int, channels: int = 1) -> Any:
    """`get_network_from_plans`, as a training calls it."""
    said = configuration["architecture"]
    arguments = dict(said["arch_kwargs"])
    for name in said["_kw_requires_import"]:
        arguments[name] = pydoc.locate(arguments[name])
    kind: Any = pydoc.locate(said["network_class_name"])
    network = kind(input_channels=channels, num_classes=classes, **arguments | {"deep_supervision": True})
    assert not hasattr(network, "initialize")
    return network


def load_pretrained(network: torch.nn.Module, file: Path) -> None:
    """`load_pretrained_weights`."""
    pretrained = torch.load(file, weights_only=False)["network_weights"]
    own = network.state_dict()
    for key in own:
        if ".seg_layers." not in key:
            assert own[key].shape == pretrained[key].shape, key
    network.load_state_dict(own | {key: value for key, value in pretrained.items() if ".seg_layers." not in key})


def test_nnunet_builds_the_network_and_loads_the_weights(weights: Path, folder: Path) -> None:
    configuration = resolved(folder)
    assert (configuration["data_identifier"], configuration["batch_size"]) == ("nnUNetPlans_2d", 12)
    assert configuration["patch_size"] == [96, 128]
    network = built(configuration, classes=4)
    load_pretrained(network, folder / "pretrained.pth")
    backbone = load_backbone(weights).eval()
    expected = backbone.state_dict()
    assert {key for key in network.encoder.backbone.state_dict()} == set(expected)
    assert all(torch.equal(value, expected[key]) for key, value in network.encoder.backbone.state_dict().items())
    images = torch.randn(2, 1, 96, 128)
    with torch.inference_mode():
        maps = network.eval().encoder(images)
        torch.testing.assert_close(maps[-1].mean(dim=(2, 3)), backbone(images.expand(-1, 3, -1, -1)))


def test_logits_have_the_sizes_of_nnunets_labels_and_train_all_weights(folder: Path) -> None:
    configuration = resolved(folder)
    network = built(configuration, classes=4)
    load_pretrained(network, folder / "pretrained.pth")
    # `nnUNetTrainer._get_deep_supervision_scales`.
    strides = np.vstack(configuration["architecture"]["arch_kwargs"]["strides"])
    scales = (1 / np.cumprod(strides, axis=0))[:-1]
    logits = network(torch.randn(2, 1, 96, 128))
    assert [tuple(one.shape) for one in logits] == [(2, 4, int(96 * a), int(128 * b)) for a, b in scales]
    torch.stack([one.square().mean() for one in logits]).sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
    # `nnUNetTrainer.set_deep_supervision_enabled`, for validation and prediction.
    network.decoder.deep_supervision = False
    images = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        alone = network.eval()(images)
        network.decoder.deep_supervision = True
        assert torch.equal(alone, network(images)[0])


def test_what_nnunet_had_stays_and_the_same_input_gives_the_same_files(
    weights: Path, folder: Path, tmp_path: Path
) -> None:
    written = json.loads((folder / "nnUNetPlans_ctprune.json").read_text())
    del written["configurations"]["2d_ctprune"]
    assert written == plans(plans_name="nnUNetPlans_ctprune")
    (tmp_path / "plans.json").write_text(json.dumps(plans()))
    ctprune.convert_backbone(weights, tmp_path / "again", to="nnunet", plans=tmp_path / "plans.json")
    one, other = (torch.load(at / "pretrained.pth")["network_weights"] for at in (folder, tmp_path / "again"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    card = (folder / "README.md").read_text()
    assert "nnUNetv2_train DATASET 2d_ctprune FOLD -p nnUNetPlans_ctprune -pretrained_weights" in card


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "expected nnUNetPlans.json of nnU-Net 2.5 or later, found something else"),
        ("[]", "found something else"),
        (json.dumps(plans(None)), "expected a configuration 2d, found 3d_fullres"),
        (json.dumps(plans({"patch_size": [64, 64]})), "found those of an earlier version"),
        (
            json.dumps(plans(BASE | {"normalization_schemes": ["a", "b"]})),
            "expected images of one channel, found 2",
        ),
        (json.dumps(plans(BASE | {"patch_size": [64]})), "expected a patch_size of two whole numbers"),
    ],
)
def test_plans_that_cannot_be_used(content: str, sentence: str, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "plans.json").write_text(content)
    with pytest.raises(ctprune.ConfigError, match=sentence):
        ctprune.convert_backbone(weights, tmp_path / "out", to="nnunet", plans=tmp_path / "plans.json")
    assert not (tmp_path / "out").exists()


def test_backbones_that_nnunet_cannot_use(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.safetensors"
    given = folder.parent / "nnUNetPlans.json"
    for name, metadata, sentence in [
        ("test_vit", {}, "expected a ResNet of torchvision, found test_vit: ctprune segment"),
        ("resnet18", {"channels": "neighbors:5"}, "the backbone sees `channels` neighbors:5"),
    ]:
        save_backbone(create_backbone(name), file, name=name, metadata=metadata)
        with pytest.raises(ctprune.ConfigError, match=sentence):
            ctprune.convert_backbone(file, tmp_path / "out", to="nnunet", plans=given)
    with pytest.raises(ctprune.ConfigError, match="input_channels 2: expected images of one channel"):
        built(resolved(folder), classes=2, channels=2)
    configuration = resolved(folder)
    configuration["architecture"]["arch_kwargs"]["strides"].pop()
    with pytest.raises(ctprune.ConfigError, match="expected those that ctprune convert wrote"):
        built(configuration, classes=2)


def test_options_and_the_command(weights: Path, folder: Path, tmp_path: Path, cli: Cli) -> None:
    for options, sentence in [
        ({"to": "nnunet"}, "to nnunet needs `plans`, the nnUNetPlans.json of the data set"),
        ({"to": "timm", "plans": "a.json"}, "plans belongs to `to` nnunet, not to timm"),
        ({"to": "nnunet", "plans": "a.json", "side": 64}, "side 64: belongs to `to` onnx or timm"),
    ]:
        with pytest.raises(ctprune.ConfigError, match=sentence):
            ctprune.ConvertConfig(**options)
    done = cli("convert", weights, "--to", "nnunet", "--plans", tmp_path / "none.json", "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be read: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr
