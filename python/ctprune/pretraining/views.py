"""Views of a batch of slices, made on the device where the slices are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ctprune.environment.precision import full_precision
from ctprune.errors import ConfigError
from ctprune.pretraining.view_config import CropConfig, ViewConfig
from ctprune.pretraining.view_parameters import ViewParameters, ViewPlan, draw_views
from ctprune.pretraining.view_transforms import (
    add_noise,
    blur,
    blur_taps,
    jitter,
    resized_crops,
    rotate,
    values_of,
    window,
)
from ctprune.store.channels import CHANNELS
from ctprune.store.store import HU_OFFSET, SliceStore


class BatchViews(torch.nn.Module):
    """Makes views of slices of one or three channels, 8 or 16 bits, without an intermediate of fewer bits.

    All channels of a view share its random parameters; only noise differs.

    Args:
        config: Options of the views.
        mean: Mean of the slices' pixels as a fraction of the largest value of their type (or of the window); views
            are normalized with it, see `normalization`.
        std: Standard deviation of the slices' pixels as a fraction of the same value.
        neighbors: Whether each slice comes with a neighbor, from which every second view is made.

    Raises:
        ConfigError: A mean or standard deviation that cannot be used.
    """

    def __init__(
        self,
        config: ViewConfig,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        *,
        neighbors: bool = False,
    ) -> None:
        super().__init__()
        self._sources = 2 if neighbors else 1
        self.config = config
        self.mean, self.std = _one_number("mean", mean), _one_number("std", std)
        if self.std <= 0:
            raise ConfigError(f"std {self.std}: expected a number above 0: all pixels are equal")
        for size in {crop.size for crop in config.crops}:
            self.register_buffer(f"_taps_{size}", blur_taps(size, config.blur_radius), persistent=False)

    def draw(self, slices: int, side: int, generator: torch.Generator) -> ViewPlan:
        """The random parameters of a batch's views, for `forward`; see `draw_views`."""
        return draw_views(self.config, slices, side, generator)

    @torch.no_grad()
    def forward(self, pixels: Tensor, chance: ViewPlan | torch.Generator) -> list[Tensor]:
        """Make all views: those of a group of crops together.

        Args:
            pixels: uint8, uint16 or int32 (of 16 bits) of shape (n, side, side) or, with three channels,
                (n, 3, side, side), on any device. With neighbors there are 2 n: the slices, then a neighbor of
                each.
            chance: A plan from `draw` for as many slices of that side, or the generator on the CPU for a new plan.
                The parameters are the same whatever the device of the pixels; noise is drawn on theirs.

        Returns:
            One tensor of shape (n, 1, size, size) or (n, 3, size, size) per view, in the order of `config.crops`:
            normalized; float32, or autocast's type where autocast is on; channels last in memory.

        Raises:
            ConfigError: Pixels of another type or shape, a window on 8 bits, or a gray window on 16.

        >>> views = BatchViews(ViewConfig(), mean=0.2, std=0.2)
        >>> slices = torch.zeros(2, 256, 256, dtype=torch.uint8)
        >>> [tuple(view.shape) for view in views(slices, torch.Generator().manual_seed(0))][1:3]
        [(2, 1, 224, 224), (2, 1, 96, 96)]
        """
        self._check(pixels)
        device = pixels.device
        kind = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32
        slices = len(pixels) // self._sources
        if isinstance(chance, torch.Generator):
            chance = self.draw(slices, pixels.shape[-1], chance)
        # One copy for all views.
        table = chance.table.to(device, non_blocking=True)
        noise = self._noise_generator(chance, device)
        views: list[Tensor] = []
        tables = torch.split(table, [crop.count * slices for crop in self.config.crops])
        with full_precision(device):
            values = values_of(pixels)
            largest = 255 if pixels.dtype == torch.uint8 else 65535
            for crop, rows in zip(self.config.crops, tables, strict=True):
                chosen = ViewParameters.of_table(rows)
                images = self._images(values, len(views), crop.count)
                group = self._group(images, crop, chosen, largest, noise)
                if group.ndim == 3:
                    group = group[:, None]
                views += torch.split(group.to(kind, memory_format=torch.channels_last), slices)
        return views

    def _images(self, values: Tensor, first: int, count: int) -> Tensor:
        """The slices that a group of views is made from, count × n; `first` views come before the group."""
        if self._sources == 1:
            return values.repeat(count, *(1 for _ in values.shape[1:]))
        # In turns across all groups, so that groups of a single view take part.
        sources = values.chunk(2)
        return torch.cat([sources[view % 2] for view in range(first, first + count)])

    def _group(
        self,
        images: Tensor,
        crop: CropConfig,
        chosen: ViewParameters,
        largest: int,
        noise: torch.Generator | None,
    ) -> Tensor:
        """The views of a group of crops, one after the other, count × n; with channels as the images have them."""
        config = self.config
        turned = rotate(images, chosen.degrees) if config.rotation_probability else images
        views = resized_crops(turned, chosen.box, chosen.flip, crop.size)
        if config.window is None and config.gray_window is None:
            views = views.div_(largest)
        else:
            views = window(views, chosen.window, 0 if config.window is None else HU_OFFSET)
        if config.jitter_probability:
            views = jitter(views, chosen.factor, chosen.about_mean)
        if config.blur_probability:
            views = self._blur(views, chosen.blur_sigma)
        if noise is not None:
            views = add_noise(views, chosen.noise_sigma, self._noise(views, crop.count, noise))
        return views.sub_(self.mean).div_(self.std)

    def _blur(self, views: Tensor, sigma: Tensor) -> Tensor:
        taps = self.get_buffer(f"_taps_{views.shape[-1]}").to(views.device)
        if views.device.type != "cpu":
            # Finding the views to blur would mean waiting for the device.
            return blur(views, sigma, taps)
        chosen = sigma.nonzero()[:, 0]
        views[chosen] = blur(views[chosen], sigma[chosen], taps)
        return views

    def _noise(self, views: Tensor, count: int, generator: torch.Generator) -> Tensor:
        noise = torch.empty_like(views)
        for of_view in noise.chunk(count):
            # View by view: the noise of a view must not depend on the number of views in its group.
            of_view.normal_(generator=generator)
        return noise

    def _noise_generator(self, plan: ViewPlan, device: torch.device) -> torch.Generator | None:
        if not self.config.noise_probability:
            return None
        generator = torch.Generator()
        generator.set_state(plan.noise)
        if device.type == "cpu":
            return generator
        seed = torch.randint(2**63 - 1, (), generator=generator)
        return torch.Generator(device).manual_seed(int(seed))

    def _check(self, pixels: Tensor) -> None:
        if pixels.dtype not in (torch.uint8, torch.uint16, torch.int32):
            raise ConfigError(f"expected pixels of uint8, uint16 or int32, found {pixels.dtype}")
        if tuple(pixels.shape[1:-2]) not in ((), (CHANNELS,)) or pixels.shape[-2:] != 2 * pixels.shape[-1:]:
            raise ConfigError(
                f"expected pixels of shape (n, side, side) or (n, {CHANNELS}, side, side), found "
                f"{tuple(pixels.shape)}"
            )
        if len(pixels) % self._sources:
            raise ConfigError(f"expected as many neighbors as slices, found {len(pixels)} of both together")
        if self.config.window is not None and pixels.dtype == torch.uint8:
            raise ConfigError("a window needs Hounsfield units: build the store with `depth` 16")
        if self.config.gray_window is not None and pixels.dtype != torch.uint8:
            raise ConfigError("a gray window needs gray values: build the store with `depth` 8")


def normalization(store: SliceStore, config: ViewConfig) -> tuple[float, float]:
    """Mean and standard deviation of a store's pixels, as `BatchViews` wants them.

    Without a window they are the store's own, also with gray windows; with one they are those of all slices in
    that window without jitter, from the store's histogram.

    Returns:
        Mean and standard deviation of the population, as fractions.
    """
    if config.window is None:
        return store.mean, store.std
    values = np.arange(len(store.histogram))
    fractions = np.clip((values - config.window.stored_low) / config.window.width, 0, 1)
    shares = store.histogram / store.histogram.sum()
    mean = float(shares @ fractions)
    return mean, float(np.sqrt(shares @ np.square(fractions - mean)))


def _one_number(option: str, value: float | Sequence[float]) -> float:
    numbers = [value] if isinstance(value, (int, float)) else list(value)
    if len(set(numbers)) != 1:
        raise ConfigError(f"{option} {value}: expected one number, slices have one channel")
    return float(numbers[0])
