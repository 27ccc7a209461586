"""The synthetic archives: the same patients at five distances of slices, and labeled slices of others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ctprune

#: Distances of slices in mm, by the name of the source: the doses of redundancy.
DOSES_MM = {"mm10": 10.0, "mm5": 5.0, "mm2": 2.0, "mm1": 1.0, "mm05": 0.5}

#: The archive in which each group of patients has another of these distances.
MIXED = "mixed"

#: What all archives have in common: one thickness at every distance, so that the dose is redundancy alone.
_SCANS: dict[str, Any] = {
    "size": 64,
    "length_mm": 200,
    "thickness_mm": 2.5,
    "reconstructions": 1,
    "reports": False,
    "lesion_size": 1.8,
    "lesion_contrast": 1.5,
}

_PATIENTS = 40

#: By the archive's name, options of `ctprune phantom`.
ARCHIVES: dict[str, dict[str, Any]] = {
    **{name: {"patients": _PATIENTS, "seed": 101, "spacing_mm": mm, **_SCANS} for name, mm in DOSES_MM.items()},
    MIXED: {"patients": _PATIENTS, "seed": 101, "spacing_mm": list(DOSES_MM.values()), **_SCANS},
    "labeled": {
        "patients": 480,
        "seed": 202,
        "spacing_mm": 20,
        "val_patients": 40,
        "test_patients": 320,
        **_SCANS,
    },
}


def write_archives(folder: Path, archives: Mapping[str, Mapping[str, Any]] = ARCHIVES) -> None:
    """Write the archives that are not there yet, each into a folder of its name."""
    for name, options in archives.items():
        if not (folder / name).exists():
            summary = ctprune.phantom.write_archive(folder / name, **options)
            print(f"{name}: {summary.patients} patients, {summary.slices:,} slices", flush=True)
