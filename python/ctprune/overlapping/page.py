"""A self-contained HTML page of the overlap: numbers, volumes as aligned strips, slices side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctprune import _core
from ctprune.duplicates.pairs import Pair, aligned
from ctprune.environment.progress import Operation
from ctprune.files.atomic import replace_file
from ctprune.overlapping.both import Both
from ctprune.overlapping.config import OverlapConfig
from ctprune.overlapping.near import TURNS, Near
from ctprune.overlapping.result import Overlap
from ctprune.pages import environment_of, style_of
from ctprune.reading.thumbnails import Pictures, make_pictures

#: Most bytes of all pictures.
_PICTURE_BYTES = 2_400_000

#: Most pairs of volumes that are shown, and aligned slices of each.
_STRIPS, _SLICES = 8, 8

#: Wide enough for lungs, soft tissue and bone at once.
_WINDOW = "hu:-1000,600"


@dataclass(frozen=True)
class _Shown:
    """A slice of B and the nearest slice of A, by their rows."""

    row: int
    other: int
    bits: int
    turn: str


def write_page(
    file: Path,
    found: Overlap,
    both: Both,
    near: Near,
    pairs: list[Pair],
    config: OverlapConfig,
    operation: Operation,
) -> None:
    """Write the page, which is self-contained and holds no path and no patient's name.

    Raises:
        OutputError: The file cannot be written.
    """
    # The longest common parts first, since they matter most.
    strips = sorted(pairs, key=lambda pair: (pair.median_bits, -pair.overlap, pair.a, pair.b))[:_STRIPS]
    rows = [aligned(both, pair, _SLICES) for pair in strips]
    shown = _chosen(both, near, config.pairs)
    pictures = _pictures(both, rows, shown, config, operation)
    page = (
        environment_of("ctprune.overlapping")
        .get_template("overlap.html")
        .render(
            style=style_of("ctprune.overlapping"),
            found=found,
            least=config.min_correlation,
            volumes=list(zip(strips, rows, strict=True)),
            pairs=len(pairs),
            shown=shown,
            pictures=pictures,
            name=lambda row: _name(both, row),
            index_of=lambda row: both.slice_index[row],
            number_of=both.number_of_volume,
            version=_core.__version__,
        )
    )
    with replace_file(file) as beside:
        beside.write_text(page, encoding="utf-8")


def _pictures(
    both: Both,
    strips: list[list[tuple[int, int]]],
    shown: list[_Shown],
    config: OverlapConfig,
    operation: Operation,
) -> Pictures:
    rows = [row for strip in strips for pair in strip for row in pair]
    rows += [row for pair in shown for row in (pair.row, pair.other)]
    return make_pictures(
        both, rows, _WINDOW, most_bytes=_PICTURE_BYTES, threads=config.threads, operation=operation
    )


def _chosen(both: Both, near: Near, most: int) -> list[_Shown]:
    """Pairs of slices to show: the closest of each volume of B first, then the second closest, and so on."""
    at = np.flatnonzero(near.found)
    at = at[np.lexsort((at, near.turn[at], near.bits[at]))]
    volumes = both.volume[both.of_a + at]
    # How many closer slices of its volume come before each.
    order = np.argsort(volumes, kind="stable")
    _, starts, counts = np.unique(volumes[order], return_index=True, return_counts=True)
    before = np.empty(len(at), np.int64)
    before[order] = np.arange(len(at)) - np.repeat(starts, counts)
    chosen = at[np.lexsort((np.arange(len(at)), before))][:most]
    return [
        _Shown(int(both.of_a + row), int(near.row[row]), int(near.bits[row]), TURNS[near.turn[row]])
        for row in chosen.tolist()
    ]


def _name(both: Both, row: int) -> str:
    """The place of a slice, in words."""
    position = both.position_mm[row]
    where = f", {position:.1f} mm".replace("-", "−") if position == position else ""
    return f"volume {both.number(row)}, slice {both.slice_index[row]}{where}"
