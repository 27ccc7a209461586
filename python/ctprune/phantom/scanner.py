"""Made-up scanners and their protocols: geometry, kernels, stored values, transfer syntaxes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from ctprune.phantom.canvas import Plane


@dataclass(frozen=True)
class Kernel:
    """A reconstruction kernel: the object's blur and the noise's texture follow from it.

    `cutoff` in cycles/mm is where contrast falls to 1/e, `boost` how much it lifts fine detail before that,
    `noise_hu` the standard deviation in 5 mm slices of an average patient.
    """

    name: str
    cutoff: float
    boost: float
    noise_hu: float


@dataclass(frozen=True)
class Storage:
    """How HU are stored: `HU = stored + intercept` in `bits` bits; `padding` fills what no ray crossed."""

    signed: bool
    bits: int
    intercept: int
    padding: int | None = None


@dataclass(frozen=True)
class SeriesPlan:
    """One reconstruction of the acquisition."""

    description: str
    kernel: Kernel
    transfer_syntax_uid: str
    window: tuple[int, int]
    enhanced: bool = False


@dataclass(frozen=True)
class Protocol:
    """A scanner with its settings; `top_mm` is the first slice's height above the diaphragm's dome."""

    manufacturer: str
    model: str
    kvp: int
    spacing_mm: float
    thickness_mm: float
    top_mm: float
    tilt_degrees: float
    storage: Storage
    file_suffix: str
    series: tuple[SeriesPlan, ...]

    def set_to(self, *, spacing_mm: float | None, thickness_mm: float | None, reconstructions: int) -> Protocol:
        """The same scanner with other settings; None leaves one as it is."""
        chosen = replace(
            self,
            spacing_mm=spacing_mm or self.spacing_mm,
            thickness_mm=thickness_mm or self.thickness_mm,
            series=self.series[:reconstructions],
        )
        if chosen.spacing_mm == self.spacing_mm:
            return chosen
        distance = f"Axial {chosen.spacing_mm:g} mm"
        named = [replace(plan, description=f"{distance} {plan.kernel.name}") for plan in chosen.series]
        return replace(chosen, series=tuple(named))


_SOFT, _LUNG = (40, 400), (-600, 1500)

PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        manufacturer="PHANTOM Systems",
        model="Specula 64",
        kvp=120,
        spacing_mm=1.0,
        thickness_mm=1.25,
        top_mm=26,
        tilt_degrees=0,
        storage=Storage(signed=True, bits=16, intercept=0),
        file_suffix=".dcm",
        series=(
            SeriesPlan("Thorax 1.0 PS30s", Kernel("PS30s", 0.34, 0.0, 12), ExplicitVRLittleEndian, _SOFT),
            SeriesPlan("Thorax 1.0 PS70h", Kernel("PS70h", 0.75, 0.45, 30), RLELossless, _LUNG),
        ),
    ),
    Protocol(
        manufacturer="Mockray Medical",
        model="Lumen CT 16",
        kvp=130,
        spacing_mm=8.0,
        thickness_mm=8.0,
        top_mm=205,
        tilt_degrees=0,
        storage=Storage(signed=False, bits=12, intercept=-1024),
        file_suffix="",
        series=(
            SeriesPlan("Body 8 mm B", Kernel("B", 0.3, 0.0, 14), ImplicitVRLittleEndian, _SOFT),
            SeriesPlan("Body 8 mm L", Kernel("L", 0.7, 0.5, 38), DeflatedExplicitVRLittleEndian, _LUNG),
        ),
    ),
    Protocol(
        manufacturer="Simulacra Imaging",
        model="Gantry One",
        kvp=120,
        spacing_mm=3.0,
        thickness_mm=3.0,
        top_mm=66,
        tilt_degrees=12,
        storage=Storage(signed=True, bits=16, intercept=-1024, padding=-2000),
        file_suffix=".dcm",
        series=(SeriesPlan("Tilted 3 mm STD", Kernel("STD", 0.4, 0.1, 14), JPEGLSLossless, _SOFT),),
    ),
    Protocol(
        manufacturer="PHANTOM Systems",
        model="Specula Duo",
        kvp=100,
        spacing_mm=2.5,
        thickness_mm=2.5,
        top_mm=14,
        tilt_degrees=0,
        storage=Storage(signed=False, bits=16, intercept=-8192),
        file_suffix=".dcm",
        series=(
            SeriesPlan(
                "Abdomen 2.5 PS36s",
                Kernel("PS36s", 0.36, 0.0, 13),
                ExplicitVRLittleEndian,
                _SOFT,
                enhanced=True,
            ),
            SeriesPlan("Abdomen 2.5 PS60h", Kernel("PS60h", 0.7, 0.4, 28), JPEGLosslessSV1, _LUNG),
        ),
    ),
)

# Heights of the body that can be scanned, in mm from the dome of the diaphragm.
_TOP_MM, _BOTTOM_MM = 225.0, -215.0


@dataclass(frozen=True)
class Scan:
    """The planes of one acquisition: `slices` of them, from the head downwards, in a square field of view."""

    slices: int
    size: int
    fov_mm: float
    center_y_mm: float
    top_mm: float
    spacing_mm: float
    tilt_degrees: float

    @classmethod
    def plan(
        cls,
        protocol: Protocol,
        *,
        slices: int,
        size: int,
        width_mm: float,
        rng: np.random.Generator,
        length_mm: float | None = None,
    ) -> Scan:
        """Plan at most `slices` slices from about the protocol's height, fewer where the body ends.

        With `length_mm` a scan is as long instead, and the distance of slices does not change where it begins.
        """
        longest = _TOP_MM - _BOTTOM_MM if length_mm is None else length_mm
        # The quotient of two decimals may lie just below the whole number that it is.
        count = 1 + int(longest / protocol.spacing_mm + 1e-9)
        if length_mm is None:
            count = min(slices, count)
        length = (count - 1) * protocol.spacing_mm if length_mm is None else length_mm
        top = min(max(protocol.top_mm + rng.uniform(-12, 12), _BOTTOM_MM + length), _TOP_MM)
        return cls(
            slices=count,
            size=size,
            fov_mm=float(10 * np.ceil(width_mm * rng.uniform(1.02, 1.12) / 10)),
            center_y_mm=float(np.round(rng.uniform(0, 14), 1)),
            top_mm=float(np.round(top, 1)),
            spacing_mm=protocol.spacing_mm,
            tilt_degrees=protocol.tilt_degrees,
        )

    @property
    def pixel_spacing_mm(self) -> float:
        """Distance of two pixels, the same for rows and columns."""
        return self.fov_mm / self.size

    @property
    def column_direction(self) -> tuple[float, float, float]:
        """Unit vector along which the rows follow one another: to the back, and down with a tilted gantry."""
        tilt = np.deg2rad(self.tilt_degrees)
        return 0.0, float(np.cos(tilt)), float(-np.sin(tilt))

    @property
    def slice_distance_mm(self) -> float:
        """Distance of neighboring planes; with a tilted gantry it is less than the table moves."""
        return self.spacing_mm * float(np.cos(np.deg2rad(self.tilt_degrees)))

    def position_mm(self, index: int) -> tuple[float, float, float]:
        """Center of the first pixel of a slice (ImagePositionPatient)."""
        corner = (self.fov_mm - self.pixel_spacing_mm) / 2
        _, down_y, down_z = self.column_direction
        center_z = self.top_mm - index * self.spacing_mm
        return -corner, self.center_y_mm - corner * down_y, center_z - corner * down_z

    def plane(self, index: int, *, pixels: int | None = None, offset_mm: float = 0.0) -> Plane:
        """Place a slice in mm of the room, `offset_mm` further along z, with `pixels` to a side."""
        pixels = pixels or self.size
        along = (np.arange(pixels) + 0.5) * (self.fov_mm / pixels) - self.fov_mm / 2
        _, down_y, down_z = self.column_direction
        center_z = self.top_mm - index * self.spacing_mm + offset_mm
        return Plane(
            x=along.astype(np.float32),
            y=(self.center_y_mm + along * down_y).astype(np.float32),
            z=(center_z + along * down_z).astype(np.float32),
        )
