"""The comparison's figures as inline SVG in the page's colours, so that they are right in light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ctprune.comparison.comparison import Comparison
from ctprune.evaluation.plots import draw_band, mean_roc
from ctprune.extras import extra

with extra("train", "drawing"):
    import matplotlib as mpl
    from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: As many results have a colour of their own; the next ones begin again.
SERIES = 8

#: What figures are drawn with, and the page's colour that takes its place. The values matter only as marks.
_INK, _LINE = "#0b1c03", "#0b1c04"
_SERIES = [f"#0b2d{number:02x}" for number in range(SERIES)]
_PAGE_COLOURS = {_INK: "--muted", _LINE: "--line"} | {
    mark: f"--series-{number}" for number, mark in enumerate(_SERIES)
}

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    # Same input, same bytes: matplotlib's identifiers are random otherwise.
    "svg.hashsalt": "ctprune",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def roc_figure(comparison: Comparison) -> str:
    """ROC curves of all results, each with the band over its seeds."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_LINE, linewidth=1)
        for index, result in enumerate(comparison.results):
            rate, curves = mean_roc(
                result.labels, result.probabilities, result.classes, positive=result.config.get("positive")
            )
            draw_band(axes, rate, curves, _colour(index), result.name)
        axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel="False positive rate", ylabel="True positive rate")
        axes.set_aspect("equal")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right")

    return _svg(draw, "ROC curves of all results", (4.4, 4.2))


def auc_figure(comparison: Comparison) -> str:
    """AUC of each result with its interval."""

    def draw(axes: Axes) -> None:
        for index, (result, measures) in enumerate(zip(comparison.results, comparison.measures, strict=True)):
            auc = measures["auc"]
            row = len(comparison.results) - 1 - index
            axes.plot([auc.low, auc.high], [row, row], color=_colour(index), linewidth=2)
            axes.plot([auc.mean], [row], "o", color=_colour(index), markersize=6)
            axes.annotate(result.name, (auc.low, row), (0, 6), textcoords="offset points", fontsize=8)
        _rows_only(axes, len(comparison.results))
        axes.set_xlabel("AUC, 95 % interval")

    return _svg(draw, "AUC of each result with its interval", (4.4, 0.9 + 0.46 * len(comparison.results)))


def difference_figure(comparison: Comparison) -> str:
    """Difference in AUC of each pair with its interval, and the line of no difference."""

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
        for index, pair in enumerate(comparison.pairs):
            found = pair.differences["auc"]
            colour = _INK if pair.verdict in ("noise", "unclear", "undefined") else _SERIES[0]
            row = len(comparison.pairs) - 1 - index
            axes.plot([found.low, found.high], [row, row], color=colour, linewidth=2)
            axes.plot([found.value], [row], "o", color=colour, markersize=6)
            axes.annotate(
                f"{pair.run} − {pair.other}", (found.low, row), (0, 6), textcoords="offset points", fontsize=8
            )
        _rows_only(axes, len(comparison.pairs))
        axes.set_xlabel("Difference in AUC, 95 % interval")

    return _svg(draw, "Difference in AUC of each pair", (4.4, 0.9 + 0.46 * len(comparison.pairs)))


def slices_figure(comparison: Comparison) -> str | None:
    """AUC against the slices of the pre-training; None where fewer than two are known."""
    return _against(comparison, [result.slices for result in comparison.results], "Slices used for pre-training")


def time_figure(comparison: Comparison) -> str | None:
    """AUC against the time of the pre-training; None where fewer than two are known."""
    minutes = [
        None if result.pretraining_seconds is None else result.pretraining_seconds / 60
        for result in comparison.results
    ]
    return _against(comparison, minutes, "Pre-training time, minutes")


def _against(comparison: Comparison, values: list[float | None] | list[int | None], label: str) -> str | None:
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
            axes.plot([value, value], [auc.low, auc.high], color=_colour(index), linewidth=1.6, alpha=0.55)
            axes.plot([value], [auc.mean], "o", color=_colour(index), markersize=7, label=result.name)
        axes.set(xlabel=label, ylabel="AUC, 95 % interval")
        axes.set_xlim(left=-0.04 * max(known), right=1.06 * max(known))
        axes.grid(axis="y")
        axes.legend(loc="lower right", fontsize=7.5)

    return _svg(draw, f"AUC against: {label}", (4.4, 3.2))


def _colour(index: int) -> str:
    return _SERIES[index % SERIES]


def _rows_only(axes: Axes, rows: int) -> None:
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=5)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.5, rows - 0.3)
    axes.margins(x=0.08)
    axes.grid(axis="x")


def _svg(draw: Callable[[Axes], None], title: str, inches: tuple[float, float]) -> str:
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=inches, layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        # Each figure's identifiers are its own, as all stand in one page.
        mpl.rcParams["svg.hashsalt"] = title
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = drawn.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for mark, colour in _PAGE_COLOURS.items():
        text = text.replace(mark, f"var({colour})")
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
