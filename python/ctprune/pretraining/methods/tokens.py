"""Transformers of timm whose patches can be masked. Imports timm, which is an extra."""

from __future__ import annotations

import torch
from lightly.models.modules import MaskedVisionTransformerTIMM
from timm.layers.patch_embed import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ctprune.errors import ConfigError
from ctprune.pretraining.config import PretrainConfig


class Tokens(MaskedVisionTransformerTIMM):  # type: ignore[misc]
    """A transformer that returns its tokens after the last normalization, with given patches masked.

    Args:
        transformer: Transformer of timm; keeps its weights.
    """

    def __init__(self, transformer: VisionTransformer) -> None:
        super().__init__(transformer, weight_initialization="skip", pos_embed_initialization="skip")

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens of images, float of shape (n, tokens, features): the class token, registers, patches."""
        tokens: Tensor = self.encode(images, mask=mask)
        return tokens


def masked_transformer(backbone: torch.nn.Module, config: PretrainConfig) -> VisionTransformer:
    """The backbone, if it is a transformer whose patches can be masked.

    Args:
        backbone: Network from `ctprune.networks.backbone.create_backbone`.
        config: Configuration of the pre-training.

    Raises:
        ConfigError: It is not.
    """
    if (
        type(backbone) is not VisionTransformer
        or type(backbone.patch_embed) is not PatchEmbed
        or backbone.cls_token is None
        or backbone.pos_embed is None
        or backbone.global_pool != "token"
        or not isinstance(backbone.fc_norm, torch.nn.Identity)
    ):
        raise ConfigError(
            f"backbone {config.backbone}: `method` dinov2 needs a vision transformer of timm with a class token "
            "and learned positions, such as vit_small_patch16_224",
            field="backbone",
        )
    return backbone


def check_grid(transformer: VisionTransformer, config: PretrainConfig) -> None:
    """Check that the first group of crops has enough patches.

    Args:
        transformer: The transformer.
        config: Configuration of the pre-training.

    Raises:
        ConfigError: They are too few to mask some of them.
    """
    size = config.views.crops[0].size
    rows, columns = (size // patch for patch in transformer.patch_embed.patch_size)
    if min(rows, columns) < 2:
        raise ConfigError(
            f"views: `method` dinov2 needs 2 × 2 patches or more in the first group of crops, found {rows} × "
            f"{columns} in {size} pixels",
            field="views",
        )
