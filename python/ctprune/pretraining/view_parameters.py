"""The random parameters of views, drawn for a whole batch at once from one generator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ctprune.options.option import Range
from ctprune.pretraining.view_config import CropConfig, ViewConfig, WindowConfig

#: Tries to find a crop inside the slice, as many as in torchvision's `RandomResizedCrop`.
_TRIES = 10

# Which of a view's uniform random numbers each parameter uses. All are drawn whether or not they are used, so that
# an option changes only its own parameter.
_AREA = slice(0, _TRIES)
_RATIO = slice(_TRIES, 2 * _TRIES)
_TOP, _LEFT, _MIRROR, _UPSIDE_DOWN, _ROTATE, _ANGLE, _CENTER, _WIDTH = range(2 * _TRIES, 2 * _TRIES + 8)
_JITTER, _ORDER, _BRIGHTNESS, _CONTRAST, _BLUR, _SIGMA, _NOISE, _NOISE_SIGMA = range(_WIDTH + 1, _WIDTH + 9)

#: Random numbers per view.
NUMBERS = _NOISE_SIGMA + 1


@dataclass(frozen=True, kw_only=True)
class ViewParameters:
    """One view of each of n slices: how it is made. All float32.

    Attributes:
        box: Top, left, rows and columns of the crop, whole numbers, of shape (n, 4).
        flip: 1 where left and right, top and bottom are mirrored, else 0; (n, 2).
        degrees: Rotation counter-clockwise, (n,).
        window: Center and width in HU or, of a window inside the range of 8 bits, in gray values; (n, 2).
        factor: The first and the second step of brightness and contrast: its factor, (n, 2).
        about_mean: 1 where that step is contrast, about the view's mean, 0 where it is brightness; (n, 2).
        blur_sigma: Standard deviation in pixels, 0 for none; (n,).
        noise_sigma: Standard deviation as a fraction, 0 for none; (n,).
    """

    box: Tensor
    flip: Tensor
    degrees: Tensor
    window: Tensor
    factor: Tensor
    about_mean: Tensor
    blur_sigma: Tensor
    noise_sigma: Tensor

    def table(self) -> Tensor:
        """All of them as columns, (n, columns)."""
        return torch.cat([field.reshape(len(self.box), -1) for field in self._fields()], dim=1)

    @classmethod
    def of_table(cls, table: Tensor) -> ViewParameters:
        """The reverse of `table`; shares its memory."""
        parts = torch.split(table, list(_WIDTHS.values()), dim=1)
        return cls(
            **{name: part[:, 0] if _WIDTHS[name] == 1 else part for name, part in zip(_WIDTHS, parts, strict=True)}
        )

    def _fields(self) -> list[Tensor]:
        return [getattr(self, name) for name in _WIDTHS]


#: Columns of each field.
_WIDTHS = {
    "box": 4,
    "flip": 2,
    "degrees": 1,
    "window": 2,
    "factor": 2,
    "about_mean": 2,
    "blur_sigma": 1,
    "noise_sigma": 1,
}


@dataclass(frozen=True, kw_only=True)
class ViewPlan:
    """All random parameters of the views of a batch of n slices.

    Attributes:
        table: `ViewParameters.table` of all views, float32 of shape (views × n, columns) on the CPU; a view's
            slices follow each other, views are in the order of `ViewConfig.crops`.
        noise: State of the generator that noise is drawn from.
    """

    table: Tensor
    noise: Tensor

    def pinned(self) -> ViewPlan:
        """A copy in pinned memory, which a GPU fetches while the host continues."""
        return ViewPlan(table=self.table.pin_memory(), noise=self.noise)


def view_generator(seed: int, epoch: int, step: int, rank: int = 0) -> torch.Generator:
    """A generator on the CPU for the views of one step: they depend on these four numbers alone.

    >>> view_generator(0, 1, 2).initial_seed() == view_generator(0, 1, 2).initial_seed()
    True
    """
    (state,) = np.random.SeedSequence([seed, epoch, step, rank]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state) >> 1)


def draw_views(config: ViewConfig, slices: int, side: int, generator: torch.Generator) -> ViewPlan:
    """Draw the parameters of all views of a batch; needs no pixels, so it can run ahead of time.

    Args:
        config: Options of the views.
        slices: Number of slices.
        side: Rows and columns of the slices.
        generator: Generator on the CPU.

    >>> len(draw_views(ViewConfig(), 4, 256, view_generator(0, 0, 0)).table)
    32
    """
    numbers = draw_numbers(config, slices, generator)
    tables, first = [], 0
    for crop in config.crops:
        of_group = numbers[first : first + crop.count].flatten(0, 1)
        tables.append(view_parameters(config, crop, side, of_group).table())
        first += crop.count
    return ViewPlan(table=torch.cat(tables), noise=generator.get_state())


def draw_numbers(config: ViewConfig, slices: int, generator: torch.Generator) -> Tensor:
    """Uniform random numbers in [0, 1), float64 of shape (views, slices, NUMBERS), on the generator's device."""
    shape = (config.views, slices, NUMBERS)
    return torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)


def view_parameters(config: ViewConfig, crop: CropConfig, side: int, numbers: Tensor) -> ViewParameters:
    """Turn uniform random numbers into the parameters of views of one group.

    Args:
        config: Options of the views.
        crop: The view's group.
        side: Rows and columns of the slices.
        numbers: Float64 of shape (n, NUMBERS), from `draw_numbers`, for one or several views.

    >>> numbers = draw_numbers(ViewConfig(), 4, torch.Generator().manual_seed(0))[0]
    >>> view_parameters(ViewConfig(), ViewConfig().crops[0], 256, numbers).box.shape
    torch.Size([4, 4])
    """
    brightness = _between(numbers[:, _BRIGHTNESS], (1 - config.brightness, 1 + config.brightness))
    contrast = _between(numbers[:, _CONTRAST], (1 - config.contrast, 1 + config.contrast))
    jittered = numbers[:, _JITTER] < config.jitter_probability
    contrast_first = numbers[:, _ORDER] < 0.5
    factor = torch.stack(
        [torch.where(contrast_first, contrast, brightness), torch.where(contrast_first, brightness, contrast)], 1
    )
    parameters = {
        "box": _boxes(crop.scale, config.ratio, side, numbers),
        "flip": torch.stack(
            [
                numbers[:, _MIRROR] < config.flip_horizontal,
                numbers[:, _UPSIDE_DOWN] < config.flip_vertical,
            ],
            1,
        ),
        "degrees": torch.where(
            numbers[:, _ROTATE] < config.rotation_probability,
            _between(numbers[:, _ANGLE], (-config.rotation_degrees, config.rotation_degrees)),
            0,
        ),
        "window": _windows(config.window or WindowConfig(), numbers)
        if config.gray_window is None
        else _gray_windows(config.gray_window, numbers),
        "factor": torch.where(jittered[:, None], factor, 1),
        "about_mean": torch.stack([contrast_first, ~contrast_first], 1),
        "blur_sigma": torch.where(
            numbers[:, _BLUR] < config.blur_probability, _between(numbers[:, _SIGMA], config.blur_sigma), 0
        ),
        "noise_sigma": torch.where(
            numbers[:, _NOISE] < config.noise_probability,
            _between_logs(numbers[:, _NOISE_SIGMA], config.noise_sigma),
            0,
        ),
    }
    return ViewParameters(**{name: value.float() for name, value in parameters.items()})


def _boxes(scale: Range, ratio: Range, side: int, numbers: Tensor) -> Tensor:
    """Crops as in torchvision's `RandomResizedCrop`: the first of ten tries that fits, else the middle."""
    area = side * side * _between(numbers[:, _AREA], scale)
    aspect = _between_logs(numbers[:, _RATIO], ratio)
    # Sizes in whole pixels, halves to even, as Python rounds.
    columns, rows = torch.sqrt(area * aspect).round(), torch.sqrt(area / aspect).round()
    fits = (columns > 0) & (columns <= side) & (rows > 0) & (rows <= side)
    first = fits.int().argmax(dim=1, keepdim=True)
    found = fits.any(dim=1)
    wide, tall = min(1.0, ratio[1]), min(1.0, 1 / ratio[0])
    rows = torch.where(found, rows.gather(1, first)[:, 0], round(side * tall))
    columns = torch.where(found, columns.gather(1, first)[:, 0], round(side * wide))
    middle_top, middle_left = torch.floor((side - rows) / 2), torch.floor((side - columns) / 2)
    top = torch.where(found, torch.floor(numbers[:, _TOP] * (side - rows + 1)), middle_top)
    left = torch.where(found, torch.floor(numbers[:, _LEFT] * (side - columns + 1)), middle_left)
    return torch.stack([top, left, rows, columns], 1)


def _windows(window: WindowConfig, numbers: Tensor) -> Tensor:
    reach = (window.center - window.center_jitter, window.center + window.center_jitter)
    times = (1 / (1 + window.width_jitter), 1 + window.width_jitter)
    center = _between(numbers[:, _CENTER], reach)
    return torch.stack([center, window.width * _between_logs(numbers[:, _WIDTH], times)], 1)


def _gray_windows(widths: Range, numbers: Tensor) -> Tensor:
    """Windows that lie within the gray values from 0 to 255."""
    width = 255 * _between_logs(numbers[:, _WIDTH], widths)
    return torch.stack([width / 2 + (255 - width) * numbers[:, _CENTER], width], 1)


def _between(numbers: Tensor, limits: Range) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * numbers


def _between_logs(numbers: Tensor, limits: Range) -> Tensor:
    return torch.exp(_between(numbers, (math.log(limits[0]), math.log(limits[1]))))
