"""The small U-Net: its maps, what of it trains, and backbones that it cannot use."""

from __future__ import annotations

import pytest
import torch

from ctprune.errors import ConfigError
from ctprune.networks.backbone import create_backbone
from ctprune.networks.gray_backbone import IMAGENET_NORMALIZATION, GrayBackbone
from ctprune.segmenting.network import Encoder, Segmenter


def encoder_of(name: str, side: int = 32) -> Encoder:
    torch.manual_seed(0)
    return Encoder(create_backbone(name), IMAGENET_NORMALIZATION, side)


def images(count: int = 2, side: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize(
    ("name", "side", "sizes"),
    [
        ("resnet18", 32, [32, 16, 8, 4, 2, 1]),
        ("resnet18", 40, [40, 20, 10, 5, 3, 2]),
        ("test_resnet", 32, [32, 16, 8, 4, 2, 1]),
        # Patches of 16 pixels: one map.
        ("test_vit", 64, [64, 4]),
    ],
)
def test_logits_have_the_images_size(name: str, side: int, sizes: list[int]) -> None:
    encoder = encoder_of(name, side)
    assert encoder.sizes == sizes
    logits = Segmenter(encoder, 3, frozen=False)(images(side=side))
    assert logits.shape == (2, 3, side, side)


@pytest.mark.parametrize("name", ["resnet18", "test_resnet"])
def test_the_coarsest_map_is_what_the_backbone_pools(name: str) -> None:
    encoder = encoder_of(name).eval()
    network = GrayBackbone(encoder.backbone, IMAGENET_NORMALIZATION).eval()
    with torch.no_grad():
        coarsest = encoder(images())[-1]
        torch.testing.assert_close(coarsest.mean((2, 3)), network(images()))


def test_the_maps_of_a_vit_are_its_patches() -> None:
    encoder = encoder_of("test_vit", 64).eval()
    with torch.no_grad():
        [image, found] = encoder(images(side=64))
        tokens = encoder.backbone.forward_features(image.expand(-1, 3, -1, -1) * 0 + _normalized(images(side=64)))
    prefix = encoder.backbone.num_prefix_tokens
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), tokens[:, prefix:])


def _normalized(gray: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(one)[:, None, None] for one in vars(IMAGENET_NORMALIZATION).values())
    return (gray[:, None].float() / 255 - mean) / std


def test_a_frozen_encoder_keeps_weights_and_statistics_and_a_trained_one_does_not() -> None:
    for frozen in (True, False):
        network = Segmenter(encoder_of("resnet18"), 2, frozen=frozen).train()
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        optimizer = torch.optim.SGD([one for one in network.parameters() if one.requires_grad], lr=0.1)
        network(images()).square().mean().backward()
        optimizer.step()
        changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
        assert any(name.startswith("decoder.") for name in changed)
        assert any(name.startswith("encoder.") for name in changed) != frozen
        assert ("encoder.backbone.bn1.running_mean" in changed) != frozen


def test_no_image_depends_on_the_others_of_its_batch() -> None:
    network = Segmenter(encoder_of("test_resnet"), 2, frozen=True).train()
    with torch.no_grad():
        torch.testing.assert_close(network(images())[:1], network(images()[:1]), atol=1e-5, rtol=1e-4)


def test_a_backbone_without_maps_and_a_side_that_does_not_fit_are_refused() -> None:
    backbone = torch.nn.Flatten()
    backbone.architecture, backbone.num_features = "flat", 3 * 32 * 32
    with pytest.raises(
        ConfigError, match=r"^backbone flat: gives no maps of features .*: choose a ResNet or a ViT$"
    ):
        Encoder(backbone, IMAGENET_NORMALIZATION, 32)
    with pytest.raises(ConfigError, match=r"^backbone test_vit does not take images of 20 × 20 pixels"):
        encoder_of("test_vit", 20)
