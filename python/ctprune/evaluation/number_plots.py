"""Figures of predicted numbers: predicted against true, and differences against means (Bland and Altman 1986)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ctprune.evaluation.plots import COLORS, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Floats = npt.NDArray[np.float64]

#: Of normal values 95 % lie within so many standard deviations of the mean.
_LIMIT = 1.96


def save_number_plots(truth: _Floats, predictions: _Floats, folder: Path) -> list[Path]:
    """Write both figures as PNG and SVG; the files, in order.

    Args:
        truth: True numbers, (images,).
        predictions: Predicted numbers, (seeds, images); their means are shown.
        folder: Folder of the files.

    Raises:
        OutputError: A file cannot be written.
    """
    mean = predictions.mean(axis=0)
    figures = {"predicted": draw_predicted(truth, mean), "differences": draw_differences(truth, mean)}
    return [file for name, figure in figures.items() for file in save_figure(figure, folder / name)]


def draw_predicted(truth: _Floats, predicted: _Floats) -> Figure:
    """Predicted against true numbers, with the line on which they are equal."""
    figure, axes = _axes("True", "Predicted")
    ends = [min(truth.min(), predicted.min()), max(truth.max(), predicted.max())]
    axes.plot(ends, ends, color="#999999", linewidth=1, linestyle=":")
    axes.scatter(truth, predicted, s=12, color=COLORS[0], alpha=0.6, linewidths=0)
    return figure


def draw_differences(truth: _Floats, predicted: _Floats) -> Figure:
    """Differences against means, with the mean difference and the limits of 95 % of differences."""
    figure, axes = _axes("Mean of true and predicted", "Predicted − true")
    differences = predicted - truth
    center, half = differences.mean(), _LIMIT * differences.std()
    for height, style in ((center, "-"), (center - half, ":"), (center + half, ":")):
        axes.axhline(height, color="#999999", linewidth=1, linestyle=style)
    axes.scatter((truth + predicted) / 2, differences, s=12, color=COLORS[0], alpha=0.6, linewidths=0)
    return figure


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
