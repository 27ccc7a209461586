"""What the self-contained HTML pages share: style, templates, and figures in the page's colors."""

from ctprune.pages.figures import DROPPED, INK, KEPT, LINE, PAPER, SERIES, draw_svg
from ctprune.pages.templates import environment_of, style_of

__all__ = ["DROPPED", "INK", "KEPT", "LINE", "PAPER", "SERIES", "draw_svg", "environment_of", "style_of"]
