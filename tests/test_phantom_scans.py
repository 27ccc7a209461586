"""Archives of a given redundancy: distance, length and thickness of scans, lesions, splits."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from ctprune.errors import ConfigError
from ctprune.phantom import PhantomConfig, write_archive
from ctprune.phantom.lesions import place_lesions
from ctprune.phantom.patient import Lesion, Patient
from ctprune.phantom.scanner import Scan

SCANS: dict[str, Any] = {"seed": 3, "size": 64, "thickness_mm": 2.5, "reconstructions": 1, "reports": False}


def slices_of(folder: Path, patient: str) -> dict[float, pydicom.Dataset]:
    """Uncompressed slices by their height in mm."""
    found = [pydicom.dcmread(file) for file in sorted((folder / patient).rglob("*")) if file.is_file()]
    return {float(ds.ImagePositionPatient[2]): ds for ds in found}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_slices_at_one_position_have_the_same_pixels(tmp_path: Path) -> None:
    """Distance is the dose of redundancy: nothing else of a patient may depend on it, not even noise."""
    for name, spacing in (("coarse", 20), ("fine", 5)):
        write_archive(tmp_path / name, patients=2, length_mm=80, spacing_mm=spacing, lesion_size=1.5, **SCANS)
    for patient in ("P0001", "P0002"):
        coarse, fine = slices_of(tmp_path / "coarse", patient), slices_of(tmp_path / "fine", patient)
        assert (len(coarse), len(fine)) == (5, 17)
        assert set(coarse) < set(fine)
        assert all(coarse[height].PixelData == fine[height].PixelData for height in coarse)
        assert coarse.keys() <= fine.keys()
        for found, spacing in ((coarse, 20), (fine, 5)):
            heights = sorted(found)
            np.testing.assert_allclose(np.diff(heights), spacing)
            assert {float(ds.SpacingBetweenSlices) for ds in found.values()} == {spacing}
            assert {float(ds.SliceThickness) for ds in found.values()} == {2.5}
            assert all(f"{spacing} mm" in ds.SeriesDescription for ds in found.values())
        uids = [ds.SOPInstanceUID for found in (coarse, fine) for ds in found.values()]
        assert len(set(uids)) == len(uids)
    labels = [
        {round(1000 * index * spacing / 20): row["label"] for index, row in enumerate(rows)}
        for spacing, rows in (
            (20, [row for row in table(tmp_path / "coarse") if row["patient"] == "P0002"]),
            (5, [row for row in table(tmp_path / "fine") if row["patient"] == "P0002"]),
        )
    ]
    assert labels[0].items() <= labels[1].items()
    # No scout, no dose report, one series.
    assert len(list((tmp_path / "fine").rglob("IM*"))) == 2 * 17


def test_groups_of_patients_take_turns_with_distances_and_splits(tmp_path: Path) -> None:
    options = {"patients": 8, "val_patients": 2, "test_patients": 4} | SCANS
    write_archive(tmp_path / "mixed", length_mm=40, spacing_mm=[20, 40], **options)
    rows = table(tmp_path / "mixed")
    counts = [sum(row["patient"] == f"P{number:04d}" for row in rows) for number in range(1, 9)]
    assert counts == [3] * 4 + [2] * 4
    splits = {row["patient"]: row["split"] for row in rows}
    assert list(splits.values()) == ["train"] * 2 + ["val"] * 2 + ["test"] * 4
    assert list(rows[0]) == ["path", "patient", "label", "lesion", "frame", "split"]


def test_lesions_are_as_large_and_as_clear_as_asked_for() -> None:
    scan = Scan(slices=9, size=64, fov_mm=380, center_y_mm=0, top_mm=110, spacing_mm=5, tilt_degrees=0)
    lesion = Lesion("lung", (75, 10, 90), 11.0)
    healthy = Patient(np.random.default_rng(0)).paint(scan.plane(4)).hu
    depth = {
        contrast: np.abs(
            Patient(np.random.default_rng(0), (lesion,), lesion_contrast=contrast).paint(scan.plane(4)).hu
            - healthy
        ).max()
        for contrast in (1.0, 0.5)
    }
    assert 0.3 < depth[0.5] / depth[1.0] < 0.6
    small, large = (
        place_lesions(np.random.default_rng(1), Patient(np.random.default_rng(0)), scan, size=size)
        for size in (0.5, 1.0)
    )
    assert len(small) == len(large) > 0
    assert [one.radius_mm for one in small] == pytest.approx([one.radius_mm / 2 for one in large])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spacing_mm": 0.01}, "spacing_mm 0.01: expected 0.1 to 100 mm"),
        ({"spacing_mm": [1, 500]}, "spacing_mm 500.0: expected 0.1 to 100 mm"),
        ({"spacing_mm": "thin"}, "spacing_mm thin: expected a distance in mm such as 0.5, or several"),
        ({"spacing_mm": []}, r"spacing_mm \[\]: expected a distance"),
        ({"length_mm": 500}, "length_mm 500.*: expected 0 to 440 mm"),
        (
            {"patients": 4, "test_patients": 3, "val_patients": 1},
            "val_patients 1 and `test_patients` 3: expected fewer",
        ),
        ({"reconstructions": 3}, "reconstructions 3: expected"),
    ],
)
def test_what_cannot_be_scanned_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PhantomConfig(**options)


def test_distances_have_one_form_and_old_archives_keep_their_uids() -> None:
    assert (
        PhantomConfig(spacing_mm="0.5,2").spacing_mm == PhantomConfig(spacing_mm=[0.5, 2]).spacing_mm == (0.5, 2.0)
    )
    assert PhantomConfig(spacing_mm=[2]) == PhantomConfig(spacing_mm=2.0)
    assert PhantomConfig(patients=9, test_patients=2, reports=False).root == "ctprune phantom/1/256/40"
    assert PhantomConfig(spacing_mm=2).root == "ctprune phantom/1/256/40/spacing_mm=2.0"
