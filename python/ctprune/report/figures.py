"""The report's plots."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ctprune.pages import DROPPED, INK, KEPT, draw_svg
from ctprune.report.nearest import Nearest
from ctprune.report.run_slices import Floats, RunSlices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_INCHES = (3.9, 2.35)

_SETTINGS: dict[Any, Any] = {
    "axes.grid": True,
    "axes.grid.axis": "y",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}

_BODY_BINS = 20


def volumes_figure(slices: RunSlices) -> str:
    """Histogram of the kept fraction per volume."""

    def draw(axes: Axes) -> None:
        axes.hist(slices.kept_fraction * 100, bins=list(range(0, 105, 5)), color=KEPT, rwidth=0.88)
        overall = slices.kept.mean() * 100
        axes.axvline(overall, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        is_left = overall < 60
        axes.annotate(
            f"all slices: {overall:.1f} %",
            (overall, 1),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            xytext=(4 if is_left else -4, 0),
            ha="left" if is_left else "right",
            va="top",
            fontsize=8.5,
        )
        axes.margins(y=0.16)
        axes.set(xlim=(0, 100), xlabel="slices kept, %", ylabel="volumes")
        axes.set_xticks(range(0, 101, 20))
        _whole_numbers(axes.yaxis)

    return _svg("volumes", draw, "Histogram: volumes by the fraction of their slices that was kept")


def body_figure(slices: RunSlices) -> str | None:
    """Kept fraction along the volume; None if no volume has two slices."""
    position = slices.relative_position
    known = np.isfinite(position)
    if not known.any():
        return None
    bins = np.minimum((position[known] * _BODY_BINS).astype(np.int64), _BODY_BINS - 1)
    count = np.bincount(bins, minlength=_BODY_BINS)
    kept = np.bincount(bins[slices.kept[known]], minlength=_BODY_BINS)

    def draw(axes: Axes) -> None:
        share = np.divide(100.0 * kept, count, out=np.zeros(_BODY_BINS), where=count > 0)
        axes.bar((np.arange(_BODY_BINS) + 0.5) / _BODY_BINS, share, width=0.88 / _BODY_BINS, color=KEPT)
        axes.axhline(slices.kept.mean() * 100, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlim=(0, 1), ylim=(0, None), xlabel="relative position in the volume", ylabel="slices kept, %")
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["first", "¼", "½", "¾", "last"])
        axes.get_xticklabels()[0].set_horizontalalignment("left")
        axes.get_xticklabels()[-1].set_horizontalalignment("right")

    return _svg("body", draw, "Bars: fraction of slices kept along the volume, from the first slice to the last")


def similarity_figure(slices: RunSlices, nearest: Nearest | None) -> str | None:
    """Distances of dropped slices to exemplars, and of kept slices to earlier ones; None if not measured."""
    measure = slices.measure
    dropped = slices.similarity[~slices.kept & np.isfinite(slices.similarity)]
    if measure is None or not len(dropped):
        return None

    apart = nearest.value if nearest is not None else np.array([])

    def draw_bits(axes: Axes) -> None:
        covered = np.bincount(dropped.astype(np.int64))
        before = np.bincount(apart.astype(np.int64))
        axes.bar(np.arange(len(covered)), covered, width=0.85, color=DROPPED)
        axes.bar(np.arange(len(before)), before, width=0.85, color=KEPT)
        axes.set(xlabel="Hamming distance, bits", ylabel="slices")
        _whole_numbers(axes.xaxis)
        _whole_numbers(axes.yaxis)

    def draw_similarity(axes: Axes) -> None:
        edges = _edges(np.concatenate([dropped, apart]), slices.threshold)
        axes.hist(dropped, bins=edges, color=DROPPED, rwidth=0.92)
        axes.hist(apart, bins=edges, color=KEPT, rwidth=0.92, alpha=0.75)
        axes.set(xlabel=f"{measure.name} to the exemplar", ylabel="slices")
        axes.locator_params(axis="x", nbins=5)
        _whole_numbers(axes.yaxis)

    def draw(axes: Axes) -> None:
        (draw_bits if measure.unit == "bits" else draw_similarity)(axes)
        if slices.method.decides and slices.threshold is not None:
            edge = slices.threshold + (0.5 if measure.unit == "bits" else 0)
            axes.axvline(edge, color=INK, linewidth=1, linestyle=(0, (4, 3)))

    return _svg("similarity", draw, f"Histogram: {measure.name} of slices to the slice that covers them")


def _edges(values: Floats, threshold: float | None) -> list[float]:
    """Edges of about thirty bins; one edge is the threshold, so that no bar lies on both sides of it."""
    low, high = float(values.min()), float(values.max())
    step = (high - low) / 30 or 1.0
    # The manifest's values are 32-bit numbers, and one of them may equal the threshold.
    middle = low if threshold is None else min(max(float(np.float32(threshold)), low), high)
    below, above = math.ceil((middle - low) / step), math.ceil((high - middle) / step) or 1
    return [middle + step * index for index in range(-below, above + 1)]


def _whole_numbers(axis: Axis) -> None:
    """Only whole numbers as ticks, and no more than fit."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def _svg(name: str, draw: Callable[[Axes], None], description: str) -> str:
    return draw_svg(draw, name, description, _INCHES, _SETTINGS)
