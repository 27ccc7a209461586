"""The two transformers of MAE: an encoder of some patches, a decoder of the others. Imports timm, an extra."""

from __future__ import annotations

import torch
from lightly.models.modules import MaskedVisionTransformerDecoderTIMM, MaskedVisionTransformerTIMM
from lightly.models.modules.masked_vision_transformer_timm import init_weights
from lightly.models.utils import get_at_index
from timm.layers.patch_embed import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ctprune.errors import ConfigError
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.settings import MaeSettings


def plain_transformer(backbone: torch.nn.Module, config: PretrainConfig) -> VisionTransformer:
    """The backbone, if it is a transformer that can encode some patches only, and if all of its weights train.

    Args:
        backbone: Network from `ctprune.networks.backbone.create_backbone`.
        config: Configuration of the pre-training.

    Raises:
        ConfigError: It is not.
    """
    if (
        type(backbone) is not VisionTransformer
        or type(backbone.patch_embed) is not PatchEmbed
        or backbone.pos_embed is None
        or backbone.attn_pool is not None
        # Layers after pooling would get no gradient.
        or not isinstance(backbone.fc_norm, torch.nn.Identity)
        or len(set(backbone.patch_embed.patch_size)) > 1
    ):
        raise ConfigError(
            f"backbone {config.backbone}: `method` {config.method} needs a plain vision transformer of timm, such "
            "as vit_small_patch16_224",
            field="backbone",
        )
    return backbone


class Encoder(MaskedVisionTransformerTIMM):  # type: ignore[misc]
    """A transformer that encodes only some of its tokens.

    Args:
        transformer: Transformer of timm; keeps its weights.
    """

    def __init__(self, transformer: VisionTransformer) -> None:
        # Masked patches are left out, so no token replaces them.
        unused = torch.nn.Parameter(torch.zeros(1, 1, transformer.embed_dim), requires_grad=False)
        super().__init__(
            transformer, mask_token=unused, weight_initialization="skip", pos_embed_initialization="skip"
        )

    def forward(self, images: Tensor, shown: Tensor) -> Tensor:
        """Tokens after the last normalization.

        Args:
            images: Float of shape (n, 3, size, size).
            shown: Patches of each image that are shown, int64 of shape (n, shown).

        Returns:
            Float of shape (n, prefix + shown, features): the class token and registers, and the patches shown.
        """
        prefix = self.vit.num_prefix_tokens
        first = torch.arange(prefix, device=shown.device).expand(len(shown), -1)
        tokens: Tensor = self.encode(images, idx_keep=torch.cat([first, shown + prefix], dim=1))
        return tokens

    def pooled(self, tokens: Tensor) -> Tensor:
        """Features as the transformer pools them, (n, features), of what `forward` gives."""
        features: Tensor = self.vit.forward_head(tokens, pre_logits=True)
        return features


class Decoder(torch.nn.Module):
    """Predicts the pixels of the patches that the encoder was not shown.

    Args:
        transformer: The encoder's transformer.
        grid: Rows and columns of patches.
        settings: Settings of the method.
    """

    def __init__(self, transformer: VisionTransformer, grid: int, settings: MaeSettings) -> None:
        super().__init__()
        self._prefix = transformer.num_prefix_tokens
        self.narrow = torch.nn.Linear(transformer.embed_dim, settings.decoder_width)
        self.transformer = MaskedVisionTransformerDecoderTIMM(
            num_patches=grid**2,
            embed_dim=settings.decoder_width,
            depth=settings.decoder_depth,
            num_heads=settings.decoder_heads,
            num_prefix_tokens=self._prefix,
        )
        # One channel: the slice itself. The encoder's three channels are equal, or show its neighbors.
        self.pixels = torch.nn.Linear(settings.decoder_width, transformer.patch_embed.patch_size[0] ** 2)
        for layer in (self.narrow, self.pixels):
            init_weights(layer)

    def forward(self, tokens: Tensor, order: Tensor, places: Tensor) -> Tensor:
        """Pixels of the patches that were not shown, in their order.

        Args:
            tokens: What the encoder gives.
            order: All patches of each image, those that were shown first; int64 of shape (n, patches).
            places: Where in `order` each patch is, int64 of shape (n, patches).

        Returns:
            Float of shape (n, patches not shown, pixels of a patch).
        """
        narrow = self.narrow(tokens)
        shown = narrow.shape[1] - self._prefix
        hidden = order[:, shown:]
        masks = self.transformer.mask_token.to(narrow.dtype).expand(*hidden.shape, -1)
        patches = get_at_index(torch.cat([narrow[:, self._prefix :], masks], dim=1), places)
        all_tokens = torch.cat([narrow[:, : self._prefix], patches], dim=1)
        decoded = self.transformer.decode(self.transformer.add_pos_embed(all_tokens))
        pixels: Tensor = self.pixels(get_at_index(decoded, hidden + self._prefix))
        return pixels
