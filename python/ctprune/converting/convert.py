"""`ctprune convert`: a backbone as other programs read it, compared with the original before it is in place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from ctprune.converting import nnunet_folder
from ctprune.converting.config import ConvertConfig, ConvertOptions
from ctprune.converting.result import Converted
from ctprune.environment.extras import extra
from ctprune.errors import OutputError
from ctprune.files.atomic import check_free, new_folder, replace_file
from ctprune.networks.architectures import check_size
from ctprune.networks.backbone import backbone_file, backbone_metadata, load_backbone
from ctprune.networks.gray_backbone import GrayBackbone, Normalization, image_shape
from ctprune.options.configure import configure

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: What pictures are turned into that no pre-training says the size of.
_SIDE = 224

#: Largest difference between features, as a share of the largest feature: programs sum float32 in another order.
_TOLERANCE = 1e-4

Pixels = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]


def convert_backbone(
    weights: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: ConvertConfig | None = None,
    /,
    **options: Unpack[ConvertOptions],
) -> Converted:
    """Write a backbone as ONNX, as timm has it, or for nnU-Net.

    The features of random images are computed by both networks; if they differ, nothing is written.

    Args:
        weights: The folder of a pre-training, or a file that `ctprune.load_backbone` reads.
        out: New file (onnx) or new folder (timm, nnunet).
        config: What to write; cannot be combined with single options.
        options: Those of `ctprune.ConvertConfig`, such as `to="timm"`.

    Raises:
        ConfigError: An option that cannot be used.
        WeightsError: The weights cannot be read.
        MissingExtraError: The extra `onnx` or `timm` is not installed.
        OutputError: `out` is there already or cannot be written, or its features differ.

    >>> import tempfile
    >>> from ctprune.networks.backbone import create_backbone, save_backbone
    >>> folder = Path(tempfile.mkdtemp())
    >>> save_backbone(create_backbone("resnet18"), folder / "made.safetensors", name="resnet18", metadata={})
    >>> convert_backbone(folder / "made.safetensors", folder / "timm", to="timm", side=32).num_features
    512
    """
    config = configure(ConvertConfig, config, dict(options))
    out = Path(out)
    _check_new(out, config.to)
    plans = None if config.plans is None else nnunet_folder.read_plans(Path(config.plans))
    module = load_backbone(weights, name=config.backbone).eval()
    metadata = backbone_metadata(weights)
    name, side = str(module.architecture), config.side or _side_of(metadata)
    if plans is not None:
        nnunet_folder.check_backbone(name, metadata)
        side = nnunet_folder.SIDE
    check_size(module, name, side)
    network = GrayBackbone(module, Normalization.of_weights(metadata)).eval()
    if plans is not None:
        difference = _write_nnunet(module, out, plans, backbone_file(weights), metadata)
    elif config.to == "onnx":
        difference = _write_onnx(network, out, side, metadata)
    else:
        difference = _write_timm(network, out, side, backbone_file(weights), metadata)
    return Converted(out, config.to, name, side, network.num_features, difference)


def _check_new(out: Path, to: str) -> None:
    if to != "onnx":
        check_free(out)
    elif out.exists():
        raise OutputError(f"{out} already exists, and nothing is overwritten: choose a new file")


def _write_onnx(network: GrayBackbone, out: Path, side: int, metadata: Mapping[str, Any]) -> float:
    with extra("onnx", "convert to onnx"):
        from ctprune.converting.onnx_file import features_of_file, write_file
    with replace_file(out) as beside:
        write_file(network, beside, side, metadata)
        return _difference(network, image_shape(metadata, side), out, features_of_file(beside))


def _write_timm(network: GrayBackbone, out: Path, side: int, weights: Path, metadata: Mapping[str, Any]) -> float:
    with extra("timm", "convert to timm"):
        from ctprune.converting.timm_folder import features_of_folder, write_folder
    with new_folder(out) as beside:
        write_folder(network, beside, side, weights, metadata)
        return _difference(network, image_shape(metadata, side), out, features_of_folder(beside))


def _write_nnunet(
    module: torch.nn.Module, out: Path, plans: dict[str, Any], weights: Path, metadata: Mapping[str, Any]
) -> float:
    with new_folder(out) as beside:
        nnunet_folder.write_folder(module, beside, plans, weights, metadata)
        network = GrayBackbone(module, nnunet_folder.PLAIN).eval()
        shape = nnunet_folder.SIDE, nnunet_folder.SIDE
        return _difference(network, shape, out, nnunet_folder.features_of_folder(beside))


def _difference(
    network: GrayBackbone, shape: tuple[int, ...], out: Path, features: Callable[[Pixels], Features]
) -> float:
    """How far features of random images are from torch's.

    Raises:
        OutputError: Too far.
    """
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    found = features(images)
    largest = float(np.abs(expected).max()) or 1.0
    difference = float(np.abs(found - expected).max()) / largest
    if not difference <= _TOLERANCE:
        raise OutputError(
            f"{out}: its features differ from the backbone's by {difference:.1e} of the largest, expected at most "
            f"{_TOLERANCE:.0e}: nothing was written"
        )
    return difference


def _side_of(metadata: Mapping[str, Any]) -> int:
    crops = metadata.get("settings", {}).get("views", {}).get("crops") or [{"size": _SIDE}]
    return max(int(crop["size"]) for crop in crops)
