"""Views of a batch of slices, made on the device where the slices are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctprune.errors import ConfigError
from ctprune.extras import extra
from ctprune.pretraining.view_config import CropConfig, ViewConfig
from ctprune.pretraining.view_parameters import ViewParameters, draw_numbers, view_parameters
from ctprune.pretraining.view_transforms import (
    add_noise,
    blur,
    blur_taps,
    full_precision,
    jitter,
    resized_crops,
    rotate,
    values_of,
    window,
)
from ctprune.store import HU_OFFSET, SliceStore

with extra("train", "pre-training"):
    import torch
    from torch import Tensor

#: Slices whose statistics are taken at a time.
_BLOCK = 256


class BatchViews(torch.nn.Module):
    """Makes views of slices of one channel, 8 or 16 bits, without ever passing through fewer bits.

    Args:
        config: What the views look like.
        mean: Mean of the slices' pixels as a fraction of the largest value of their type (or of the window), to
            which the views are normalised: see `normalisation`.
        std: Their standard deviation, likewise.

    Raises:
        ConfigError: A mean or standard deviation that cannot be used.
    """

    def __init__(self, config: ViewConfig, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        super().__init__()
        self.config = config
        self.mean, self.std = _one_number("mean", mean), _one_number("std", std)
        if self.std <= 0:
            raise ConfigError(f"std {self.std}: expected a number above 0: all pixels are equal")
        for size in {crop.size for crop in config.crops}:
            self.register_buffer(f"_taps_{size}", blur_taps(size, config.blur_radius), persistent=False)

    @torch.no_grad()
    def forward(self, pixels: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Make all views.

        Args:
            pixels: uint8, uint16 or int32 (of 16 bits) of shape (n, side, side), on any device.
            generator: What chance decides comes from it alone. On the CPU it gives the same parameters whatever
                the device of the pixels; noise is drawn on their device.

        Returns:
            One tensor of shape (n, 1, size, size) per view, in the order of `config.crops`: normalised; float32,
            or autocast's type where autocast is on.

        Raises:
            ConfigError: Pixels of another type or shape, or a window on 8 bits.

        >>> views = BatchViews(ViewConfig(), mean=0.2, std=0.2)
        >>> slices = torch.zeros(2, 256, 256, dtype=torch.uint8)
        >>> [tuple(view.shape) for view in views(slices, torch.Generator().manual_seed(0))][1:3]
        [(2, 1, 224, 224), (2, 1, 96, 96)]
        """
        self._check(pixels)
        device = pixels.device
        kind = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32
        numbers = draw_numbers(self.config, len(pixels), generator)
        crops = [crop for crop in self.config.crops for _ in range(crop.count)]
        noise = self._noise_generator(generator, device)
        with full_precision(device):
            values = values_of(pixels)
            largest = 255 if pixels.dtype == torch.uint8 else 65535
            views = []
            for crop, of_view in zip(crops, numbers, strict=True):
                chosen = view_parameters(self.config, crop, pixels.shape[-1], of_view).to(device)
                views.append(self._view(values, crop, chosen, largest, noise)[:, None].to(kind))
        return views

    def _view(
        self,
        values: Tensor,
        crop: CropConfig,
        chosen: ViewParameters,
        largest: int,
        noise: torch.Generator | None,
    ) -> Tensor:
        config = self.config
        turned = rotate(values, chosen.degrees) if config.rotation_probability else values
        view = resized_crops(turned, chosen.box, chosen.flip, crop.size)
        view = view.div_(largest) if config.window is None else window(view, chosen.window, HU_OFFSET)
        if config.jitter_probability:
            view = jitter(view, chosen.factor, chosen.about_mean)
        if config.blur_probability:
            view = self._blur(view, chosen.blur_sigma)
        if noise is not None:
            view = add_noise(view, chosen.noise_sigma, noise)
        return view.sub_(self.mean).div_(self.std)

    def _blur(self, view: Tensor, sigma: Tensor) -> Tensor:
        taps = self.get_buffer(f"_taps_{view.shape[-1]}").to(view.device)
        if view.device.type != "cpu":
            # Finding out which are to be blurred would have to wait for the device.
            return blur(view, sigma, taps)
        chosen = sigma.nonzero()[:, 0]
        view[chosen] = blur(view[chosen], sigma[chosen], taps)
        return view

    def _noise_generator(self, generator: torch.Generator, device: torch.device) -> torch.Generator | None:
        if not self.config.noise_probability:
            return None
        if generator.device.type == device.type:
            return generator
        seed = torch.randint(2**63 - 1, (), generator=generator, device=generator.device)
        return torch.Generator(device).manual_seed(int(seed))

    def _check(self, pixels: Tensor) -> None:
        if pixels.dtype not in (torch.uint8, torch.uint16, torch.int32):
            raise ConfigError(f"expected pixels of uint8, uint16 or int32, found {pixels.dtype}")
        if pixels.ndim != 3 or pixels.shape[1] != pixels.shape[2]:
            raise ConfigError(f"expected pixels of shape (n, side, side), found {tuple(pixels.shape)}")
        if self.config.window is not None and pixels.dtype == torch.uint8:
            raise ConfigError("a window needs Hounsfield units: build the store with --depth 16")


def normalisation(store: SliceStore, config: ViewConfig) -> tuple[float, float]:
    """Mean and standard deviation of a store's pixels, as `BatchViews` wants them.

    Without a window they are the store's own; with one they are measured on all slices in that window without
    jitter. Takes one pass over the store.

    Returns:
        Mean and standard deviation of the population, as fractions.
    """
    if config.window is None:
        return store.mean, store.std
    low = config.window.stored_low
    total = squares = 0.0
    for start in range(0, len(store), _BLOCK):
        block = np.asarray(store.pixels[start : start + _BLOCK], np.float64)
        fractions = np.clip((block - low) / config.window.width, 0, 1)
        total += float(fractions.sum())
        squares += float(np.square(fractions).sum())
    count = store.pixels.size
    mean = total / count
    return mean, float(np.sqrt(max(squares / count - mean * mean, 0.0)))


def _one_number(option: str, value: float | Sequence[float]) -> float:
    numbers = [value] if isinstance(value, (int, float)) else list(value)
    if len(set(numbers)) != 1:
        raise ConfigError(f"{option} {value}: expected one number, slices have one channel")
    return float(numbers[0])
