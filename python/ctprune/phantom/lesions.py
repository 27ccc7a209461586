"""Where lesions go: well inside the lung or the liver, spread over what was scanned."""

from __future__ import annotations

import numpy as np

from ctprune.phantom.canvas import Plane
from ctprune.phantom.patient import Lesion, Patient
from ctprune.phantom.scanner import Scan

# Radius in mm (low, high) by organ; liver lesions are larger, as they stand out less.
_RADII_MM = {"lung": (7.0, 13.0), "liver": (9.0, 18.0)}
_CLEARANCE_MM = 2.0
# One for each 36 mm of the scan, within limits: about half of the slices then show one.
_MM_PER_LESION, _FEWEST, _MOST = 36.0, 1, 8
_SEARCH_PIXELS = 96


def place_lesions(
    rng: np.random.Generator, patient: Patient, scan: Scan, *, size: float = 1.0
) -> tuple[Lesion, ...]:
    """Draw some lesions in one organ of a patient, at heights spread over the scan; `size` scales their radii.

    Empty when the scan shows too little of lung and liver to hold one.
    """
    count = int(np.clip(scan.slices * scan.spacing_mm / _MM_PER_LESION, _FEWEST, _MOST))
    fractions = (np.arange(count) + rng.uniform(0.2, 0.8, count)) / count
    planes = [scan.plane(int(f * scan.slices), pixels=_SEARCH_PIXELS) for f in fractions]
    regions = [patient.paint(plane).regions for plane in planes]
    deepest = {organ: sum(float(r[organ].max()) for r in regions) for organ in _RADII_MM}
    organ = max(deepest, key=lambda name: deepest[name])
    found = [
        _place_one(rng, organ, region[organ], plane, patient, size)
        for region, plane in zip(regions, planes, strict=True)
    ]
    return tuple(lesion for lesion in found if lesion is not None)


def _place_one(
    rng: np.random.Generator, organ: str, distance: np.ndarray, plane: Plane, patient: Patient, size: float
) -> Lesion | None:
    """Center a lesion on the plane where the organ's `distance` to its surface leaves room for it."""
    low, high = _RADII_MM[organ]
    radius = size * float(rng.uniform(low, high))
    rows, columns = np.nonzero(distance > radius + _CLEARANCE_MM)
    choice = float(rng.random())
    if len(rows) == 0:
        return None
    row, column = rows[int(choice * len(rows))], columns[int(choice * len(rows))]
    sx, sy, sz = patient.build.scale
    # The warp shifts a lesion by a few mm, which the clearance allows for.
    center = (float(plane.x[column]) / sx, float(plane.y[row]) / sy, float(plane.z[row]) / sz)
    return Lesion(organ=organ, center=center, radius_mm=radius)
