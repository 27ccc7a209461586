"""Figures of several labels and of ordered levels: curves for each label or threshold, and confusion of levels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ctprune.evaluation.level_measures import above_thresholds, predicted_levels
from ctprune.evaluation.plots import COLORS, draw_band, draw_confusion, mean_roc, save_figure

_Floats = npt.NDArray[np.float64]


def save_label_plots(truth: _Floats, predictions: _Floats, names: Sequence[str], folder: Path) -> list[Path]:
    """Write the ROC curve of each label as PNG and SVG; the files.

    Args:
        truth: 1 where an image has a label, (images, labels).
        predictions: Probability of each label, (seeds, images, labels).
        names: Names of the labels.
        folder: Folder of the files.

    Raises:
        OutputError: A file cannot be written.
    """
    return save_figure(draw_rocs(truth, predictions, names), folder / "roc")


def save_level_plots(truth: _Floats, predictions: _Floats, names: Sequence[str], folder: Path) -> list[Path]:
    """Write the confusion of levels and the ROC curve of each threshold as PNG and SVG; the files.

    Args:
        truth: Index of each image's level, (images, 1).
        predictions: Probability of each level, (seeds, images, levels).
        names: Names of the levels.
        folder: Folder of the files.

    Raises:
        OutputError: A file cannot be written.
    """
    passed = [above_thresholds(truth, one) for one in predictions]
    thresholds = [f"above {name}" for name in names[:-1]]
    rocs = draw_rocs(passed[0][0], np.stack([above for _, above in passed]), thresholds)
    chosen = np.stack([np.eye(len(names))[predicted_levels(one)] for one in predictions])
    confusion = draw_confusion(truth[:, 0].astype(np.int64), chosen, names)
    return [*save_figure(rocs, folder / "roc"), *save_figure(confusion, folder / "confusion")]


def draw_rocs(truth: _Floats, predictions: _Floats, names: Sequence[str]) -> Figure:
    """The ROC curve of each column, mean over seeds with the band from the lowest to the highest."""
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set(xlabel="False positive rate", ylabel="True positive rate")
    axes.spines[["top", "right"]].set_visible(False)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
    for column, name in enumerate(names):
        rate, curves = _roc_of(truth[:, column], predictions[:, :, column])
        draw_band(axes, rate, curves, COLORS[column % len(COLORS)], name)
    # A name may look like a formula, and a broken one would end the drawing.
    for text in axes.legend(fontsize="small", frameon=False).get_texts():
        text.set_parse_math(False)
    return figure


def mean_label_roc(truth: _Floats, predictions: _Floats) -> tuple[_Floats, _Floats]:
    """The ROC curve of each seed at the same false positive rates, the mean over labels.

    Args:
        truth: 1 where an image has a label, (images, labels); a label of all images, or of none, does not count.
        predictions: Probability of each label, (seeds, images, labels).

    Returns:
        False positive rates (points,) and true positive rates (seeds, points); no seed where no label counts.
    """
    found = [_roc_of(truth[:, column], predictions[:, :, column]) for column in range(truth.shape[1])]
    rate = found[0][0]
    curves = [of_label for _, of_label in found if len(of_label)]
    return rate, np.mean(curves, axis=0) if curves else np.zeros((0, len(rate)))


def _roc_of(truth: _Floats, probability: _Floats) -> tuple[_Floats, _Floats]:
    both = np.stack([1 - probability, probability], axis=2)
    return mean_roc(truth.astype(np.int64), both, ["no", "yes"])
