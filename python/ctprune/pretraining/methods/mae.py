"""MAE: reconstruct the masked patches of a slice (He et al. 2022, arXiv 2111.06377)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.models.utils import get_at_index
from lightly.utils import dist
from torch import Tensor

from ctprune.errors import ConfigError
from ctprune.networks.gray_backbone import repeat_gray
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods.chance import batch_generator, sent
from ctprune.pretraining.methods.method import Method, Outcome, TrainingState
from ctprune.pretraining.settings import MaeSettings


class Mae(Method):
    """A transformer sees a few patches of one view, a small one reconstructs the others; nothing is compared.

    Features are those of the patches shown: encoding the whole slice would take longer than the step itself.
    """

    def __init__(self, backbone: torch.nn.Module, config: PretrainConfig) -> None:
        # This module needs timm, an extra; whoever has such a backbone has it.
        from ctprune.pretraining.methods.masked_networks import Decoder, Encoder, plain_transformer

        transformer = plain_transformer(backbone, config)
        super().__init__(backbone, config)
        assert isinstance(config.settings, MaeSettings)
        self._seed = config.seed
        self._patch = transformer.patch_embed.patch_size[0]
        size = config.views.crops[0].size
        grid = size // self._patch
        self._patches, ratio = grid**2, config.settings.mask_ratio
        self._shown = int(self._patches * (1 - ratio))
        if not 0 < self._shown < self._patches:
            raise ConfigError(
                f"settings.mask_ratio {ratio}: of {grid} × {grid} patches in {size} pixels it shows "
                f"{self._shown}, expected at least one and not all: use larger views or another ratio",
                field="settings.mask_ratio",
            )
        self.encoder = Encoder(transformer)
        self.decoder = Decoder(transformer, grid, config.settings)

    def forward(self, views: Sequence[Tensor], state: TrainingState) -> Outcome:
        """Mean squared error of the pixels of masked patches, normalized within each patch."""
        (view,) = views
        order, places = self._drawn(len(view), state, view.device)
        images = repeat_gray(view).contiguous(memory_format=torch.channels_last)
        tokens = self.encoder(images, order[:, : self._shown])
        pixels = self.decoder(tokens, order, places)
        with torch.autocast(view.device.type, enabled=False):
            # With three channels, the target is the slice itself, in the middle.
            slices = view[:, view.shape[1] // 2, None].float()
            target = get_at_index(patches_of(slices, self._patch), order[:, self._shown :])
            loss = (pixels.float() - normalized(target)).square().mean()
        return Outcome(loss=loss, features=self.encoder.pooled(tokens.detach()).float())

    def compile_networks(self) -> None:
        """Compile the encoder, which sees only the patches shown."""
        torch.compiler.reset()
        self.encoder.compile(dynamic=False)

    def _drawn(self, slices: int, state: TrainingState, device: torch.device) -> tuple[Tensor, Tensor]:
        """A random order of each slice's patches, and the place of each patch in it; both (n, patches).

        Each process draws for all, so that a slice's order depends only on its place in the whole batch.
        """
        generator = batch_generator(self._seed, state.batch)
        numbers = torch.rand(dist.world_size() * slices, self._patches, generator=generator)
        order = numbers[dist.rank() * slices :][:slices].argsort(dim=1, stable=True)
        order, places = sent(torch.stack([order, order.argsort(dim=1)]), device)
        return order, places


def patches_of(view: Tensor, patch: int) -> Tensor:
    """The pixels of square patches: patches row by row, and pixels row by row within each.

    Args:
        view: Shape (n, 1, size, size).
        patch: Rows and columns of a patch.

    Returns:
        Shape (n, patches, patch²).

    >>> patches_of(torch.arange(16).reshape(1, 1, 4, 4), 2)[0, 1].tolist()
    [2, 3, 6, 7]
    """
    rows, columns = (length // patch for length in view.shape[2:])
    squares = view.reshape(-1, rows, patch, columns, patch).transpose(2, 3)
    return squares.reshape(-1, rows * columns, patch**2)


def normalized(patches: Tensor) -> Tensor:
    """Patches minus their mean, divided by their standard deviation; 0 where all pixels are equal.

    Args:
        patches: Floats of shape (n, patches, pixels).

    >>> normalized(torch.tensor([[[1.0, 3.0], [5.0, 5.0]]]))[0, 1].tolist()
    [0.0, 0.0]
    """
    mean, variance = patches.mean(dim=2, keepdim=True), patches.var(dim=2, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()
