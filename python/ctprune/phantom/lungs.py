"""Lungs: air and fine tissue, with a branching tree of vessels."""

from __future__ import annotations

import numpy as np

from ctprune.phantom.canvas import LUNG, Canvas, Piece, Tubes, rounded_minimum
from ctprune.phantom.fields import Floats

LUNG_HU, VESSEL_HU = -855.0, 30.0

# Half width of what lies between the lungs, by y (mm): thin in front, the spine at the back.
_GAP_Y = np.array([-95, -60, -30, 25, 60, 95])
_GAP_X = np.array([7, 11, 28, 32, 29, 26])

# First directions of the vessels out of the hilum: (lateral, back, up).
_TRUNKS = (
    (0.4, -0.2, 1.0),
    (0.8, -0.7, 0.6),
    (1.0, 0.3, 0.4),
    (0.9, -0.6, -0.4),
    (0.7, 0.6, -0.6),
    (0.3, 0.5, -1.0),
)


class Lungs:
    """Both lungs of one patient."""

    def __init__(self, rng: np.random.Generator) -> None:
        pieces: list[Piece] = []
        for side in (-1, 1):
            for lateral, back, up in _TRUNKS:
                direction = np.array([side * lateral, back, up]) + rng.normal(0, 0.12, 3)
                _grow(rng, pieces, np.array([side * 34.0, 12, 78]), direction, radius_mm=5.5, generations=6)
        self._vessels = Tubes.of(pieces)

    def paint(self, canvas: Canvas) -> None:
        """Paint lungs and vessels; leave the region "lung"."""
        lung = _lung_distance(canvas)
        canvas.regions["lung"] = lung
        if lung.max() < -1:
            return
        # Blood sinks: the back of a lying patient's lung is denser.
        tissue = LUNG_HU + 0.25 * canvas.y + 20 * canvas.texture + 50 * canvas.patches
        canvas.blend(lung, tissue, organ=LUNG)
        canvas.paint_tubes(self._vessels, VESSEL_HU, within=lung, organ=LUNG)


def _lung_distance(canvas: Canvas) -> Floats:
    gap = np.interp(canvas.plane.y, _GAP_Y, _GAP_X).astype(np.float32)[:, None]
    aside = np.abs(canvas.x) - gap
    return rounded_minimum(rounded_minimum(canvas.regions["cavity"] - 4, aside), canvas.regions["chest"] - 2)


def _grow(
    rng: np.random.Generator,
    pieces: list[Piece],
    start: np.ndarray,
    direction: np.ndarray,
    radius_mm: float,
    generations: int,
) -> None:
    """Add a piece of vessel and, recursively, its two branches."""
    direction = direction / np.linalg.norm(direction)
    end = start + direction * radius_mm * rng.uniform(5.0, 8.0)
    pieces.append((tuple(start), tuple(end), radius_mm, 0.85 * radius_mm))
    if generations == 1:
        return
    for spread in (rng.normal(0, 0.45, 3), rng.normal(0, 0.45, 3)):
        _grow(rng, pieces, end, direction + spread, radius_mm * rng.uniform(0.68, 0.88), generations - 1)
