"""The phantom's masks: on the voxels of their series, of what is seen there, beside files that stay the same."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ctprune.phantom import ArchiveSummary, write_archive
from ctprune.phantom.canvas import LESION, LIVER, LUNG
from ctprune.phantom.reconstruct import _most
from ctprune.reduction.volume import read_volume
from tests.conftest import Cli

#: The second patient of these has lesions in the liver's scanner of wide slices, the fourth an enhanced object.
WHO = {"patients": 4, "seed": 1, "size": 64, "slices": 8, "test_patients": 1, "reports": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ArchiveSummary:
    return write_archive(tmp_path_factory.mktemp("masks") / "archive", masks=True, **WHO)


def rows(archive: Path) -> list[dict[str, str]]:
    with (archive / "masks.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_dicom_files_stay_the_same_and_masks_lie_beside_them(made: ArchiveSummary, tmp_path: Path) -> None:
    def digests(folder: Path) -> dict[Path, str]:
        found = [file for file in folder.rglob("*") if file.is_file()]
        return {file.relative_to(folder): hashlib.sha256(file.read_bytes()).hexdigest() for file in found}

    plain = write_archive(tmp_path / "plain", **WHO)
    before, after = digests(plain.path), digests(made.path)
    assert before.items() <= after.items()
    assert (plain.masks, made.masks, plain.files) == (0, 7, made.files)
    added = {str(file) for file in after.keys() - before.keys()}
    listed = {row["mask"] for row in rows(made.path)}
    assert added == {"masks.csv", "dataset.json"} | listed
    assert len(listed) == made.series == 7
    assert {row["split"] for row in rows(made.path) if row["patient"] == "P0004"} == {"test"}
    assert json.loads((made.path / "dataset.json").read_text())["labels"]["lesion"] == LESION


def test_a_mask_lies_on_the_voxels_of_its_series_and_says_what_is_seen(made: ArchiveSummary) -> None:
    seen: dict[int, list[float]] = {LUNG: [], LIVER: []}
    for row in rows(made.path):
        volume = read_volume(made.path / row["image"])
        mask = nibabel.load(made.path / row["mask"])
        labels = np.asarray(mask.dataobj).transpose(2, 1, 0)
        assert labels.dtype == np.uint8
        assert labels.shape == volume.hu.shape
        step = np.linalg.norm(mask.affine[:3, :3], axis=0)
        np.testing.assert_allclose(step[:2], volume.pixel_spacing_mm, rtol=1e-5)
        # Of a tilted gantry the planes lie closer than the table moves.
        normal = np.cross(mask.affine[:3, 0], mask.affine[:3, 1])
        distance = abs(mask.affine[:3, 2] @ normal) / np.linalg.norm(normal)
        np.testing.assert_allclose(distance, np.diff(volume.position_mm).mean(), rtol=1e-4)
        for label, values in seen.items():
            values += volume.hu[labels == label].tolist()
        assert (labels == LUNG).any()
    assert np.median(seen[LUNG]) < -800
    # Soft tissue, with the edges of a small picture.
    assert 0 < np.median(seen[LIVER]) < 130


def test_a_lesion_is_marked_where_the_labels_say(made: ArchiveSummary) -> None:
    with (made.path / "labels.csv").open(newline="") as stream:
        ill = {row["path"].rpartition("/")[0] for row in csv.DictReader(stream) if row["label"] == "1"}
    marked = {
        row["image"]
        for row in rows(made.path)
        if (np.asarray(nibabel.load(made.path / row["mask"]).dataobj) == LESION).any()
    }
    assert ill
    assert ill == marked


def test_a_thick_slice_shows_what_most_of_its_planes_do() -> None:
    planes = [[0, LUNG, LUNG, LIVER], [0, LUNG, LESION, 0], [LUNG, LIVER, LESION, LESION]]
    assert _most([np.array([plane], np.uint8) for plane in planes]).tolist() == [[0, LUNG, LESION, LESION]]


def test_the_command_says_what_to_do_with_masks(cli: Cli) -> None:
    scans = ("--patients", 1, "--size", 64, "--slices", 2, "--no-reports")
    done = cli("phantom", "demo", *scans, "--masks")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Next: ctprune segment {Path('demo', 'masks.csv')} --out segmentation/" in done.stdout
