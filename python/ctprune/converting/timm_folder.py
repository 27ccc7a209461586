"""Backbones as a folder of timm's, which the Hugging Face Hub takes as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
from timm.models import save_for_hf

from ctprune.converting.card import write_card
from ctprune.networks.architectures import with_width
from ctprune.networks.backbone import save_backbone
from ctprune.networks.foreign import HUB_NAMES
from ctprune.networks.gray_backbone import GrayBackbone, Normalization
from ctprune.networks.weights_file import refused_by_system

#: What the Hub reads at the beginning of a card. It says no license: that is the owner's to give.
_FRONT = "---\nlibrary_name: timm\ntags:\n- image-feature-extraction\n- timm\n- medical\n- ct\n---\n"

_USE = """```python
import timm

backbone = timm.create_model("local-dir:FOLDER", pretrained=True)  # on the Hub: "hf-hub:NAME/OF-IT"
```"""


def write_folder(
    network: GrayBackbone, folder: Path, side: int, weights: Path, metadata: Mapping[str, Any]
) -> None:
    """Write a network as `model.safetensors`, `config.json` and `README.md`.

    Args:
        network: The network, whose architecture is one that timm has under the same name.
        folder: An empty folder.
        side: Rows and columns of an image.
        weights: The file of weights.
        metadata: Facts about its training; they stay in the file of weights, and the model card shows them.
    """
    name, normalization = str(network.backbone.architecture), Normalization.of_weights(metadata)
    model = _without_classifier(name.partition(".")[0], pretrained=False)
    model.load_state_dict(network.backbone.state_dict())
    data = {
        "input_size": (3, side, side),
        "mean": _of_three(normalization.mean),
        "std": _of_three(normalization.std),
        "crop_pct": 1.0,
        "interpolation": "bilinear",
    }
    with refused_by_system(folder, folder.name):
        save_for_hf(model, str(folder), model_config={"num_classes": 0}, safe_serialization=True, data_config=data)
    # timm's own files of weights have no place for what an input means beyond its size, such as its channels.
    input_facts = {"mean": list(normalization.mean), "std": list(normalization.std)}
    save_backbone(network.backbone, folder / HUB_NAMES[0], name=name, metadata={**metadata, **input_facts})
    write_card(folder, weights, metadata, name, use=_USE, front=_FRONT)


def features_of_folder(folder: Path) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """What timm makes of images, uint8 of shape (n, rows, columns), with a folder of `write_folder`."""
    model = _without_classifier(f"local-dir:{folder}", pretrained=True).eval()
    config: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    network = GrayBackbone(with_width(model), Normalization(tuple(config["mean"]), tuple(config["std"]))).eval()

    def features(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(images)).numpy())

    return features


def _without_classifier(name: str, *, pretrained: bool) -> torch.nn.Module:
    model: torch.nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0)
    return model


def _of_three(values: tuple[float, ...]) -> tuple[float, ...]:
    return values * (3 // len(values))
