"""A picture of slices and their views, which a network must learn to match."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ctprune.files.atomic import replace_file
from ctprune.pretraining.neighbors import Neighbors
from ctprune.pretraining.view_config import ViewConfig
from ctprune.pretraining.view_parameters import view_generator
from ctprune.pretraining.views import BatchViews, normalization
from ctprune.store.store import SliceStore


def write_views(
    store: SliceStore,
    config: ViewConfig,
    file: str | os.PathLike[str],
    *,
    neighbors: Neighbors | None = None,
    channels: npt.NDArray[np.int64] | None = None,
    slices: int = 8,
    seed: int = 0,
) -> None:
    """Write a PNG with a row per slice: the slice (in the window, if there is one), then its views.

    With neighbors, the neighbor that every second view is made from stands beside the slice.

    Args:
        store: The packed store; the slices shown are spread evenly over it.
        config: The views.
        file: The picture; replaced if it is there.
        neighbors: Neighbors of the store's slices; None without.
        channels: Where in the store their three channels lie, int64 of shape (n, 3): red, green and blue of the
            picture; None for gray ones.
        slices: Number of rows, at most.
        seed: Random seed of the views.

    Raises:
        OutputError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    indices = np.unique(np.linspace(0, len(store) - 1, min(slices, len(store))).astype(int))
    titles = ["slice"]
    chosen: npt.NDArray[np.int64] = indices
    if neighbors is not None:
        titles.append("neighbor")
        chosen = np.append(indices, neighbors.choose(indices, np.random.PCG64(seed).random_raw(len(indices))))
    pixels = np.ascontiguousarray(store.pixels[chosen if channels is None else channels[chosen]])
    mean, std = normalization(store, config)
    views = BatchViews(config, mean, std, neighbors=neighbors is not None)(
        torch.from_numpy(pixels.astype(_readable(pixels))), view_generator(seed, 0, 0)
    )
    columns = len(titles) + len(views)
    figure = Figure(figsize=(1.3 * columns, 1.3 * len(indices) + 0.4), layout="constrained")
    axes = figure.subplots(len(indices), columns, squeeze=False)
    for row in range(len(indices)):
        for column, title in enumerate(titles):
            picture = pixels[column * len(indices) + row]
            _draw(axes[row][column], picture, title if row == 0 else "", limits=_limits(config))
        for number, view in enumerate(views):
            title = f"{view.shape[-1]} px" if row == 0 else ""
            picture = (view[row].squeeze(0) * std + mean).numpy()
            _draw(axes[row][len(titles) + number], picture, title, limits=(0, 1))
    with replace_file(Path(file)) as beside:
        figure.savefig(beside, format="png", dpi=100)


def _limits(config: ViewConfig) -> tuple[float, float] | None:
    """What is black and what is white in a stored slice; None for its smallest and largest value."""
    if config.window is None:
        return None
    return config.window.stored_low, config.window.stored_low + config.window.width


def _readable(pixels: Any) -> Any:
    """A type that torch takes without loss: 8 bits stay, 16 bits become 32."""
    return np.uint8 if pixels.dtype.itemsize == 1 else np.int32


def _draw(axes: Any, image: Any, title: str, limits: tuple[float, float] | None = None) -> None:
    low, high = limits or (float(image.min()), float(image.max()))
    high = max(high, low + 1e-6)
    if image.ndim == 3:
        # Colors are where the channels differ. Matplotlib scales no colors.
        image = np.moveaxis(np.clip((image.astype(np.float32) - low) / (high - low), 0, 1), 0, -1)
        low, high = 0, 1
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(title, fontsize=8)
    axes.set_axis_off()
