"""Backbones for nnU-Net: plans with one more configuration, whose network holds the backbone, and its weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ctprune.converting.card import write_card
from ctprune.converting.nnunet_network import MULTIPLE, STRIDES, ResNetUNet
from ctprune.errors import ConfigError
from ctprune.files.json_files import write_json
from ctprune.finetuning.network import seeded
from ctprune.networks.architectures import RESNETS
from ctprune.networks.facts import channels_of
from ctprune.networks.gray_backbone import Normalization
from ctprune.networks.weights_file import refused_by_system
from ctprune.options.neighbors import GRAY

#: Rows and columns of the images that both networks are compared on, and how these are normalized.
SIDE, PLAIN = 64, Normalization((0.5,), (0.25,))

#: The configuration that the new one is made from, and the new one.
_BASE, _OWN = "2d", "2d_ctprune"

_WEIGHTS = "pretrained.pth"

_USE = """Install nnU-Net 2.5 or later and `ctprune[train]` in one environment, then:

```sh
cp {plans}.json "$nnUNet_preprocessed/DATASET/"
nnUNetv2_train DATASET {own} FOLD -p {plans} -pretrained_weights {weights}
```

nnU-Net normalizes images by itself. What the backbone saw in pre-training:"""


def read_plans(file: Path) -> dict[str, Any]:
    """Plans of nnU-Net that a configuration can be added to.

    Raises:
        ConfigError: The file holds no such plans, or none for images of one channel.
    """

    def refused(found: str, expected: str = "nnUNetPlans.json of nnU-Net 2.5 or later") -> ConfigError:
        return ConfigError(f"plans {file}: expected {expected}, {found}", field="plans")

    try:
        plans: dict[str, Any] = json.loads(file.read_text("utf-8"))
        configurations, name = plans["configurations"], plans["plans_name"]
    except OSError as error:
        raise refused(f"but it cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise refused("found something else") from None
    if not isinstance(name, str) or not isinstance(configurations, dict):
        raise refused("found something else")
    base = configurations.get(_BASE)
    if not isinstance(base, dict):
        raise refused(f"found {', '.join(configurations) or 'none'}", f"a configuration {_BASE}")
    if "architecture" not in base:
        raise refused("found those of an earlier version")
    channels = len(base.get("normalization_schemes", [None]))
    if channels != 1:
        raise refused(f"found {channels}", "images of one channel")
    sides = base.get("patch_size")
    if (
        not isinstance(sides, list)
        or len(sides) != 2
        or not all(isinstance(one, int) and one > 0 for one in sides)
    ):
        raise refused(f"found {sides}", "a patch_size of two whole numbers")
    return plans


def check_backbone(name: str, metadata: Mapping[str, Any]) -> None:
    """Refuse backbones that nnU-Net's images do not fit.

    Raises:
        ConfigError: It is no ResNet of torchvision, or sees neighboring slices.
    """
    if name not in RESNETS:
        raise ConfigError(
            f"to nnunet: expected a ResNet of torchvision, found {name}: ctprune segment trains it on nnU-Net's "
            "folders",
            field="to",
        )
    channels = channels_of(metadata)
    if channels != GRAY:
        raise ConfigError(
            f"to nnunet: the backbone sees `channels` {channels}, nnU-Net shows one slice", field="to"
        )


def write_folder(
    backbone: torch.nn.Module, folder: Path, plans: dict[str, Any], weights: Path, metadata: Mapping[str, Any]
) -> None:
    """Write plans, weights and a model card.

    Args:
        backbone: A ResNet of torchvision.
        folder: An empty folder.
        plans: Plans of nnU-Net, from `read_plans`; they are changed.
        weights: The file of weights.
        metadata: Facts about its training, for the model card.
    """
    name = str(backbone.architecture)
    arguments = {"backbone": name, "strides": [list(one) for one in STRIDES]}
    sides = plans["configurations"][_BASE]["patch_size"]
    plans["configurations"][_OWN] = {
        "inherits_from": _BASE,
        "patch_size": [-(-side // MULTIPLE) * MULTIPLE for side in sides],
        "architecture": {
            "network_class_name": f"{ResNetUNet.__module__}.{ResNetUNet.__qualname__}",
            "arch_kwargs": arguments,
            "_kw_requires_import": [],
        },
    }
    plans["plans_name"] += "_ctprune"
    with seeded(0):
        network = ResNetUNet(1, 2, name, STRIDES)
    network.encoder.backbone.load_state_dict(backbone.state_dict())
    with refused_by_system(folder, folder.name):
        torch.save({"network_weights": network.state_dict()}, folder / _WEIGHTS)
    write_json(folder / f"{plans['plans_name']}.json", plans)
    use = _USE.format(plans=plans["plans_name"], own=_OWN, weights=_WEIGHTS)
    write_card(folder, weights, metadata, name, use=use)


def features_of_folder(folder: Path) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """Pooled features of images, uint8 of shape (n, rows, columns), by the network in a folder of ours."""
    [file] = folder.glob("*.json")
    said = json.loads(file.read_text("utf-8"))["configurations"][_OWN]["architecture"]["arch_kwargs"]
    network = ResNetUNet(input_channels=1, num_classes=2, **said).eval()
    network.load_state_dict(torch.load(folder / _WEIGHTS, weights_only=True)["network_weights"])

    def features(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        gray = (torch.from_numpy(images)[:, None].float() / 255 - PLAIN.mean[0]) / PLAIN.std[0]
        with torch.inference_mode():
            return np.asarray(network.encoder(gray)[-1].mean(dim=(2, 3)).numpy())

    return features
