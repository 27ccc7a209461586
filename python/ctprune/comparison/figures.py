"""The comparison's figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctprune.comparison.comparison import Comparison
from ctprune.comparison.result import Result
from ctprune.comparison.verdict import SHOWN
from ctprune.evaluation.output_plots import mean_label_roc
from ctprune.evaluation.plots import draw_band, mean_roc
from ctprune.finetuning.words import sentence_case
from ctprune.options.shared import CLASSES, MULTI_LABEL
from ctprune.pages import INK, LINE, PAPER, SERIES, draw_svg

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.axes import Axes


#: Largest number of results that a figure names; with more, the colors in the table identify them.
MOST_NAMED = 12


def roc_figure(comparison: Comparison, name: str) -> str | None:
    """ROC curves of all results, each with the band over its trainings; None for levels and numbers."""
    if comparison.results[0].target not in (CLASSES, MULTI_LABEL):
        return None

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1)
        for index, result in enumerate(comparison.results):
            rate, curves = _roc(result)
            why = comparison.decisive.undefined
            draw_band(axes, rate, curves, _color(index), _short(result.name, 40), undefined=why)
        axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel="False positive rate", ylabel="True positive rate")
        axes.set_aspect("equal")
        if axes.get_legend_handles_labels()[0] and len(comparison.results) <= MOST_NAMED:
            axes.legend(loc="lower right")

    return draw_svg(draw, name, "ROC curves of all results", (4.4, 4.2))


def _roc(result: Result) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if result.target == MULTI_LABEL:
        return mean_label_roc(result.truth, result.probabilities)
    positive = result.config.get("positive")
    return mean_roc(result.labels, result.probabilities, result.classes, positive=positive)


def measure_figure(comparison: Comparison, name: str) -> str:
    """The measure that decides, of each result with its interval."""
    title = sentence_case(comparison.decisive.title)

    def draw(axes: Axes) -> None:
        for index, (result, measures) in enumerate(zip(comparison.results, comparison.measures, strict=True)):
            found = measures[comparison.decisive.metric]
            row = len(comparison.results) - 1 - index
            axes.plot([found.low, found.high], [row, row], color=_color(index), linewidth=2)
            axes.plot([found.mean], [row], "o", color=_color(index), markersize=6)
            _name_row(axes, row, _short(result.name, 64))
        _rows_only(axes, len(comparison.results))
        axes.set_xlabel(f"{title}, 95 % interval")

    return draw_svg(
        draw, name, f"{title} of each result with its interval", (4.4, 0.9 + 0.56 * len(comparison.results))
    )


def difference_figure(comparison: Comparison, name: str) -> str:
    """Difference of each pair in the measure that decides, with its interval, and the line of no difference."""
    title = f"Difference in {comparison.decisive.title}"

    def draw(axes: Axes) -> None:
        for index, pair in enumerate(comparison.pairs):
            color = SERIES[0] if pair.verdict in SHOWN else INK
            row = len(comparison.pairs) - 1 - index
            # Of no difference; between the names, which it would cross.
            axes.plot([0, 0], [row - 0.38, row + 0.16], color=INK, linewidth=1, linestyle=(0, (4, 3)))
            axes.plot([pair.low, pair.high], [row, row], color=color, linewidth=2)
            axes.plot([pair.differences[comparison.decisive.metric].value], [row], "o", color=color, markersize=6)
            _name_row(axes, row, f"{_short(pair.run, 30)} − {_short(pair.other, 30)}")
        _rows_only(axes, len(comparison.pairs))
        axes.set_xlabel(f"{title}, interval that decides")

    return draw_svg(draw, name, f"{title} of each pair", (4.4, 0.9 + 0.56 * len(comparison.pairs)))


def slices_figure(comparison: Comparison, name: str) -> str | None:
    """The measure that decides against the slices of the pre-training; None where fewer than two are known."""
    return _against(
        comparison, name, [result.slices for result in comparison.results], "Slices used for pre-training"
    )


def time_figure(comparison: Comparison, name: str) -> str | None:
    """The measure that decides against the time of the pre-training; None where fewer than two are known."""
    minutes = [
        None if result.pretraining_seconds is None else result.pretraining_seconds / 60
        for result in comparison.results
    ]
    return _against(comparison, name, minutes, "Pre-training time, minutes")


def _against(
    comparison: Comparison, name: str, values: list[float | None] | list[int | None], label: str
) -> str | None:
    known = [value for value in values if value]
    if len(known) < 2:
        return None
    title = sentence_case(comparison.decisive.title)

    def draw(axes: Axes) -> None:
        for index, (result, value, measures) in enumerate(
            zip(comparison.results, values, comparison.measures, strict=True)
        ):
            if value is None:
                continue
            found = measures[comparison.decisive.metric]
            axes.plot([value, value], [found.low, found.high], color=_color(index), linewidth=1.6, alpha=0.55)
            axes.plot([value], [found.mean], "o", color=_color(index), markersize=7, label=_short(result.name, 40))
        axes.set(xlabel=label, ylabel=f"{title}, 95 % interval")
        axes.set_xlim(left=-0.04 * max(known), right=1.06 * max(known))
        axes.grid(axis="y")
        if named:
            # Above the axes, as intervals may be anywhere in them.
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), fontsize=7.5, ncols=columns)

    names = [
        _short(result.name, 40)
        for result, value in zip(comparison.results, values, strict=True)
        if value is not None
    ]
    named = len(names) <= MOST_NAMED
    columns = 2 if max(map(len, names)) <= 20 else 1
    height = 2.9 + (0.16 * -(-len(names) // columns) if named else 0)
    return draw_svg(draw, name, f"{title} against: {label}", (4.4, height))


def _color(index: int) -> str:
    return SERIES[index % len(SERIES)]


def _short(name: str, most: int) -> str:
    """A name short enough for a figure: of a long one both ends, which distinguish it from others."""
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[-end:]}"


def _name_row(axes: Axes, row: int, name: str) -> None:
    annotation = axes.annotate(
        name,
        (0, row),
        (0, 10),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        fontsize=8,
        # Nothing shows through: lines of the grid end at a name.
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
    )
    # A name may be wider than the axes, which must not shrink for it.
    annotation.set_in_layout(False)


def _rows_only(axes: Axes, rows: int) -> None:
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=5)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.5, rows - 0.3)
    axes.margins(x=0.08)
    axes.grid(axis="x")
