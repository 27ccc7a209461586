"""Random windows inside the stored gray range of 8 bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torchvision.transforms import functional as reference

from ctprune.pretraining.view_config import ViewConfig
from ctprune.pretraining.view_parameters import (
    draw_numbers,
    view_parameters,
)
from ctprune.pretraining.views import BatchViews
from tests.test_views import BUSY, SMALL, generator, slices


def test_gray_windows_lie_in_the_range_of_8_bits() -> None:
    config = ViewConfig(gray_window=(0.2, 0.8))
    numbers = draw_numbers(config, 20000, generator())[0]
    center, width = view_parameters(config, config.crops[0], 64, numbers).window.double().T
    assert ((width >= 51 - 1e-4) & (width <= 204 + 1e-4)).all()
    assert ((center - width / 2 >= -1e-4) & (center + width / 2 <= 255 + 1e-4)).all()
    # Log-uniform widths, and places that reach both ends evenly.
    shares = torch.log(width / 51) / np.log(4)
    places = (center - width / 2) / (255 - width)
    for found in (shares, places):
        assert np.abs(np.histogram(found, 10, (0, 1))[0] / 20000 - 0.1).max() < 0.01
    assert abs(np.corrcoef(shares, places)[0, 1]) < 0.03
    # It changes nothing else.
    plain = view_parameters(replace(config, gray_window=None), config.crops[0], 64, numbers)
    gray = view_parameters(config, config.crops[0], 64, numbers)
    changed = [name for name in vars(plain) if not torch.equal(getattr(plain, name), getattr(gray, name))]
    assert changed == ["window"]


def test_gray_windows_are_those_of_a_plain_loop() -> None:
    config = ViewConfig(
        crops=SMALL, gray_window=(0.3, 1.0), jitter_probability=0, blur_probability=0, flip_horizontal=0.5
    )
    images = slices(6, 60)
    found = BatchViews(config, 0.3, 0.2)(images, generator(4))
    numbers = draw_numbers(config, 6, generator(4))
    crops = [crop for crop in SMALL for _ in range(crop.count)]
    for crop, of_view, view in zip(crops, numbers, found, strict=True):
        chosen = view_parameters(config, crop, 60, of_view)
        for i, image in enumerate(images):
            # The drawn limits, from the even numbers themselves.
            u, v = of_view[i, 26].item(), of_view[i, 27].item()
            width = 255 * 0.3 * (1 / 0.3) ** v
            black = (255 - width) * u
            gray = reference.resized_crop(
                image.double()[None], *chosen.box[i].int().tolist(), [crop.size, crop.size], antialias=True
            )
            gray = reference.hflip(gray) if chosen.flip[i, 0] else gray
            expected = [[min(max((value - black) / width, 0), 1) for value in row] for row in gray[0].tolist()]
            torch.testing.assert_close(
                (view[i, 0] * 0.2 + 0.3).double(), torch.tensor(expected).double(), rtol=0, atol=2e-5
            )
    assert any((view[:, 0] * 0.2 + 0.3 <= 1e-6).float().mean() > 0.05 for view in found)


def test_the_whole_gray_range_is_no_window() -> None:
    whole = BatchViews(replace(BUSY, gray_window=(1.0, 1.0)), 0.3, 0.2)(slices(4, 64), generator())
    plain = BatchViews(BUSY, 0.3, 0.2)(slices(4, 64), generator())
    assert all(torch.equal(one, other) for one, other in zip(whole, plain, strict=True))
