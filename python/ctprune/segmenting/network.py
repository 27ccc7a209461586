"""A small U-Net: a backbone that gives maps of features of several sizes, and a decoder that joins them.

As in Ronneberger et al. 2015 (arXiv:1505.04597), with the backbone in place of the contracting path. The decoder
doubles the size of a map, puts the backbone's map of that size beside it, and convolves twice. Its layers
normalize by groups of channels (Wu and He 2018, arXiv:1803.08494), so that no image depends on the others of its
batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import interpolate, relu

from ctprune.errors import ConfigError
from ctprune.networks.architectures import RESNETS, check_size
from ctprune.networks.gray_backbone import Normalization, repeat_gray

#: Channels of the decoder: at most, where it is coarsest, and at least, at full size.
_MOST, _FEWEST = 256, 16

_GROUPS = 8


class Encoder(torch.nn.Module):
    """A backbone as the source of maps of features, from fine to coarse.

    Args:
        backbone: A network from `ctprune.networks.backbone`.
        normalization: Mean and standard deviation of its input.
        side: Rows and columns of the images.

    Attributes:
        channels: Channels of each map, the first of which is the image itself.
        sizes: Rows and columns of each map.

    Raises:
        ConfigError: The backbone does not take images of this size, or gives no maps.
    """

    def __init__(self, backbone: torch.nn.Module, normalization: Normalization, side: int) -> None:
        super().__init__()
        name = str(backbone.architecture)
        check_size(backbone, name, side)
        self.backbone = backbone.to(memory_format=torch.channels_last)
        for key, values in (("mean", normalization.mean), ("std", normalization.std)):
            self.register_buffer(key, torch.tensor(values).reshape(-1, 1, 1), persistent=False)
        self._is_resnet = name in RESNETS
        self._indices: list[int] | None = None
        if not self._is_resnet and not hasattr(backbone, "forward_intermediates"):
            raise ConfigError(
                f"backbone {name}: gives no maps of features for a segmentation: choose a ResNet or a ViT",
                field="backbone",
            )
        training = self.training
        with torch.no_grad():
            blank = self.eval()(torch.zeros(1, side, side, dtype=torch.uint8))
            if not self._is_resnet:
                # Of maps of one size, the last one. A ViT has only one size.
                last = {tuple(one.shape[-2:]): index for index, one in enumerate(blank[1:])}
                self._indices = sorted(last.values())
                blank = self(torch.zeros(1, side, side, dtype=torch.uint8))
        self.train(training)
        self.channels = [int(one.shape[1]) for one in blank]
        self.sizes = [int(one.shape[-1]) for one in blank]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Maps of images, uint8 of shape (n, side, side): float of shape (n, channels, size, size) each."""
        gray = repeat_gray(images.unsqueeze(1)).float() / 255
        x = (gray - self.get_buffer("mean")) / self.get_buffer("std")
        # All channels hold the same gray: one is enough.
        maps = [x[:, :1]]
        x = x.contiguous(memory_format=torch.channels_last)
        network: Any = self.backbone
        if not self._is_resnet:
            others: list[torch.Tensor] = network.forward_intermediates(
                x, indices=self._indices, norm=True, intermediates_only=True
            )
            return maps + others
        return maps + resnet_maps(network, x)


def resnet_maps(network: Any, images: torch.Tensor) -> list[torch.Tensor]:
    """The maps of a ResNet of torchvision, from half of the images' size to a 32nd.

    Args:
        network: The ResNet.
        images: Its input, float of shape (n, 3, rows, columns).
    """
    x = relu(network.bn1(network.conv1(images)))
    maps = [x]
    x = network.maxpool(x)
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        x = layer(x)
        maps.append(x)
    return maps


class _Step(torch.nn.Module):
    """From a map to the next finer one."""

    def __init__(self, size: int, channels: int, beside: int, out: int) -> None:
        super().__init__()
        self.size = size
        self.layers = torch.nn.Sequential(*_convolution(channels + beside, out), *_convolution(out, out))

    def forward(self, x: torch.Tensor, beside: torch.Tensor | None) -> torch.Tensor:
        x = interpolate(x, size=(self.size, self.size), mode="nearest")
        found: torch.Tensor = self.layers(x if beside is None else torch.cat([x, beside.to(x.dtype)], 1))
        return found


class Decoder(torch.nn.Module):
    """From an encoder's maps to the logits of each pixel.

    Args:
        channels: Channels of the encoder's maps, from fine to coarse.
        sizes: Their rows and columns; the first is that of the images.
        classes: Number of classes, background among them.
    """

    def __init__(self, channels: list[int], sizes: list[int], classes: int) -> None:
        super().__init__()
        width = _width(channels[-1])
        self.first = torch.nn.Sequential(*_convolution(channels[-1], width, kernel=1))
        self.steps = torch.nn.ModuleList()
        # The encoder's map for each step; -1 if it has none of that size.
        self._beside: list[int] = []
        size = sizes[-1]
        for index in range(len(sizes) - 2, -1, -1):
            while size < sizes[index]:
                is_there = 2 * size >= sizes[index]
                size = sizes[index] if is_there else 2 * size
                out = _width(width // 2)
                self.steps.append(_Step(size, width, channels[index] if is_there else 0, out))
                self._beside.append(index if is_there else -1)
                width = out
        self.last = torch.nn.Conv2d(width, classes, 1)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Logits of shape (n, classes, side, side)."""
        x = self.first(maps[-1])
        for step, index in zip(self.steps, self._beside, strict=True):
            x = step(x, maps[index] if index >= 0 else None)
        found: torch.Tensor = self.last(x)
        return found


class Segmenter(torch.nn.Module):
    """Encoder and decoder: from gray images, uint8 of shape (n, side, side), to logits (n, classes, side, side).

    Args:
        encoder: The encoder.
        classes: Number of classes, background among them.
        frozen: Whether the encoder stays as it is: no gradient reaches it, and BatchNorm keeps its statistics.
    """

    def __init__(self, encoder: Encoder, classes: int, *, frozen: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = Decoder(encoder.channels, encoder.sizes, classes)
        self.frozen = frozen
        encoder.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> Segmenter:
        """Training or evaluation; a frozen encoder always evaluates."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of each pixel."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            maps = self.encoder(images)
        found: torch.Tensor = self.decoder(maps)
        return found


def _width(channels: int) -> int:
    """Channels of a layer of the decoder, as many as groups share."""
    return min(_MOST, max(_FEWEST, channels // _GROUPS * _GROUPS))


def _convolution(channels: int, out: int, *, kernel: int = 3) -> list[torch.nn.Module]:
    return [
        torch.nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False),
        torch.nn.GroupNorm(_GROUPS, out),
        torch.nn.ReLU(inplace=True),
    ]
