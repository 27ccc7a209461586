"""The planes that slices lie in."""

from __future__ import annotations

#: By number: that of the axis that a plane is normal to, in the patient's coordinates.
PLANES = ("sagittal", "coronal", "axial")
