"""The comparison's figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctprune.comparison.comparison import Comparison
from ctprune.comparison.verdict import SHOWN
from ctprune.evaluation.plots import draw_band, mean_roc
from ctprune.pages import INK, LINE, PAPER, SERIES, draw_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: Largest number of results that a figure names; with more, the colors in the table identify them.
MOST_NAMED = 12


def roc_figure(comparison: Comparison, name: str) -> str:
    """ROC curves of all results, each with the band over its trainings."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1)
        for index, result in enumerate(comparison.results):
            rate, curves = mean_roc(
                result.labels, result.probabilities, result.classes, positive=result.config.get("positive")
            )
            draw_band(axes, rate, curves, _color(index), _short(result.name, 40))
        axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel="False positive rate", ylabel="True positive rate")
        axes.set_aspect("equal")
        if axes.get_legend_handles_labels()[0] and len(comparison.results) <= MOST_NAMED:
            axes.legend(loc="lower right")

    return draw_svg(draw, name, "ROC curves of all results", (4.4, 4.2))


def auc_figure(comparison: Comparison, name: str) -> str:
    """AUC of each result with its interval."""

    def draw(axes: Axes) -> None:
        for index, (result, measures) in enumerate(zip(comparison.results, comparison.measures, strict=True)):
            auc = measures["auc"]
            row = len(comparison.results) - 1 - index
            axes.plot([auc.low, auc.high], [row, row], color=_color(index), linewidth=2)
            axes.plot([auc.mean], [row], "o", color=_color(index), markersize=6)
            _name_row(axes, row, _short(result.name, 64))
        _rows_only(axes, len(comparison.results))
        axes.set_xlabel("AUC, 95 % interval")

    return draw_svg(
        draw, name, "AUC of each result with its interval", (4.4, 0.9 + 0.56 * len(comparison.results))
    )


def difference_figure(comparison: Comparison, name: str) -> str:
    """Difference in AUC of each pair with its interval, and the line of no difference."""

    def draw(axes: Axes) -> None:
        for index, pair in enumerate(comparison.pairs):
            color = SERIES[0] if pair.verdict in SHOWN else INK
            row = len(comparison.pairs) - 1 - index
            # Of no difference; between the names, which it would cross.
            axes.plot([0, 0], [row - 0.38, row + 0.16], color=INK, linewidth=1, linestyle=(0, (4, 3)))
            axes.plot([pair.low, pair.high], [row, row], color=color, linewidth=2)
            axes.plot([pair.differences["auc"].value], [row], "o", color=color, markersize=6)
            _name_row(axes, row, f"{_short(pair.run, 30)} − {_short(pair.other, 30)}")
        _rows_only(axes, len(comparison.pairs))
        axes.set_xlabel("Difference in AUC, interval that decides")

    return draw_svg(draw, name, "Difference in AUC of each pair", (4.4, 0.9 + 0.56 * len(comparison.pairs)))


def slices_figure(comparison: Comparison, name: str) -> str | None:
    """AUC against the slices of the pre-training; None where fewer than two are known."""
    return _against(
        comparison, name, [result.slices for result in comparison.results], "Slices used for pre-training"
    )


def time_figure(comparison: Comparison, name: str) -> str | None:
    """AUC against the time of the pre-training; None where fewer than two are known."""
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

    def draw(axes: Axes) -> None:
        for index, (result, value, measures) in enumerate(
            zip(comparison.results, values, comparison.measures, strict=True)
        ):
            if value is None:
                continue
            auc = measures["auc"]
            axes.plot([value, value], [auc.low, auc.high], color=_color(index), linewidth=1.6, alpha=0.55)
            axes.plot([value], [auc.mean], "o", color=_color(index), markersize=7, label=_short(result.name, 40))
        axes.set(xlabel=label, ylabel="AUC, 95 % interval")
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
    return draw_svg(draw, name, f"AUC against: {label}", (4.4, height))


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
