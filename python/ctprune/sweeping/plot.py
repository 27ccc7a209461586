"""The plot of a sweep: a panel per method, kept fraction against threshold, with the wanted fractions marked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprune.files.atomic import replace_file
from ctprune.manifest.derived import SWEEP_PNG_NAME, SWEEP_SVG_NAME
from ctprune.sweeping.result import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL_INCHES = (4.6, 3.6)
_LINE, _MARK, _GRID = "#1f5f8b", "#c8553d", "#d9d9d9"


def save_plots(result: Sweep, folder: Path) -> None:
    """Write `sweep.png` and `sweep.svg`.

    Raises:
        OutputError: The folder cannot be written.
    """
    import matplotlib

    # The same sweep gives the same bytes: no date, and no random part in the names of an SVG's elements.
    style = matplotlib.rc_context({"svg.hashsalt": "ctprune", "svg.fonttype": "none", "font.size": 9})
    with style:
        figure = draw(result)
        with replace_file(folder / SWEEP_PNG_NAME) as beside:
            figure.savefig(beside, format="png", dpi=150)
        with replace_file(folder / SWEEP_SVG_NAME) as beside:
            figure.savefig(beside, format="svg", metadata={"Date": None})


def draw(result: Sweep) -> Figure:
    """The figure; it belongs to no window."""
    from matplotlib.figure import Figure

    methods = result.about["methods"]
    width, height = _PANEL_INCHES
    columns = min(len(methods), 2)
    rows = -(-len(methods) // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for panel, method in zip(panels, methods, strict=False):
        _draw_method(panel, result, method)
    for panel in panels[len(methods) :]:
        panel.set_axis_off()
    for panel in panels[::columns]:
        panel.set_ylabel("kept slices (%)")
    about = result.about
    figure.suptitle(
        f"slices: {about['slices']:,}; volumes: {about['volumes']:,}; compared within the {about['scope']}"
    )
    return figure


def _draw_method(panel: Axes, result: Sweep, method: dict[str, Any]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    thresholds, fractions = result.curve(method["name"])
    # Where thresholds drop nothing yet or nothing more, there is nothing to see.
    falling = (fractions > fractions.min()).nonzero()[0]
    dropping = (fractions < fractions.max()).nonzero()[0]
    shown = slice(max(int(min(dropping, default=0)) - 2, 0), int(max(falling, default=0)) + 3)
    thresholds, fractions = thresholds[shown], fractions[shown]
    panel.plot(thresholds, 100 * fractions, color=_LINE, marker=".", markersize=4, linewidth=1.2)
    panel.set_yscale("log")
    # Room for what is written beside the curve.
    panel.margins(x=0.2 if thresholds[0] > thresholds[-1] else 0.05)
    lowest = min(0.04, float(result.table["kept_fraction"].min()))
    panel.set_ylim(100 * lowest * 0.8, 130)
    panel.set_yticks([tick for tick in (0.01, 0.1, 1, 5, 10, 25, 50, 100) if tick >= 80 * lowest])
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.ticklabel_format(axis="x", useOffset=False)
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.grid(color=_GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.set_title(method["name"], loc="left", fontweight="bold")
    panel.set_xlabel(method["measure"])
    _mark_targets(panel, result, method["name"])


def _mark_targets(panel: Axes, result: Sweep, method: str) -> None:
    found = {target["threshold"]: target for target in result.targets if target["method"] == method}
    thresholds, _ = result.curve(method)
    # Beside the curve, not on it: it falls with a distance and rises with a similarity.
    falls = bool(thresholds[0] <= thresholds[-1])
    for threshold, target in found.items():
        percent = 100 * target["kept_fraction"]
        panel.plot([threshold], [percent], marker="o", color=_MARK, markersize=5)
        panel.annotate(
            f"{threshold:.5g}: {percent:.3g} %",
            (threshold, percent),
            xytext=(6 if falls else -6, 4),
            textcoords="offset points",
            horizontalalignment="left" if falls else "right",
            color=_MARK,
            fontsize=8,
        )
