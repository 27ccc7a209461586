"""Slices as NIfTI: every voxel lies where DICOM says, by nibabel, SimpleITK and a loop over the headers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.exporting.nifti import affine_of, nifti_header

nibabel = pytest.importorskip("nibabel")


def by_volume(manifest: ctprune.Manifest) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in manifest.rows.to_dicts():
        if row["status"] in ("kept", "dropped"):
            found.setdefault(row["volume"], []).append(row)
    return found


def place(row: dict[str, Any], column: int, line: int) -> np.ndarray[Any, Any]:
    """Where a pixel lies, in mm to the right, to the front, to the head: DICOM PS3.3 C.7.6.2.1.1, written out."""
    found = []
    for axis in range(3):
        along_row, along_column = (
            row["image_orientation_patient"][axis],
            row["image_orientation_patient"][3 + axis],
        )
        between_rows, between_columns = row["pixel_spacing_mm"]
        value = row["image_position_patient"][axis]
        value += along_row * between_columns * column + along_column * between_rows * line
        found.append(-value if axis < 2 else value)
    return np.array(found)


def hu_of(row: dict[str, Any]) -> np.ndarray[Any, Any]:
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.dcmread(os.path.join(row["source"], row["path"]))
    return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


@pytest.fixture(scope="module")
def exported(manifest: ctprune.Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nifti") / "volumes"
    done = ctprune.export_kept(manifest, mode="nifti", folder=folder)
    assert done.written
    # What is not evenly spaced has its reason.
    assert all("evenly spaced" in reason or "position" in reason for reason in done.left_out)
    return folder


def test_voxels_lie_where_the_headers_say(manifest: ctprune.Manifest, exported: Path) -> None:
    files = sorted(exported.glob("*.nii.gz"))
    volumes = by_volume(manifest)
    assert files
    for file in files:
        rows = volumes[int(file.name[:5])]
        image = nibabel.load(file)
        assert image.shape == (rows[0]["columns"], rows[0]["rows"], len(rows))
        assert image.header.get_xyzt_units()[0] == "mm"
        length = np.linalg.norm(image.affine[:3, 2])
        for index, row in enumerate(rows):
            for column, line in ((0, 0), (row["columns"] - 1, 0), (3, row["rows"] - 1)):
                found = (image.affine @ [column, line, index, 1])[:3]
                # Uneven by at most 5 %, else the volume would have been left out.
                assert np.abs(found - place(row, column, line)).max() <= 0.05 * length + 1e-3


def test_values_are_hounsfield_units(manifest: ctprune.Manifest, exported: Path) -> None:
    compared = 0
    paths = [row["path"] for row in manifest.rows.to_dicts()]
    for number, rows in by_volume(manifest).items():
        file = exported / f"{number:05d}.nii.gz"
        if not file.exists():
            continue
        values = np.asarray(nibabel.load(file).dataobj)
        assert values.dtype == np.int16
        for index, row in enumerate(rows):
            assert (values[..., index].min(), values[..., index].max()) == (row["min_hu"], row["max_hu"])
            uncompressed = row["transfer_syntax_uid"] in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
            if uncompressed and paths.count(row["path"]) == 1:
                assert np.array_equal(values[..., index].T, hu_of(row))
                compared += 1
    assert compared


def test_both_kinds_of_orientation_agree(exported: Path) -> None:
    found = 0
    for file in exported.glob("*.nii.gz"):
        image = nibabel.load(file)
        assert image.header["sform_code"] == 1
        if image.header["qform_code"]:
            assert np.abs(image.get_qform() - image.affine).max() < 1e-3
            found += 1
    assert found


def test_simpleitk_sees_the_same_place(exported: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="comes with benches/requirements.txt")
    for file in exported.glob("*.nii.gz"):
        image = nibabel.load(file)
        if not image.header["qform_code"]:
            continue
        other = sitk.ReadImage(os.fspath(file))
        for voxel in ((0, 0, 0), (5, 3, 1), tuple(size - 1 for size in image.shape)):
            expected = (image.affine @ [*voxel, 1])[:3] * [-1, -1, 1]
            assert np.abs(np.array(other.TransformIndexToPhysicalPoint(voxel)) - expected).max() < 1e-2
            assert other[voxel] == image.dataobj[voxel]


def test_slices_are_files_of_their_own(manifest: ctprune.Manifest, tmp_path: Path) -> None:
    done = ctprune.export_kept(manifest, mode="nifti-slices", folder=tmp_path / "slices")
    assert done.written == manifest.counts()["kept"]
    for row in manifest.kept().to_dicts():
        image = nibabel.load(tmp_path / "slices" / f"{row['volume']:05d}" / f"{row['slice_index']:05d}.nii.gz")
        assert image.shape == (row["columns"], row["rows"], 1)
        found = (image.affine @ [7, 2, 0, 1])[:3]
        assert np.abs(found - place(row, 7, 2)).max() < 1e-3
        assert np.linalg.norm(image.affine[:3, 2]) == pytest.approx(row["slice_thickness_mm"])


def line(**changes: Any) -> dict[str, Any]:
    row = {
        "rows": 6,
        "columns": 8,
        "pixel_spacing_mm": [0.7, 0.8],
        "image_position_patient": [-10.0, 5.0, 100.0],
        "image_orientation_patient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "slice_thickness_mm": 3.0,
    }
    return row | changes


@pytest.mark.parametrize("seed", range(8))
def test_any_orientation_is_a_turn(seed: int) -> None:
    random = np.random.default_rng(seed)
    axes = np.linalg.qr(random.normal(size=(3, 3)))[0]
    orientation = [*axes[0], *axes[1]]
    normal = np.cross(axes[0], axes[1]) * (1 if seed % 2 else -1)
    rows = [
        line(
            image_orientation_patient=orientation,
            image_position_patient=list(np.array([9.0, -7, 3]) + k * 2.5 * normal),
        )
        for k in range(4)
    ]
    affine = affine_of(rows)
    assert not isinstance(affine, str)
    header = nibabel.Nifti1Header(nifti_header(np.zeros((4, 6, 8), np.int16), affine)[:348])
    assert np.abs(header.get_qform() - affine).max() < 1e-4
    assert np.abs(header.get_sform() - affine).max() < 1e-4
    for index, row in enumerate(rows):
        assert np.abs((affine @ [4, 3, index, 1])[:3] - place(row, 4, 3)).max() < 1e-9


def test_a_tilted_stack_keeps_its_shear() -> None:
    rows = [line(image_position_patient=[0.0, 1.5 * k, 5.0 * k]) for k in range(5)]
    affine = affine_of(rows)
    assert not isinstance(affine, str)
    for index, row in enumerate(rows):
        assert np.abs((affine @ [2, 2, index, 1])[:3] - place(row, 2, 2)).max() < 1e-9
    header = nibabel.Nifti1Header(nifti_header(np.zeros((5, 6, 8), np.int16), affine)[:348])
    assert (header["qform_code"], header["sform_code"]) == (0, 1)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([line(image_position_patient=[0, 0, z]) for z in (0.0, 2.0, 6.0)], "not evenly spaced"),
        ([line(image_position_patient=[0, 0, z]) for z in (0.0, 2.0, 2.0, 4.0)], "not evenly spaced"),
        ([line(), line()], "several slices at one position"),
        ([line(image_position_patient=[x, 0, 0]) for x in (0.0, 2.0)], "several slices at one position"),
        ([line(), line(rows=7)], "different matrices"),
        ([line(), line(pixel_spacing_mm=[0.7, 0.9])], "different orientation or spacing"),
        ([line(image_position_patient=None)], "gives no spacing, position or orientation"),
        ([line(pixel_spacing_mm=None)], "gives no spacing, position or orientation"),
    ],
)
def test_what_is_no_volume_is_refused(rows: list[dict[str, Any]], reason: str) -> None:
    found = affine_of(rows)
    assert isinstance(found, str)
    assert reason in found


def test_a_nifti_source_comes_back(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    values = random.integers(-900, 900, (9, 7, 5)).astype(np.int16)
    affine = np.array([[-0.7, 0, 0, 11], [0, 0.8, 0, -6], [0, 0, 2.5, 3], [0, 0, 0, 1.0]])
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "in" / "a.nii.gz")
    manifest = ctprune.reduce(tmp_path / "in", method="all")
    done = ctprune.export_kept(manifest, mode="nifti", folder=tmp_path / "out")
    assert done.written == 5, done
    image = nibabel.load(tmp_path / "out" / "00000.nii.gz")
    found = np.asarray(image.dataobj)
    # Whatever the order of the axes: the same value at the same place.
    for voxel in np.ndindex(found.shape):
        x, y, z = np.rint(np.linalg.inv(affine) @ image.affine @ [*voxel, 1])[:3].astype(int)
        assert found[voxel] == values[x, y, z]


def test_nnssl_and_monai_lists_need_no_pixels_twice(manifest: ctprune.Manifest, tmp_path: Path) -> None:
    ctprune.export_kept(manifest, mode="nifti", layout="monai", folder=tmp_path / "a")
    images = [entry["image"] for entry in json.loads((tmp_path / "a" / "datalist.json").read_text())["training"]]
    assert images == sorted(file.name for file in (tmp_path / "a").glob("*.nii.gz"))
