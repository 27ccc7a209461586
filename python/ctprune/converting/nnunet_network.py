"""The network that nnU-Net builds from plans of `ctprune convert --to nnunet`: a U-Net on a ResNet of torchvision.

nnU-Net (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z) creates the class that its plans name, from the
arguments that they give. Its own residual encoders have other layers than torchvision's ResNets (a 3 × 3
convolution at full size in place of 7 × 7 and max pooling, average pooling in shortcuts), so weights need this
network.
"""

from __future__ import annotations

import torch

from ctprune.errors import ConfigError
from ctprune.networks.architectures import create_architecture
from ctprune.networks.gray_backbone import repeat_gray
from ctprune.segmenting.network import resnet_maps

#: From the image to each map: full size, then half of the map before.
STRIDES = ((1, 1), *((2, 2) for _ in range(5)))

#: Rows and columns of an image are multiples of this.
MULTIPLE = 32

#: Channels at full size, and at most in the decoder.
_FEWEST, _MOST = 32, 256

#: The slope of nnU-Net's leaky ReLU.
_SLOPE = 0.01


class ResNetUNet(torch.nn.Module):
    """A U-Net for nnU-Net's configuration `2d`, on images of one channel.

    The backbone takes the image, as nnU-Net normalizes it, in all three channels. Its maps begin at half size; two
    convolutions of the image stand beside them at full size. The decoder is like nnU-Net's: transposed
    convolutions, two convolutions with instance normalization, and logits at every size for deep supervision.

    Args:
        input_channels: Channels of an image: 1.
        num_classes: Number of classes, background among them.
        backbone: Name of a ResNet of torchvision.
        strides: `STRIDES`, which nnU-Net computes the sizes of its labels from.
        deep_supervision: Whether `forward` gives logits at every size.

    Attributes:
        decoder: Its attribute `deep_supervision` can be set, as nnU-Net does.

    Raises:
        ConfigError: Another number of channels, or other strides.

    >>> network = ResNetUNet(input_channels=1, num_classes=3, backbone="resnet18", strides=STRIDES)
    >>> [tuple(one.shape) for one in network.eval()(torch.zeros(1, 1, 64, 32))][:2]
    [(1, 3, 64, 32), (1, 3, 32, 16)]
    """

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        backbone: str,
        strides: object,
        deep_supervision: bool = True,
    ) -> None:
        super().__init__()
        if input_channels != 1:
            raise ConfigError(f"input_channels {input_channels}: expected images of one channel, such as CT")
        if [tuple(one) for one in strides] != list(STRIDES):  # type: ignore[attr-defined]
            raise ConfigError(f"strides {strides}: expected those that ctprune convert wrote")
        self.encoder = _Encoder(create_architecture(backbone))
        self.decoder = _Decoder(self.encoder.channels, num_classes, deep_supervision)
        for module in (self.encoder.image, self.decoder):
            module.apply(_initialized)

    def forward(self, images: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Logits of images, float of shape (n, 1, rows, columns): (n, classes, rows, columns).

        With deep supervision, a list of such at full size, half of it, and so on.
        """
        found: torch.Tensor | list[torch.Tensor] = self.decoder(self.encoder(images))
        return found


class _Encoder(torch.nn.Module):
    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.image = torch.nn.Sequential(*_convolution(1, _FEWEST), *_convolution(_FEWEST, _FEWEST))
        self.backbone = backbone
        with torch.no_grad():
            maps = resnet_maps(backbone.eval(), torch.zeros(1, 3, MULTIPLE, MULTIPLE))
        backbone.train()
        self.channels = [_FEWEST, *(int(one.shape[1]) for one in maps)]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Maps, from fine to coarse."""
        return [self.image(images), *resnet_maps(self.backbone, repeat_gray(images))]


class _Decoder(torch.nn.Module):
    def __init__(self, channels: list[int], classes: int, deep_supervision: bool) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        widths = [min(one, _MOST) for one in channels[:-1]]
        self.enlarge, self.stages, self.seg_layers = (torch.nn.ModuleList() for _ in range(3))
        below = channels[-1]
        for beside, width in zip(channels[-2::-1], widths[::-1], strict=True):
            self.enlarge.append(torch.nn.ConvTranspose2d(below, width, 2, stride=2))
            self.stages.append(
                torch.nn.Sequential(*_convolution(width + beside, width), *_convolution(width, width))
            )
            # nnU-Net knows layers by this name as those that no other training's weights fit.
            self.seg_layers.append(torch.nn.Conv2d(width, classes, 1))
            below = width

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
        x, found = maps[-1], []
        parts = zip(self.enlarge, self.stages, self.seg_layers, maps[-2::-1], strict=True)
        for number, (enlarge, stage, logits, beside) in enumerate(parts, 1):
            x = stage(torch.cat([enlarge(x), beside], 1))
            if self.deep_supervision or number == len(self.stages):
                found.append(logits(x))
        return found[::-1] if self.deep_supervision else found[-1]


def _convolution(channels: int, out: int) -> list[torch.nn.Module]:
    return [
        torch.nn.Conv2d(channels, out, 3, padding=1),
        torch.nn.InstanceNorm2d(out, affine=True),
        torch.nn.LeakyReLU(_SLOPE, inplace=True),
    ]


def _initialized(module: torch.nn.Module) -> None:
    """As nnU-Net begins (He et al. 2015)."""
    if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
        torch.nn.init.kaiming_normal_(module.weight, a=_SLOPE)
        if module.bias is not None:
            torch.nn.init.zeros_(module.bias)
