"""A backbone on 8-bit gray images: each becomes three channels, normalized as the backbone was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ctprune.networks.device import autocast
from ctprune.networks.facts import channels_of
from ctprune.options.neighbors import GRAY

Pixels = npt.NDArray[np.uint8]

#: Pixels that are counted at a time.
_COUNTED = 1 << 22


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation that a network's input is normalized with.

    Attributes:
        mean: Means as fractions of 255, one for all channels or one for each of three.
        std: Standard deviations as fractions of 255, as many as means.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of_weights(cls, metadata: Mapping[str, Any]) -> Normalization:
        """The normalization that a file's weights were trained with: what ctprune wrote into it, else ImageNet's.

        Args:
            metadata: Metadata of the file, from `ctprune.networks.backbone.backbone_metadata`.

        >>> Normalization.of_weights({"mean": 0.2, "std": 0.3})
        Normalization(mean=(0.2,), std=(0.3,))
        """
        if "mean" in metadata and "std" in metadata:
            return cls(_channels(metadata["mean"]), _channels(metadata["std"]))
        return IMAGENET_NORMALIZATION

    @classmethod
    def of_pixels(cls, pixels: Pixels) -> Normalization:
        """Mean and standard deviation of the population of all pixels, uint8 of any shape.

        >>> Normalization.of_pixels(np.array([0, 255], np.uint8))
        Normalization(mean=(0.5,), std=(0.5,))
        """
        flat = pixels.reshape(-1)
        # Counting takes eight bytes for each pixel, so not all are counted at once.
        parts = (flat[start : start + _COUNTED] for start in range(0, len(flat), _COUNTED))
        shares = np.sum([np.bincount(part, minlength=256) for part in parts], axis=0) / pixels.size
        gray = np.arange(256) / 255
        mean = float(shares @ gray)
        std = float(np.sqrt(shares @ (gray - mean) ** 2))
        # Images of a single value have nothing to scale.
        return cls((mean,), (std or 1.0,))


#: Red, green and blue of ImageNet (torchvision's documentation of its weights).
IMAGENET_NORMALIZATION = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class GrayBackbone(torch.nn.Module):
    """A backbone that takes gray images, uint8 of shape (n, side, side), and gives features (n, num_features).

    Neighboring slices as channels have the shape (n, 3, side, side). Floats from 0 to 255 are taken, too, also of
    shape (n, 1, side, side).

    Args:
        backbone: A network from `ctprune.networks.backbone`.
        normalization: Mean and standard deviation of its input.
        transposed: Whether the network sees the rows of images as columns.
    """

    def __init__(
        self, backbone: torch.nn.Module, normalization: Normalization, *, transposed: bool = False
    ) -> None:
        super().__init__()
        self._transposed = transposed
        self.backbone = backbone.to(memory_format=torch.channels_last)
        self.num_features = int(backbone.num_features)  # type: ignore[arg-type]
        for name, values in (("mean", normalization.mean), ("std", normalization.std)):
            self.register_buffer(name, torch.tensor(values).reshape(-1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pooled features of images, float of shape (n, num_features)."""
        upright = images.mT if self._transposed else images
        gray = repeat_gray(upright.unsqueeze(1) if upright.ndim == 3 else upright).float() / 255
        images = (gray - self.get_buffer("mean")) / self.get_buffer("std")
        features: torch.Tensor = self.backbone(images.contiguous(memory_format=torch.channels_last))
        return features


def repeat_gray(images: torch.Tensor) -> torch.Tensor:
    """One-channel images, shape (n, 1, rows, columns), as three equal channels, without a copy.

    Images of three channels are returned as they are.

    >>> repeat_gray(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """
    return images.expand(-1, 3, -1, -1)


def image_shape(metadata: Mapping[str, Any], side: int) -> tuple[int, ...]:
    """Shape of one image that a backbone of this metadata takes: gray, or neighboring slices as its channels.

    >>> image_shape({}, 32), image_shape({"channels": "neighbors:5"}, 32)
    ((32, 32), (3, 32, 32))
    """
    return (side, side) if channels_of(metadata) == GRAY else (3, side, side)


def on_device(pixels: Pixels, device: torch.device) -> torch.Tensor:
    """Squares, uint8 of shape (n, side, side), as a tensor on a device."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(device, non_blocking=True)


def features_of(
    network: GrayBackbone,
    pixels: Pixels,
    rows: npt.NDArray[np.int64],
    *,
    batch: int,
    device: torch.device,
    precision: str,
) -> npt.NDArray[np.float32]:
    """Features of some images by the network in evaluation mode.

    Args:
        network: The network, which is on `device`.
        pixels: Squares, uint8 of shape (n, side, side).
        rows: Which of them, int64 of shape (m,).
        batch: Squares that go through the network together.
        device: Where the network runs.
        precision: A precision from `ctprune.networks.device.choose_precision`.

    Returns:
        float32 of shape (m, num_features).
    """
    network.eval()
    # Not in `quick_gpu`: the last bits would differ from run to run, and so might what is made of the features,
    # such as the votes of nearest neighbors.
    found = [np.zeros((0, network.num_features), np.float32)]
    with torch.inference_mode(), autocast(device, precision):
        for start in range(0, len(rows), batch):
            features = network(on_device(pixels[rows[start : start + batch]], device))
            found.append(features.float().cpu().numpy())
    return np.concatenate(found)


def _channels(value: Any) -> tuple[float, ...]:
    return tuple(float(one) for one in np.atleast_1d(value))
