"""A plane through the body, onto which organs are painted in Hounsfield units, later ones over earlier ones.

Shapes are signed distances in mm, positive inside. They need not be exact far from the surface: only their
sign and their slope at the surface are seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctprune.phantom.fields import Floats

Window = tuple[slice, slice]
# Start, end, radius at the start, radius at the end (mm): one piece of `Tubes`.
Piece = tuple[tuple[float, ...], tuple[float, ...], float, float]
WHOLE: Window = (slice(None), slice(None))

AIR_HU = -1000.0

#: What masks tell apart, in the order of their labels from 1; 0 is everything else.
ORGANS = ("lung", "liver", "lesion")
LUNG, LIVER, LESION = 1, 2, 3


@dataclass(frozen=True)
class Plane:
    """Where the pixels of a plane lie in the reference body: x (cols,), y and z (rows,), float32, mm.

    Axes as in DICOM: x to the patient's left, y to the back, z to the head.
    """

    x: Floats
    y: Floats
    z: Floats


@dataclass(frozen=True)
class Tubes:
    """Straight pieces of vessels, bones or bowel: round cones from `start` to `end` with rounded tips.

    Shapes: start and end (n, 3) as x, y, z; radius (n, 2) at start and end; all float32, mm.
    """

    start: Floats
    end: Floats
    radius: Floats

    @classmethod
    def of(cls, pieces: list[Piece]) -> Tubes:
        """Collect pieces."""
        return cls(
            start=np.array([p[0] for p in pieces], dtype=np.float32).reshape(-1, 3),
            end=np.array([p[1] for p in pieces], dtype=np.float32).reshape(-1, 3),
            radius=np.array([p[2:] for p in pieces], dtype=np.float32).reshape(-1, 2),
        )

    def near(self, plane: Plane, margin_mm: float) -> NDArray[np.intp]:
        """Find the pieces that come within `margin_mm` of the plane."""
        slope = (plane.z[-1] - plane.z[0]) / max(plane.y[-1] - plane.y[0], np.float32(1e-6))
        heights = [p[:, 2] - plane.z[0] - slope * (p[:, 1] - plane.y[0]) for p in (self.start, self.end)]
        reach = self.radius.max(axis=1) + margin_mm
        return np.flatnonzero((np.minimum(*heights) < reach) & (np.maximum(*heights) > -reach))


def rounded_minimum(a: Floats, b: Floats, radius_mm: float = 14.0) -> Floats:
    """Intersection of two shapes with rounded corners; of the negated shapes, minus their union."""
    nearness = np.maximum(np.float32(radius_mm) - np.abs(a - b), 0)
    return np.asarray(np.minimum(a, b) - nearness * nearness / np.float32(4 * radius_mm), dtype=np.float32)


class Canvas:
    """The picture being painted: `hu` of shape (rows, cols), float32.

    `x`, `y` (rows, cols) and `z` (rows, 1) are the warped positions of the pixels; `texture` and `patches`
    (rows, cols) are a fine and a coarser smooth field. `regions` keeps distances that later organs need, for
    instance "lung". `organs` (rows, cols), uint8, is the label of what was painted last, see `ORGANS`; None where
    nobody asks for it.
    """

    def __init__(
        self,
        plane: Plane,
        *,
        warp: tuple[Floats, Floats],
        texture: Floats,
        patches: Floats,
        with_organs: bool = False,
    ) -> None:
        self.plane = plane
        self.x = plane.x[None, :] + warp[0]
        self.y = plane.y[:, None] + warp[1]
        self.z = plane.z[:, None]
        self.texture, self.patches = texture, patches
        self.hu = np.full(self.x.shape, AIR_HU, dtype=np.float32)
        self.organs = np.zeros(self.x.shape, np.uint8) if with_organs else None
        self.regions: dict[str, Floats] = {}
        self.lesion_mm2 = 0.0
        # Windows are larger by how far the warp moves a point.
        self._margin_mm = 1 + float(max(np.abs(warp[0]).max(), np.abs(warp[1]).max()))
        # Edges are one pixel wide: what a detector would average.
        self._edge_mm = float(abs(plane.x[1] - plane.x[0]))

    @property
    def pixel_mm2(self) -> float:
        """Area of a pixel in the reference body."""
        return self._edge_mm * float(abs(self.plane.y[1] - self.plane.y[0]))

    def blend(self, distance: Floats, value: float | Floats, window: Window = WHOLE, *, organ: int = 0) -> None:
        """Paint `value` where `distance` (of the window's shape) is positive, softly; `organ` is what it shows."""
        coverage = np.clip(distance / self._edge_mm + 0.5, 0, 1)
        part = self.hu[window]
        part += coverage * (value - part)
        if self.organs is not None:
            self.organs[window][distance > 0] = organ

    def window(self, low: tuple[float, float], high: tuple[float, float]) -> Window:
        """Find the pixels that may lie between two corners (x, y) in mm, warped or not."""
        margin = self._margin_mm
        columns = np.searchsorted(self.plane.x, (low[0] - margin, high[0] + margin))
        rows = np.searchsorted(self.plane.y, (low[1] - margin, high[1] + margin))
        return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))

    def reaches(self, low_z: float, high_z: float) -> bool:
        """Whether the plane comes between these heights."""
        return bool(self.plane.z.min() < high_z and self.plane.z.max() > low_z)

    def ellipsoid(self, center: tuple[float, float, float], radii: tuple[float, float, float]) -> Floats:
        """Signed distance to an ellipsoid, shape (rows, cols)."""
        f = np.sqrt(
            ((self.x - center[0]) / radii[0]) ** 2
            + ((self.y - center[1]) / radii[1]) ** 2
            + ((self.z - center[2]) / radii[2]) ** 2
        )
        return np.asarray((1 - f) * np.float32(sum(radii) / 3), dtype=np.float32)

    def paint_ellipsoid(
        self,
        center: tuple[float, float, float],
        radii: tuple[float, float, float],
        value: float,
        *,
        roughness_mm: float = 0.0,
        within: Floats | None = None,
        organ: int = 0,
    ) -> None:
        """Paint an ellipsoid, its surface roughened by the texture, only where `within` is positive too."""
        if not self.reaches(center[2] - radii[2] - 4, center[2] + radii[2] + 4):
            return
        window = self.window(
            (center[0] - radii[0], center[1] - radii[1]), (center[0] + radii[0], center[1] + radii[1])
        )
        distance = self._crop(window).ellipsoid(center, radii)
        if roughness_mm:
            distance = distance + np.float32(roughness_mm) * self.texture[window]
        if within is not None:
            distance = np.minimum(distance, within[window])
        self.blend(distance, value, window, organ=organ)

    def paint_tubes(
        self,
        tubes: Tubes,
        value: float,
        *,
        grow_mm: float = 0.0,
        within: Floats | None = None,
        organ: int = 0,
    ) -> None:
        """Paint tubes, thicker by `grow_mm`, only where `within` is positive too."""
        for index in tubes.near(self.plane, max(grow_mm, 0) + 0.25 * self._margin_mm):
            start, end, radius = tubes.start[index], tubes.end[index], tubes.radius[index] + grow_mm
            widest = float(radius.max())
            low, high = np.minimum(start, end) - widest, np.maximum(start, end) + widest
            window = self.window((low[0], low[1]), (high[0], high[1]))
            if within is not None and within[window].max(initial=-1) <= -1:
                continue
            distance = self._crop(window)._tube(start, end, radius)
            if within is not None:
                distance = np.minimum(distance, within[window])
            self.blend(distance, value, window, organ=organ)

    def _tube(self, start: Floats, end: Floats, radius: Floats) -> Floats:
        axis = end - start
        x, y, z = self.x - start[0], self.y - start[1], self.z - start[2]
        length_squared = np.float32(max(float(axis @ axis), 1e-6))
        along = np.clip((x * axis[0] + y * axis[1] + z * axis[2]) / length_squared, 0, 1)
        away = np.sqrt((x - along * axis[0]) ** 2 + (y - along * axis[1]) ** 2 + (z - along * axis[2]) ** 2)
        return np.asarray(radius[0] + along * (radius[1] - radius[0]) - away, dtype=np.float32)

    def _crop(self, window: Window) -> Canvas:
        """Take the positions of fewer pixels; the result's picture is not used."""
        part = object.__new__(Canvas)
        part.x, part.y, part.z = self.x[window], self.y[window], self.z[window[0]]
        return part
