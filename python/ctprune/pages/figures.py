"""Plots as inline SVG whose colors are the page's, so that they are right in light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What plots are drawn with, and the page's color that takes its place. The values matter only as marks.
KEPT, DROPPED, INK, LINE, PAPER = "#0b1c01", "#0b1c02", "#0b1c03", "#0b1c04", "#0b1c05"

#: One color for each of several results; the next ones begin again.
SERIES = [f"#0b2d{number:02x}" for number in range(8)]

_PAGE_COLORS = {KEPT: "--kept", DROPPED: "--dropped", INK: "--muted", LINE: "--line", PAPER: "--card"} | {
    mark: f"--series-{number}" for number, mark in enumerate(SERIES)
}

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    # Same input, same bytes: matplotlib's identifiers are random otherwise.
    "svg.hashsalt": "ctprune",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def draw_svg(
    draw: Callable[[Axes], None],
    name: str,
    description: str,
    inches: tuple[float, float],
    settings: Mapping[Any, Any] | None = None,
) -> str:
    """What `draw` puts on axes of this size, as part of a page.

    Args:
        draw: Draws on the axes, in the colors of this module.
        name: Of the figure, unlike those of the page's other figures.
        description: For those who cannot see it.
        inches: Width and height.
        settings: Of matplotlib, where they differ from those of all pages.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_SETTINGS, **(settings or {})}):
        figure = Figure(figsize=inches, layout="constrained", facecolor="none")
        axes = figure.subplots()
        axes.set_facecolor("none")
        draw(axes)
        file = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing, transparent=True)
    return _inline(file.getvalue(), name, description)


def _inline(svg: str, name: str, description: str) -> str:
    """Make matplotlib's SVG part of a page: colors from the page, no identifier twice, no address."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    for drawn, color in _PAGE_COLORS.items():
        svg = svg.replace(drawn, f"var({color})")
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    # The page says which font and how lines end.
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    return re.sub(
        r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>",
        rf'<svg viewBox="\1" role="img" aria-label="{description}">',
        svg,
        count=1,
    )
