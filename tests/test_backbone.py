"""Backbones from files: ctprune's own, torchvision's, Lightning's as the published code wrote them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

import ctprune
from ctprune.networks.architectures import RESNETS, resnet_of
from ctprune.networks.backbone import backbone_metadata, create_backbone, save_backbone
from ctprune.networks.gray_backbone import repeat_gray
from ctprune.networks.weights_file import read_weights


@pytest.fixture(scope="module")
def resnet() -> Any:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return torchvision.models.resnet18(weights=None).eval()


@pytest.fixture(scope="module")
def picture() -> Any:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def features(resnet: Any, picture: Any) -> Any:
    """The pooled features by torchvision's own steps."""
    with torch.inference_mode():
        found = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(picture))))
        for layer in (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4):
            found = layer(found)
        return found.mean(dim=(2, 3))


def prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + key: value for key, value in state.items()}


def layouts(state: dict[str, Any]) -> dict[str, Any]:
    """Ways in which the weights of one network are met in files."""
    other = {key: torch.zeros_like(value) for key, value in state.items()}
    head = {"projection_head.0.weight": torch.zeros(4, 4), "prototypes.weight": torch.zeros(3, 4)}
    return {
        "torchvision": state,
        "data parallel": prefixed(state, "module."),
        "SwAV": {"state_dict": prefixed(state | head, "model."), "epoch": 800, "optimizer_states": []},
        "MoCo": {"state_dict": prefixed(state, "encoder_q.") | prefixed(other, "encoder_k.")},
        "BYOL": {
            "state_dict": prefixed(state, "online_network.encoder.")
            | prefixed(other, "target_network.encoder.")
            | {"online_network.projector.model.0.weight": torch.zeros(2, 2)}
        },
        "compiled": {"state_dict": prefixed(state, "model._orig_mod.")},
        "Lightning with settings": {
            "state_dict": prefixed(state, "model."),
            "hyper_parameters": argparse.Namespace(lr=0.1),
        },
    }


@pytest.mark.parametrize(
    "layout",
    ["torchvision", "data parallel", "SwAV", "MoCo", "BYOL", "compiled", "Lightning with settings"],
)
def test_every_layout_gives_the_same_features(resnet: Any, picture: Any, tmp_path: Path, layout: str) -> None:
    torch.save(layouts(resnet.state_dict())[layout], tmp_path / "weights.ckpt")
    backbone = ctprune.load_backbone(tmp_path / "weights.ckpt").eval()
    assert backbone.num_features == 512
    with torch.inference_mode():
        torch.testing.assert_close(backbone(picture), features(resnet, picture), rtol=0, atol=1e-6)


def test_what_is_saved_is_loaded(tmp_path: Path, picture: Any) -> None:
    backbone = create_backbone("resnet18").to(memory_format=torch.channels_last).eval()
    file = tmp_path / "pre" / "backbone.safetensors"
    settings = {"method": "swav", "manifest_digest": "00ff", "settings": {"epochs": 3}}
    save_backbone(backbone, file, name="resnet18", metadata=settings)
    again = ctprune.load_backbone(file).eval()
    with torch.inference_mode():
        torch.testing.assert_close(again(picture), backbone(picture))
    assert settings.items() <= backbone_metadata(file).items()
    assert [path.name for path in file.parent.iterdir()] == ["backbone.safetensors"]
    # Other programs need only the format's own library.
    plain = torchvision.models.resnet18()
    plain.fc = torch.nn.Identity()
    from safetensors.torch import load_file

    plain.load_state_dict(load_file(file))


@pytest.mark.parametrize("name", RESNETS)
def test_the_architecture_is_told_from_the_shapes(name: str) -> None:
    with torch.device("meta"):
        assert resnet_of(torchvision.models.get_model(name).state_dict()) == name


def test_gray_is_repeated_without_a_copy() -> None:
    gray = torch.rand(2, 1, 4, 5)
    repeated = repeat_gray(gray)
    assert repeated.shape == (2, 3, 4, 5)
    assert repeated.data_ptr() == gray.data_ptr()
    assert torch.equal(repeated[:, 2], gray[:, 0])
    assert repeat_gray(repeated) is not gray


class Hostile:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch hostile-code-has-run",)


def test_pickled_objects_are_refused(resnet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": resnet.state_dict(), "extra": Hostile()}, tmp_path / "hostile.ckpt")
    with pytest.raises(ctprune.WeightsError, match="pickled objects"):
        ctprune.load_backbone(tmp_path / "hostile.ckpt")
    assert not (tmp_path / "hostile-code-has-run").exists()


def test_mistakes_are_one_sentence(resnet: Any, tmp_path: Path) -> None:
    state = resnet.state_dict()
    torch.save(state, tmp_path / "good.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "good.pth").read_bytes()[:100_000])
    (tmp_path / "text.pth").write_text("not weights at all")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    torch.save({"w": torch.zeros(2)}, tmp_path / "other.pth")
    torch.save({key: value for key, value in state.items() if key != "bn1.weight"}, tmp_path / "short.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"\xff\0\0\0\0\0\0\0{")
    expected = {
        "missing.pth": "expected a file of weights, found none",
        ".": "found a folder without backbone.safetensors or model.safetensors",
        "cut.pth": "damaged or cut short",
        "text.pth": "expected a checkpoint of torch or safetensors",
        "empty.pth": "expected a checkpoint of torch or safetensors",
        "list.pth": "found list",
        "none.pth": "found none",
        "other.pth": r"expected weights of a ResNet or a transformer, found 1 tensor \('w'\): if these are of an",
        "short.pth": "expected weights of resnet18, found no bn1.weight",
        "bad.safetensors": "the safetensors file is damaged",
    }
    for name, sentence in expected.items():
        with pytest.raises(ctprune.WeightsError, match=sentence):
            ctprune.load_backbone(tmp_path / name)
    with pytest.raises(
        ctprune.WeightsError,
        match=r"expected weights of resnet50, found those of resnet18: give that as `backbone`",
    ):
        ctprune.load_backbone(tmp_path / "good.pth", name="resnet50")
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "r34.pth")
    with pytest.raises(ctprune.WeightsError, match=r"expected weights of resnet18, found those of resnet34: give"):
        ctprune.load_backbone(tmp_path / "r34.pth", name="resnet18")
    # As no network of torchvision has them.
    torch.save(state | {"layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3)}, tmp_path / "more.pth")
    with pytest.raises(ctprune.WeightsError, match=r"expected weights of resnet18, also found layer1.2"):
        ctprune.load_backbone(tmp_path / "more.pth", name="resnet18")
    torch.save(state | {"layer1.0.conv1.weight": torch.zeros(64, 64, 5, 5)}, tmp_path / "wide.pth")
    with pytest.raises(ctprune.WeightsError, match=r"resnet18 with layer1.0.conv1.weight of shape .*, found"):
        ctprune.load_backbone(tmp_path / "wide.pth", name="resnet18")
    with pytest.raises(ctprune.ConfigError, match="expected one of resnet50"):
        create_backbone("resnet5000")


def test_without_torch_one_sentence_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import ctprune\n"
        "try:\n    ctprune.load_backbone('x')\n"
        "except ctprune.MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "needs the extra train: pip install 'ctprune[train]'" in done.stdout


def small_backbone(file: Path) -> Any:
    module = torch.nn.Linear(3, 2)
    save_backbone(module, file, name="resnet18", metadata={"mean": 0.1875, "std": 0.25})
    return module


def test_every_flipped_bit_of_a_backbone_is_told_or_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "backbone.safetensors"
    small_backbone(file)
    whole = file.read_bytes()
    weights, metadata = read_weights(file)
    refused: list[str] = []
    for bit in range(0, 8 * len(whole), 3):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        try:
            found, described = read_weights(file)
        except ctprune.WeightsError as error:
            refused.append(str(error))
        else:
            # Spaces that fill up the header may become others.
            assert described == metadata
            assert all(torch.equal(found[name], weights[name]) for name in (*found, *weights))
    assert len(refused) > 0.99 * 8 * len(whole) / 3
    assert all(sentence.startswith(f"{file}: ") for sentence in refused)


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    program = (
        "import resource, sys, torch; from ctprune.networks.backbone import save_backbone;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "save_backbone(torch.nn.Linear(300, 300), sys.argv[1], name='x', metadata={})"
    )
    pytest.importorskip("resource", reason="Windows has no limits of this kind")
    file = tmp_path / "backbone.safetensors"
    file.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=False)
    assert (
        done.stderr.strip().splitlines()[-1].startswith(f"ctprune.errors.OutputError: {file}: cannot be written: ")
    )
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(file.name, b"old")]
