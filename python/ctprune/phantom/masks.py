"""Masks of series, as NIfTI files beside their folders, and the table and names that belong to them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctprune.exporting.nifti import affine_of, save_nifti
from ctprune.phantom.canvas import ORGANS
from ctprune.phantom.scanner import Scan

TABLE, NAMES = "masks.csv", "dataset.json"
_COLUMNS = ("image", "mask", "patient")


@dataclass(frozen=True, eq=False)
class Mask:
    """The mask of one series.

    Attributes:
        image: Folder of the series, relative to the archive, with `/`.
        path: File of the mask, likewise.
        patient: Key of the patient.
        labels: Label of each pixel, uint8 of shape (slices, rows, columns), from the head downwards.
        scan: Where the slices lie.
    """

    image: str
    path: str
    patient: str
    labels: NDArray[np.uint8]
    scan: Scan

    def row(self) -> tuple[str, str, str]:
        """What stands in the table: image, mask, patient."""
        return self.image, self.path, self.patient

    def save(self, archive: Path) -> None:
        """Write the file, slices from the feet upwards, as ctprune orders them.

        Raises:
            OutputError: It cannot be written.
        """
        scan = self.scan
        rows = [
            {
                "rows": scan.size,
                "columns": scan.size,
                "pixel_spacing_mm": [scan.pixel_spacing_mm] * 2,
                "image_position_patient": scan.position_mm(index),
                "image_orientation_patient": [1.0, 0.0, 0.0, *scan.column_direction],
                "slice_thickness_mm": scan.slice_distance_mm,
            }
            for index in reversed(range(scan.slices))
        ]
        affine = affine_of(rows)
        if isinstance(affine, str):
            raise AssertionError(affine)
        save_nifti(archive / self.path, self.labels[::-1], affine)


def write_table(archive: Path, rows: Sequence[tuple[str, str, str]], splits: Mapping[str, tuple[str]]) -> None:
    """Write the table of series and masks, and the names of their labels.

    Args:
        archive: Folder of the archive.
        rows: Image, mask and patient of each mask.
        splits: Split of each patient; empty where there are none.
    """
    with (archive / TABLE).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow((*_COLUMNS, *(["split"] if splits else [])))
        writer.writerows((*row, *splits.get(row[-1], ())) for row in rows)
    names = {"background": 0} | {name: label for label, name in enumerate(ORGANS, 1)}
    (archive / NAMES).write_text(json.dumps({"labels": names}, indent=2) + "\n", encoding="utf-8")
