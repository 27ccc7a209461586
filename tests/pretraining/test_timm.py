"""Backbones of timm: convolutional ones and transformers, from pre-training to fine-tuning."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import ctprune
from ctprune.networks.architectures import check_size
from ctprune.networks.backbone import backbone_metadata, create_backbone, save_backbone
from ctprune.pretraining.run import PretrainingRun
from tests.labeled import write
from tests.pretraining.tiny import stopped_after, tiny

NAMES = ("resnet10t", "vit_tiny_patch16_224", "convnext_atto")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "method"),
    # A view of 16 pixels, the small ones of swav here, is too little for a ConvNeXt.
    [("resnet10t", "swav"), ("vit_tiny_patch16_224", "dino"), ("convnext_atto", "byol"), ("test_vit", "mae")],
)
def test_pretrain_resume_and_finetune(
    name: str, method: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(method, backbone=name, steps=3)
    whole = ctprune.pretrain(run, config, out=tmp_path / "whole")
    with stopped_after(2, monkeypatch), pytest.raises(ctprune.Interrupted):
        ctprune.pretrain(run, config, out=tmp_path / "parts")
    parts = PretrainingRun(run, tmp_path / "parts", config, resume=True).carry_out()
    own, other = (ctprune.load_backbone(result.backbone).state_dict() for result in (whole, parts))
    assert all(torch.equal(own[key], other[key]) for key in own)
    assert backbone_metadata(whole.backbone)["backbone"] == name
    for number in range(8):
        write(tmp_path / "data" / "ab"[number % 2] / f"{number}.png", ill=number % 2 == 1, number=number)
    small: dict[str, Any] = {
        "side": 32,
        "batch_size": 4,
        "device": "cpu",
        "epochs": 1,
        "seeds": 1,
        "positive": "b",
    }
    result = ctprune.finetune(
        tmp_path / "data", out=tmp_path / "ft", weights=whole.backbone, val_fraction=0.5, **small
    )
    assert 0 <= result.pooled["accuracy"]["mean"] <= 1


def test_a_picture_gives_the_same_features_after_saving(tmp_path: Path) -> None:
    for name in NAMES:
        backbone = create_backbone(name).eval()
        save_backbone(backbone, tmp_path / "b.safetensors", name=name, metadata={})
        again = ctprune.load_backbone(tmp_path / "b.safetensors").eval()
        for size in (48, 64):
            with torch.inference_mode():
                picture = torch.rand(1, 3, size, size)
                assert again(picture).shape == (1, again.num_features)
                torch.testing.assert_close(again(picture), backbone(picture))


def test_files_of_timm_have_a_classifier_that_is_left_out(tmp_path: Path) -> None:
    for name in ("resnet10t", "convnext_atto"):
        torch.save(timm.create_model(name, num_classes=5).state_dict(), tmp_path / "timm.pt")
        own = ctprune.load_backbone(tmp_path / "timm.pt", name=name).state_dict()
        theirs = torch.load(tmp_path / "timm.pt", weights_only=True)
        assert all(torch.equal(own[key], theirs[key]) for key in own)
        assert len(own) == len(theirs) - 2


def test_the_width_of_features_is_that_of_what_comes_out() -> None:
    for name in ("mobilenetv3_small_050", "resnet10t.c3_in1k"):
        check_size(create_backbone(name), name, 64)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet10t.none", "or a name of timm"),
        ("coat_tiny", "does not take images of 32 × 32 pixels: Input height"),
    ],
)
def test_names_that_cannot_be_used(name: str, expected: str, run: Path, tmp_path: Path) -> None:
    with pytest.raises(ctprune.ConfigError, match=f"backbone {name}.*{expected}"):
        ctprune.pretrain(run, tiny(backbone=name), out=tmp_path / "pre")


def test_timm_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ctprune.ConfigError, match=r"not installed: pip install 'ctprune\[timm\]'"):
        create_backbone("resnet10t")
