"""Between the lungs: heart, great vessels, windpipe, gullet."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ctprune.phantom.canvas import Canvas, Piece, Tubes
from ctprune.phantom.torso import FAT_HU, Build

_AORTA = (
    (6, -28, 58),
    (-10, -30, 95),
    (-4, -18, 124),
    (10, 6, 134),
    (20, 28, 126),
    (24, 42, 108),
    (24, 46, 20),
)
_AORTA_LOW = ((24, 46, 20), (18, 46, -60), (8, 42, -150), (2, 40, -290))
_CAVA = ((-30, -18, 150), (-30, -16, 60), (-26, 4, 10), (-24, 22, -60), (-20, 30, -290))
_LUNG_TRUNK = ((16, -36, 60), (16, -30, 84), (6, -12, 92))
_RIGHT_BRANCH, _LEFT_BRANCH = ((6, -12, 92), (-36, 6, 84)), ((14, -22, 92), (38, 12, 90))
_NECK_VESSELS = (
    ((-8, -16, 130), (-26, -6, 260)),
    ((8, 2, 136), (26, 0, 260)),
    ((-30, -18, 150), (-40, -8, 230)),
)
_WINDPIPE = ((0, 0, 300), (-2, 6, 180), (0, 16, 108))
_BRONCHI = (((0, 16, 108), (-34, 18, 82)), ((0, 16, 108), (36, 22, 84)))
_GULLET = ((2, 16, 290), (4, 28, 110), (10, 34, 30), (26, 18, -20))


class Mediastinum:
    """Heart and what runs through the middle of one patient's chest and belly."""

    def __init__(self, rng: np.random.Generator, build: Build) -> None:
        self._blood_hu = rng.uniform(150, 230) if build.contrast else 44.0
        self._heart_scale = rng.uniform(0.9, 1.12)
        wide = rng.uniform(0.9, 1.2)
        self._vessels = Tubes.of(
            _chain(_AORTA, 14.5 * wide)
            + _chain(_AORTA_LOW, 11.0 * wide)
            + _chain(_CAVA, 9.5)
            + _chain(_LUNG_TRUNK, 13)
            + _chain(_RIGHT_BRANCH, 9)
            + _chain(_LEFT_BRANCH, 9)
            + [piece for path in _NECK_VESSELS for piece in _chain(path, 5)]
        )
        self._airways = Tubes.of(_chain(_WINDPIPE, 8.5) + [p for path in _BRONCHI for p in _chain(path, 6)])
        self._gullet = Tubes.of(_chain(_GULLET, 7))

    def paint(self, canvas: Canvas) -> None:
        """Paint from the heart outwards: airways last."""
        self._paint_heart(canvas)
        canvas.paint_tubes(self._gullet, 38.0)
        canvas.paint_tubes(self._vessels, 40.0, grow_mm=1.0)
        canvas.paint_tubes(self._vessels, self._blood_hu)
        canvas.paint_tubes(self._airways, 30.0, grow_mm=1.8)
        canvas.paint_tubes(self._airways, -990.0)

    def _paint_heart(self, canvas: Canvas) -> None:
        s = self._heart_scale
        chest = canvas.regions["chest"] - 2
        parts: list[tuple[tuple[float, float, float], tuple[float, float, float], float]] = [
            ((20, -30, 34), (58 * s, 43 * s, 48 * s), FAT_HU),
            ((20, -30, 34), (53 * s, 39 * s, 43 * s), 50.0 if self._blood_hu < 100 else 95.0),
            ((36, -22, 28), (25 * s, 22 * s, 30 * s), self._blood_hu),  # left ventricle
            ((2, -50, 28), (28 * s, 14 * s, 28 * s), self._blood_hu),  # right ventricle
            ((-20, -26, 38), (18 * s, 22 * s, 26 * s), self._blood_hu),  # right atrium
            ((10, 4, 52), (28 * s, 15 * s, 20 * s), self._blood_hu),  # left atrium
        ]
        for center, radii, value in parts:
            canvas.paint_ellipsoid(center, radii, value, roughness_mm=1.0, within=chest)


def _chain(points: tuple[tuple[float, ...], ...], radius_mm: float) -> list[Piece]:
    """Tubes of one radius from point to point."""
    return [(a, b, radius_mm, radius_mm) for a, b in pairwise(points)]
