"""Bones: spine, ribs, breastbone, collar bones, shoulder blades."""

from __future__ import annotations

import numpy as np

from ctprune.phantom.canvas import Canvas, Piece, Tubes
from ctprune.phantom.fields import Floats

CORTEX_HU, MARROW_HU, CARTILAGE_HU, DISC_HU = 720.0, 190.0, 115.0, 85.0

_VERTEBRA_MM, _DISC_MM = 27.0, 6.0
_SPINE_Y = 65.0
_RIB_PITCH_MM, _RIBS, _TOP_RIB_Z = 25.0, 12, 240.0
# A rib's shell lies this far outside the cavity.
_RIB_DEPTH_MM = 6.0


class Skeleton:
    """The bones of one patient; old bones are less dense."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._density = rng.uniform(0.75, 1.15)
        self._phase_mm = rng.uniform(0, _VERTEBRA_MM)
        self._rib_drop_mm = rng.uniform(92, 116)
        self._processes = Tubes.of(_processes(self._phase_mm))
        self._flat_bones = Tubes.of(_flat_bones())

    def paint(self, canvas: Canvas) -> None:
        """Paint all bones over everything else."""
        self._paint_ribs(canvas)
        for tubes in (self._processes, self._flat_bones):
            canvas.paint_tubes(tubes, CORTEX_HU * self._density)
            canvas.paint_tubes(tubes, MARROW_HU * self._density, grow_mm=-2.0)
        self._paint_spine(canvas)

    def _paint_spine(self, canvas: Canvas) -> None:
        window = canvas.window((-30, _SPINE_Y - 22), (30, _SPINE_Y + 50))
        x, y, texture = canvas.x[window], canvas.y[window] - _SPINE_Y, canvas.texture[window]
        # Height within a vertebra: 0 in its middle, half its height in the middle of a disc.
        within = np.abs((canvas.z[window[0]] + self._phase_mm) % _VERTEBRA_MM - _VERTEBRA_MM / 2)
        to_disc = (_VERTEBRA_MM - _DISC_MM) / 2 - within
        waist = 1 - 0.1 * np.clip(to_disc / 10, 0, 1)
        body = 18 * (waist - np.hypot(x / 23, y / 17))
        canvas.blend(body, DISC_HU, window)
        bone = np.minimum(body, to_disc)
        canvas.blend(bone, CORTEX_HU * 0.75 * self._density, window)
        canvas.blend(bone - 1.8, MARROW_HU * self._density + 28 * texture, window)
        # The arch behind the body is open between two vertebrae.
        arch = np.minimum(15 * (1 - np.hypot(x / 19, (y - 25) / 14)), to_disc + 2)
        canvas.blend(arch, CORTEX_HU * 0.7 * self._density, window)
        canal = 9 * (1 - np.hypot(x / 11, (y - 24) / 8.5))
        canvas.blend(canal, 12.0, window)
        canvas.blend(canal - 3, 38.0, window)

    def _paint_ribs(self, canvas: Canvas) -> None:
        cavity = canvas.regions["cavity"]
        radial = np.abs(cavity + _RIB_DEPTH_MM)
        # 0 at the spine, pi at the breastbone.
        angle = np.arctan2(np.abs(canvas.x), canvas.y)
        drop = self._rib_drop_mm * np.sin(np.minimum(angle, 2.4) * 0.72)
        order = (_TOP_RIB_Z - canvas.z - drop) / _RIB_PITCH_MM
        nearest = np.clip(np.rint(order), 0, _RIBS - 1)
        height = (order - nearest) * _RIB_PITCH_MM
        # The lower ribs end short of the breastbone.
        longest = np.interp(np.arange(_RIBS), [0, 6, 9, 11], [2.95, 2.9, 2.2, 1.3]).astype(np.float32)
        to_tip = (longest[nearest.astype(np.intp)] - angle) * 90
        rib = np.minimum(4.5 * (1 - np.hypot(radial / 4.2, height / 5.2)), np.minimum(to_tip, (angle - 0.3) * 60))
        hu = np.where(angle > 2.45, CARTILAGE_HU, CORTEX_HU * self._density).astype(np.float32)
        canvas.blend(rib.astype(np.float32), hu)
        marrow: Floats = np.where(angle > 2.45, CARTILAGE_HU, MARROW_HU * self._density).astype(np.float32)
        canvas.blend(rib.astype(np.float32) - 2, marrow)


def _processes(phase_mm: float) -> list[Piece]:
    """List the spikes of each vertebra: one back and down, one to each side."""
    pieces: list[Piece] = []
    for index in range(-12, 13):
        z = (index + 0.5) * _VERTEBRA_MM - phase_mm
        pieces.append(((0, _SPINE_Y + 36, z), (0, _SPINE_Y + 47, z - 12), 3.6, 3.2))
        pieces += [((s * 17, _SPINE_Y + 22, z), (s * 37, _SPINE_Y + 28, z + 3), 4.5, 4.0) for s in (-1, 1)]
    return pieces


def _flat_bones() -> list[Piece]:
    """Breastbone, collar bones and shoulder blades as rows of rods."""
    pieces: list[Piece] = []
    for x in (-10, -5, 0, 5, 10):
        pieces.append(((x, -99, 20), (x, -97, 110), 5.5, 5.5))
        pieces.append(((1.6 * x, -95, 115), (2.0 * x, -80, 158), 5.5, 6))
    for side in (-1, 1):
        pieces.append(((side * 24, -76, 160), (side * 130, -20, 206), 7, 6))
        for step in range(6):
            top, bottom = 205 - 3 * step, 60 + 16 * step
            x = 70 + 12 * step
            pieces.append(((side * x, 84 - 9 * step, top), (side * (x - 4), 98 - 8 * step, bottom), 3.2, 2.6))
    return pieces
