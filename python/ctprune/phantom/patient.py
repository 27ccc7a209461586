"""One synthetic patient: a build, organs, and lesions or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctprune.phantom.abdomen import Abdomen
from ctprune.phantom.canvas import LESION, Canvas, Plane
from ctprune.phantom.fields import SmoothField
from ctprune.phantom.lungs import LUNG_HU, Lungs
from ctprune.phantom.mediastinum import Mediastinum
from ctprune.phantom.skeleton import Skeleton
from ctprune.phantom.torso import Build, half_axes_mm, paint_couch, paint_torso

_WARP_CELL_MM, _WARP_MM = 40.0, 3.6
_TEXTURE_CELL_MM, _PATCH_CELL_MM = 7.0, 26.0
_NODULE_HU, _LIVER_LESION_CONTRAST_HU = 38.0, 62.0
# A lesion is seen where it differs from what would be there without it by more than this.
_VISIBLE_HU = 30.0


@dataclass(frozen=True)
class Lesion:
    """A roundish lesion, in mm of the reference body; `organ` is "lung" (bright) or "liver" (dark)."""

    organ: str
    center: tuple[float, float, float]
    radius_mm: float


class Patient:
    """Everything below the skin of one patient, as a function of position."""

    def __init__(
        self, rng: np.random.Generator, lesions: tuple[Lesion, ...] = (), *, lesion_contrast: float = 1.0
    ) -> None:
        self.build = Build.draw(rng)
        self.lesions = lesions
        self._lesion_contrast = lesion_contrast
        self._warp = (SmoothField(rng, _WARP_CELL_MM), SmoothField(rng, _WARP_CELL_MM))
        self._texture = SmoothField(rng, _TEXTURE_CELL_MM)
        self._patches = SmoothField(rng, _PATCH_CELL_MM)
        self._lungs = Lungs(rng)
        self._abdomen = Abdomen(rng, self.build)
        self._mediastinum = Mediastinum(rng, self.build)
        self._skeleton = Skeleton(rng)
        # The body lies on the table where it is deepest.
        scale_y = self.build.scale[1]
        depth = half_axes_mm(self.build, np.linspace(-200, 200, 41, dtype=np.float32))[1]
        self.couch_mm = float(depth.max()) * scale_y + 4

    @property
    def width_mm(self) -> float:
        """Largest width of the body."""
        heights = np.linspace(-200, 200, 41, dtype=np.float32)
        return 2 * float(half_axes_mm(self.build, heights)[0].max()) * self.build.scale[0]

    def paint(self, plane: Plane, *, with_organs: bool = False) -> Canvas:
        """Paint a plane given in mm of the room: `hu` is the picture, `lesion_mm2` the lesion area in it."""
        sx, sy, sz = (np.float32(scale) for scale in self.build.scale)
        own = Plane(x=plane.x / sx, y=plane.y / sy, z=plane.z / sz)
        warp_x, warp_y = (np.float32(_WARP_MM) * field.on_plane(own.x, own.y, own.z) for field in self._warp)
        texture, patches = (field.on_plane(own.x, own.y, own.z) for field in (self._texture, self._patches))
        canvas = Canvas(own, warp=(warp_x, warp_y), texture=texture, patches=patches, with_organs=with_organs)
        paint_couch(canvas, self.couch_mm / float(sy))
        paint_torso(canvas, self.build)
        self._lungs.paint(canvas)
        self._abdomen.paint(canvas)
        self._mediastinum.paint(canvas)
        self._paint_lesions(canvas)
        self._skeleton.paint(canvas)
        return canvas

    def _paint_lesions(self, canvas: Canvas) -> None:
        """Paint the lesions and measure what can be seen of them."""
        if not self.lesions:
            return
        healthy = canvas.hu.copy()
        for lesion in self.lesions:
            nodule = lesion.organ == "lung"
            organ_hu = LUNG_HU if nodule else self._abdomen.liver_hu
            contrast_hu = _NODULE_HU - LUNG_HU if nodule else -_LIVER_LESION_CONTRAST_HU
            value = organ_hu + self._lesion_contrast * contrast_hu
            canvas.paint_ellipsoid(
                lesion.center,
                (lesion.radius_mm,) * 3,
                value,
                roughness_mm=1.2,
                within=canvas.regions[lesion.organ] + 2,
                organ=LESION,
            )
        visible = np.count_nonzero(np.abs(canvas.hu - healthy) > _VISIBLE_HU)
        canvas.lesion_mm2 = visible * canvas.pixel_mm2 * self.build.scale[0] * self.build.scale[1]
