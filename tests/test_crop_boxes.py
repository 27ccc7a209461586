"""Which box of a slice a crop shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop

from ctprune.pretraining.view_config import CropConfig, ViewConfig
from ctprune.pretraining.view_parameters import (
    draw_numbers,
    view_parameters,
)
from tests.test_views import generator


def naive_box(scale: tuple[float, float], ratio: tuple[float, float], side: int, row: list[float]) -> list[int]:
    """The code of torchvision's `RandomResizedCrop.get_params`, with these random numbers."""
    for attempt in range(10):
        area = side * side * (scale[0] + (scale[1] - scale[0]) * row[attempt])
        logs = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(logs[0] + (logs[1] - logs[0]) * row[10 + attempt])
        columns, rows = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < columns <= side and 0 < rows <= side:
            return [int(row[20] * (side - rows + 1)), int(row[21] * (side - columns + 1)), rows, columns]
    columns, rows = side, side
    if ratio[0] > 1:
        rows = round(side / ratio[0])
    if ratio[1] < 1:
        columns = round(side * ratio[1])
    return [(side - rows) // 2, (side - columns) // 2, rows, columns]


@pytest.mark.parametrize(
    ("scale", "ratio"), [((0.1, 0.33), (3 / 4, 4 / 3)), ((0.97, 1), (1.2, 2)), ((0.97, 1), (0.4, 0.7))]
)
def test_boxes_follow_torchvisions_rule(scale: tuple[float, float], ratio: tuple[float, float]) -> None:
    config = ViewConfig(crops=(CropConfig(size=32, scale=scale),), ratio=ratio)
    numbers = draw_numbers(config, 500, generator(3))[0]
    found = view_parameters(config, config.crops[0], 101, numbers).box
    expected = [naive_box(scale, ratio, 101, row) for row in numbers.tolist()]
    assert found.int().tolist() == expected


def test_boxes_are_distributed_as_torchvisions() -> None:
    config = ViewConfig(crops=(CropConfig(size=32, scale=(0.1, 1.0)),))
    numbers = draw_numbers(config, 4000, generator())[0]
    ours = view_parameters(config, config.crops[0], 256, numbers).box.numpy()
    torch.manual_seed(0)
    image = torch.empty(1, 256, 256)
    theirs = np.array([RandomResizedCrop.get_params(image, [0.1, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)])
    quantiles = np.linspace(0.05, 0.95, 10)
    for column in range(4):
        difference = np.quantile(ours[:, column], quantiles) - np.quantile(theirs[:, column], quantiles)
        assert np.abs(difference).max() < 8
