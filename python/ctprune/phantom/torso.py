"""The body's outline: skin, fat, muscle and the cavity that holds the organs, above and below the diaphragm.

All shapes of the phantom are given in mm of one reference body, whose origin is the middle of the chest at
the height of the right dome of the diaphragm. A patient is that body scaled and warped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctprune.phantom.canvas import Canvas, rounded_minimum
from ctprune.phantom.fields import Floats

# Half axes of the cavity inside the ribs, and the muscle around it, by height (all mm).
_HEIGHTS = np.array([-260, -200, -80, 0, 100, 150, 190, 220, 260])
_CAVITY_X = np.array([120, 122, 130, 135, 125, 108, 82, 52, 20])
_CAVITY_Y = np.array([84, 86, 92, 98, 92, 82, 64, 44, 20])
_MUSCLE_X = np.array([16, 15, 15, 17, 22, 42, 76, 88, 48])
_MUSCLE_Y = np.array([16, 16, 15, 16, 18, 22, 36, 46, 46])

FAT_HU, MUSCLE_HU, SKIN_HU = -102.0, 52.0, 25.0


@dataclass(frozen=True)
class Build:
    """How bodies differ: scale of the reference body, fat under the skin, breasts, contrast medium."""

    scale: tuple[float, float, float]
    fat_mm: float
    breast_mm: float
    contrast: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Build:
        """Draw a random adult."""
        girth = rng.uniform(0.88, 1.1)
        return cls(
            scale=(girth, girth * rng.uniform(0.93, 1.07), rng.uniform(0.92, 1.08)),
            fat_mm=rng.uniform(8, 30),
            breast_mm=rng.uniform(24, 38) if rng.random() < 0.5 else 0.0,
            contrast=bool(rng.random() < 0.6),
        )


def half_axes_mm(build: Build, z: Floats) -> tuple[Floats, Floats]:
    """Half width and half depth of the body at heights `z` of the reference body, in mm of it."""
    width = np.interp(z, _HEIGHTS, _CAVITY_X + _MUSCLE_X) + build.fat_mm
    depth = np.interp(z, _HEIGHTS, _CAVITY_Y + _MUSCLE_Y) + 0.8 * build.fat_mm
    return width.astype(np.float32), depth.astype(np.float32)


def paint_torso(canvas: Canvas, build: Build) -> None:
    """Paint skin, fat, muscle and the fat of the cavity; leave the regions "body", "cavity" and "chest"."""
    z = canvas.plane.z
    outline = _oval(canvas, *half_axes_mm(build, z))
    if build.breast_mm:
        for side in (-1, 1):
            radius = build.breast_mm
            center = (side * 66.0, -88 - 0.8 * build.fat_mm, 66.0)
            breast = canvas.ellipsoid(center, (radius * 1.7, radius * 1.25, radius * 1.6))
            outline = -rounded_minimum(-outline, -breast, radius_mm=24)
    cavity = _oval(canvas, *_interpolated(z, _CAVITY_X, _CAVITY_Y))
    muscle = _oval(canvas, *_interpolated(z, _CAVITY_X + _MUSCLE_X, _CAVITY_Y + _MUSCLE_Y))
    canvas.blend(outline, SKIN_HU)
    canvas.blend(outline - 2, FAT_HU + 6 * canvas.texture)
    # Fat lies between the muscles where the texture is high.
    canvas.blend(muscle, MUSCLE_HU + 8 * canvas.texture + 6 * canvas.patches)
    canvas.blend(
        np.minimum(np.minimum(muscle - 3, -cavity - 6), 3 * (canvas.texture + 0.6 * canvas.patches - 1.1)),
        FAT_HU,
    )
    canvas.blend(cavity - 2, FAT_HU + 8 * canvas.texture)
    canvas.regions |= {"body": outline, "cavity": cavity, "chest": _above_diaphragm(canvas)}


def _interpolated(z: Floats, half_width: np.ndarray, half_depth: np.ndarray) -> tuple[Floats, Floats]:
    width, depth = np.interp(z, _HEIGHTS, half_width), np.interp(z, _HEIGHTS, half_depth)
    return width.astype(np.float32), depth.astype(np.float32)


def _oval(canvas: Canvas, half_width: Floats, half_depth: Floats) -> Floats:
    """Distance along the ray from the axis to an oval between an ellipse and a superellipse of exponent 4."""
    u, v = (canvas.x / half_width[:, None]) ** 2, (canvas.y / half_depth[:, None]) ** 2
    level = (np.sqrt(u + v) + np.sqrt(np.sqrt(u * u + v * v))) / 2
    ray = np.sqrt(canvas.x**2 + canvas.y**2)
    return np.asarray((1 / np.maximum(level, np.float32(1e-3)) - 1) * ray, dtype=np.float32)


def _above_diaphragm(canvas: Canvas) -> Floats:
    """Height above the diaphragm's two domes; the left one is lower."""
    back = 0.0076 * (canvas.y + 15) ** 2
    right = -0.008 * (canvas.x + 65) ** 2
    left = -0.008 * (canvas.x - 65) ** 2 - 12
    surface = np.maximum(np.maximum(right, left) - back, -115)
    # The domes are steep, so the height overstates the distance.
    return np.asarray(0.7 * (canvas.z - surface), dtype=np.float32)


def paint_couch(canvas: Canvas, below_mm: float) -> None:
    """Paint the table, an arc of foam between two thin shells whose middle is at y = `below_mm`."""
    x, y = canvas.plane.x[None, :], canvas.plane.y[:, None]
    depth = y - (below_mm - 0.0006 * x * x)
    width = 190 - np.abs(x)
    canvas.blend(np.minimum(np.minimum(depth, 22 - depth), width), -180.0)
    canvas.blend(np.minimum(np.minimum(depth - 2, 20 - depth), width - 2), -930.0)
