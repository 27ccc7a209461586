"""Figures of a model's predictions: ROC, precision–recall, calibration, confusion. No window is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from ctprune.evaluation.metrics import CALIBRATION_BINS, calibration_bin
from ctprune.evaluation.predictions import checked_labels, checked_probabilities, positive_class
from ctprune.files.atomic import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colors that stay apart for the color-blind (Okabe and Ito), the darker ones first.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a7a", "#000000")

#: Where curves of several seeds are averaged.
_GRID = np.linspace(0, 1, 201)

_Floats: TypeAlias = npt.NDArray[np.float64]
_Draw: TypeAlias = Callable[[npt.NDArray[np.bool_], _Floats], _Floats]


def mean_roc(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, classes: Sequence[str], *, positive: str | None = None
) -> tuple[_Floats, _Floats]:
    """The ROC curve of each seed at the same false positive rates.

    With more than two classes, the mean over the classes that have an image, each against the rest.

    Returns:
        False positive rates (points,) and true positive rates (seeds, points); no seed where a class is missing.
    """
    curves = list(_curves(labels, probabilities, classes, positive, _roc))
    return _GRID, np.array(curves).reshape(-1, len(_GRID))


def draw_roc(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, classes: Sequence[str], *, positive: str | None = None
) -> Figure:
    """The ROC curve, mean over seeds with the band from the lowest to the highest."""
    figure, axes = _square("False positive rate", "True positive rate", _of_whom(classes, positive))
    rate, curves = mean_roc(labels, probabilities, classes, positive=positive)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
    draw_band(axes, rate, curves, COLORS[0])
    return figure


def draw_precision_recall(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, classes: Sequence[str], *, positive: str | None = None
) -> Figure:
    """Precision against recall, mean over seeds with the band from the lowest to the highest."""
    figure, axes = _square("Recall", "Precision", _of_whom(classes, positive))
    curves = list(_curves(labels, probabilities, classes, positive, _precision_recall))
    draw_band(axes, _GRID, np.array(curves).reshape(-1, len(_GRID)), COLORS[0])
    return figure


def draw_calibration(labels: npt.ArrayLike, probabilities: npt.ArrayLike, classes: Sequence[str]) -> Figure:
    """How often the predicted class is right, against its probability; a dot's area grows with its images."""
    label = checked_labels(labels, classes)
    probability = checked_probabilities(probabilities, len(label), classes)
    confidence = probability.max(axis=2).ravel()
    right = (probability.argmax(axis=2) == label).ravel()
    bins = calibration_bin(confidence)
    count = np.bincount(bins, minlength=CALIBRATION_BINS)
    filled = count > 0
    mean_confidence = np.bincount(bins, weights=confidence, minlength=CALIBRATION_BINS)[filled] / count[filled]
    accuracy = np.bincount(bins, weights=right, minlength=CALIBRATION_BINS)[filled] / count[filled]
    figure, axes = _square("Probability of the predicted class", "Share predicted rightly")
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
    axes.plot(mean_confidence, accuracy, color=COLORS[0], linewidth=1)
    axes.scatter(mean_confidence, accuracy, s=10 + 250 * count[filled] / count.sum(), color=COLORS[0])
    return figure


def draw_confusion(labels: npt.ArrayLike, probabilities: npt.ArrayLike, classes: Sequence[str]) -> Figure:
    """Images by true and predicted class, the mean over seeds; shaded by the share of the true class."""
    label = checked_labels(labels, classes)
    probability = checked_probabilities(probabilities, len(label), classes)
    predicted = probability.argmax(axis=2)
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (np.broadcast_to(label, predicted.shape), predicted), 1 / len(predicted))
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    side = max(4.0, 0.7 * len(classes) + 1.6)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        color = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]:.3g}", ha="center", va="center", color=color)
    # Names are shown as they are: one may look like a formula, and a broken one would end the drawing.
    axes.set_xticks(range(len(classes)), classes, rotation=45 if len(classes) > 3 else 0, parse_math=False)
    axes.set_yticks(range(len(classes)), classes, parse_math=False)
    axes.set_xlabel("Predicted")
    axes.set_ylabel("True")
    return figure


def save_plots(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
    folder: Path,
    *,
    positive: str | None = None,
) -> list[Path]:
    """Write all four figures into a folder as PNG and SVG; the files, in order.

    Raises:
        EvaluationError: Labels or probabilities are not valid.
        OutputError: A file cannot be written.
    """
    figures = {
        "roc": draw_roc(labels, probabilities, classes, positive=positive),
        "precision_recall": draw_precision_recall(labels, probabilities, classes, positive=positive),
        "calibration": draw_calibration(labels, probabilities, classes),
        "confusion": draw_confusion(labels, probabilities, classes),
    }
    return [file for name, figure in figures.items() for file in save_figure(figure, folder / name)]


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as `stem`.png and `stem`.svg: the same bytes for the same figure."""
    files = [stem.with_name(f"{stem.name}.{ending}") for ending in ("png", "svg")]
    for file in files:
        with replace_file(file) as beside, mpl.rc_context({"svg.hashsalt": "ctprune", "svg.fonttype": "none"}):
            figure.savefig(
                beside, format=file.suffix[1:], dpi=150, metadata={"Date": None} if file.suffix == ".svg" else None
            )
    return files


def draw_band(
    axes: Axes,
    x: _Floats,
    curves: _Floats,
    color: str,
    name: str | None = None,
    *,
    undefined: str = "a class has no image",
) -> None:
    """The mean of several seeds' curves, with the band from the lowest to the highest; or why there is none."""
    if not len(curves):
        axes.text(0.5, 0.5, f"not defined: {undefined}", ha="center", va="center")
        return
    axes.plot(x, curves.mean(axis=0), color=color, linewidth=1.8, label=name)
    if len(curves) > 1:
        axes.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=color, alpha=0.18, linewidth=0)


def _of_whom(classes: Sequence[str], positive: str | None) -> str:
    """Which class a curve is of, in words."""
    which = positive_class(classes, positive)
    return f"mean over {len(classes)} classes" if which is None else f"positive: {classes[which]}"


def _square(x: str, y: str, title: str = "") -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize="medium", parse_math=False)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x, ylabel=y, aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _curves(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, classes: Sequence[str], positive: str | None, draw: _Draw
) -> Iterator[_Floats]:
    """For each seed the mean curve over the classes that count; none where only one class has images."""
    label = checked_labels(labels, classes)
    which = positive_class(classes, positive)
    present = np.unique(label)
    if len(present) < 2:
        return
    for probability in checked_probabilities(probabilities, len(label), classes):
        averaged = present if which is None else [which]
        yield np.mean([draw(label == c, probability[:, c]) for c in averaged], axis=0)


def _roc(truth: npt.NDArray[np.bool_], score: _Floats) -> _Floats:
    false, true, _ = roc_curve(truth, score)
    curve: _Floats = np.interp(_GRID, false, true)
    curve[0] = 0.0
    return curve


def _precision_recall(truth: npt.NDArray[np.bool_], score: _Floats) -> _Floats:
    precision, recall, _ = precision_recall_curve(truth, score)
    # The precision that can be had at this recall or a higher one; no line is drawn between points, as the area
    # under such a line is not the average precision.
    return np.array([precision[recall >= level].max() for level in _GRID])
