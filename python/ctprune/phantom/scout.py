"""The scout picture: X-rays from front to back through the part of the body that will be scanned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctprune.phantom.canvas import Plane
from ctprune.phantom.patient import Patient
from ctprune.phantom.scanner import Scan

PIXEL_MM = 3.0
_STEP_MM, _MARGIN_MM, _DEPTH_MM = 6.0, 40.0, 6.0
# Stored values are the mean HU along the ray over this depth, shifted to start at air.
_BODY_DEPTH_MM = 300.0


def scout(patient: Patient, scan: Scan) -> tuple[NDArray[np.int16], float]:
    """Project the body; gives the picture (rows, cols) in 3 mm pixels and its first row's height in mm."""
    top = scan.top_mm + _MARGIN_MM
    length = (scan.slices - 1) * scan.spacing_mm + 2 * _MARGIN_MM
    heights = top - np.arange(0, length + _STEP_MM, _STEP_MM)
    across = (np.arange(int(scan.fov_mm / PIXEL_MM)) + 0.5) * PIXEL_MM
    across = (across - across.mean()).astype(np.float32)
    through = np.arange(-160, 180, _DEPTH_MM).astype(np.float32)
    rows = []
    for height in heights:
        plane = Plane(x=across, y=through, z=np.full(len(through), height, dtype=np.float32))
        attenuation = (patient.paint(plane).hu + 1000).sum(axis=0) * (_DEPTH_MM / _BODY_DEPTH_MM)
        rows.append(attenuation)
    # Painting is the slow part, so every second row lies halfway between two painted ones.
    painted = np.stack(rows)
    picture = np.empty((2 * len(painted) - 1, painted.shape[1]))
    picture[::2], picture[1::2] = painted, (painted[1:] + painted[:-1]) / 2
    return np.clip(np.rint(picture), 0, 4095).astype(np.int16), float(top)
