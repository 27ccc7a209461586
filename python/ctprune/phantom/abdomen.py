"""Below the diaphragm: liver, spleen, stomach, kidneys, bowel."""

from __future__ import annotations

import numpy as np

from ctprune.phantom.canvas import LIVER, Canvas, Piece, Tubes
from ctprune.phantom.fields import Floats
from ctprune.phantom.torso import FAT_HU, MUSCLE_HU, Build

# The muscles beside the spine that the kidneys lean on.
_PSOAS = Tubes.of([((side * 26, 58, -70), (side * 42, 52, -290), 6, 26) for side in (-1, 1)])
# HU of what fills the bowel, and how often: fluid, food, contrast medium, gas.
_CONTENTS = ((15.0, 0.45), (30.0, 0.25), (220.0, 0.12), (-850.0, 0.18))


class Abdomen:
    """The organs of one patient's belly."""

    def __init__(self, rng: np.random.Generator, build: Build) -> None:
        self.liver_hu = rng.uniform(98, 118) if build.contrast else rng.uniform(52, 64)
        self._contrast = build.contrast
        self._size = rng.uniform(0.92, 1.1, size=3)
        self._liver_vessels = Tubes.of([_liver_vessel(rng) for _ in range(26)])
        self._bowel = _bowel(rng)
        self._gas_level_mm = rng.uniform(-52, -40)

    def paint(self, canvas: Canvas) -> None:
        """Paint all organs; leave the region "liver"."""
        inside = np.minimum(canvas.regions["cavity"] - 3, -canvas.regions["chest"] - 3)
        canvas.regions["liver"] = liver = np.minimum(self._liver_distance(canvas), inside)
        if inside.max() < -1:
            return
        self._paint_bowel(canvas, inside)
        self._paint_kidneys(canvas, inside)
        self._paint_stomach(canvas, inside)
        spleen_hu = 118.0 if self._contrast else 48.0
        canvas.paint_ellipsoid((92, 34, -42), (30, 44, 48), spleen_hu, roughness_mm=1.5, within=inside)
        canvas.blend(liver, self.liver_hu + 3 * canvas.texture + 4 * canvas.patches, organ=LIVER)
        vessel_hu = self.liver_hu + (45 if self._contrast else -18)
        canvas.paint_tubes(self._liver_vessels, vessel_hu, within=liver, organ=LIVER)
        canvas.paint_ellipsoid((-46, -46, -92), (15, 22, 26), 8.0, within=inside)  # gall bladder

    def _liver_distance(self, canvas: Canvas) -> Floats:
        s = self._size
        right = canvas.ellipsoid((-78, 0, -52), (74 * s[0], 92, 92 * s[0]))
        left = canvas.ellipsoid((-10, -42, -30), (82 * s[1], 46, 48))
        return np.asarray(np.maximum(right, left) + 1.5 * canvas.texture, dtype=np.float32)

    def _paint_stomach(self, canvas: Canvas, inside: Floats) -> None:
        center, radii = (58.0, -34.0, -62.0), (44.0 * self._size[2], 38.0, 56.0)
        canvas.paint_ellipsoid(center, radii, 45.0, roughness_mm=2, within=inside)
        lumen = np.minimum(canvas.ellipsoid(center, (radii[0] - 5, radii[1] - 5, radii[2] - 5)), inside)
        canvas.blend(lumen, 18 + 14 * canvas.texture)
        # Gas collects in front and ends in a level, as the patient lies on the back.
        canvas.blend(np.minimum(lumen, self._gas_level_mm - canvas.plane.y[:, None]), -960.0)

    def _paint_kidneys(self, canvas: Canvas, inside: Floats) -> None:
        cortex_hu, marrow_hu = (185.0, 120.0) if self._contrast else (34.0, 28.0)
        for side, height in ((-1, -128), (1, -114)):
            canvas.paint_ellipsoid((side * 58, 52, height), (34, 33, 64), FAT_HU, within=inside)
            canvas.paint_ellipsoid((side * 58, 52, height), (26, 27, 54), cortex_hu, roughness_mm=1, within=inside)
            canvas.paint_ellipsoid((side * 57, 50, height), (18, 19, 44), marrow_hu, roughness_mm=4, within=inside)
            canvas.paint_ellipsoid((side * 46, 46, height), (17, 12, 22), FAT_HU, within=inside)
        canvas.paint_tubes(_PSOAS, MUSCLE_HU)

    def _paint_bowel(self, canvas: Canvas, inside: Floats) -> None:
        for tubes, content_hu in self._bowel:
            canvas.paint_tubes(tubes, 42.0, within=inside)
            canvas.paint_tubes(tubes, content_hu, grow_mm=-3.0, within=inside)


def _liver_vessel(rng: np.random.Generator) -> Piece:
    """Draw a vein from near the porta outwards."""
    start = np.array([-40, -8, -40]) + rng.normal(0, 14, 3)
    direction = rng.normal(0, 1, 3) + np.array([-0.7, 0, 0])
    end = start + direction / np.linalg.norm(direction) * rng.uniform(35, 70)
    return tuple(start), tuple(end), float(rng.uniform(3.0, 5.5)), 1.2


def _bowel(rng: np.random.Generator) -> list[tuple[Tubes, float]]:
    """Walk at random in front of the kidneys; gives the pieces of each content with its HU."""
    pieces: dict[float, list[Piece]] = {}
    values, odds = zip(*_CONTENTS, strict=True)
    at = np.array([0.0, -40, -110])
    for _ in range(34):
        following = np.clip(at + rng.normal(0, 38, 3), (-100, -70, -250), (100, 10, -100))
        radius = float(rng.uniform(9, 17))
        content_hu = float(rng.choice(values, p=odds))
        pieces.setdefault(content_hu, []).append((tuple(at), tuple(following), radius, radius))
        at = following
    return [(Tubes.of(loops), content_hu) for content_hu, loops in pieces.items()]
