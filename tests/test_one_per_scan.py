"""`--one-per-scan`: of volumes that show one scan one is taken; what only looks like it stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

import ctprune
from ctprune.duplicates.duplicates import with_correlation
from ctprune.duplicates.pairs import find_pairs
from ctprune.duplicates.scans import stand_ins
from ctprune.errors import ConfigError
from tests.conftest import Cli

Change = Callable[[pydicom.Dataset, int], None]


@pytest.fixture(scope="module")
def series(archive: Path) -> list[pydicom.Dataset]:
    """The slices of one volume, uncompressed, from one end to the other."""
    slices = ctprune.reduce(archive).slices()
    first = next(
        volume
        for volume in range(slices.volumes)
        if len(set(np.unique(slices.rows["frame"][slices.starts[volume] : slices.starts[volume + 1]]))) == 1
    )
    rows = slices.take(np.arange(slices.starts[first], slices.starts[first + 1]), ["source", "path"])
    found = []
    for row in rows:
        dataset = pydicom.dcmread(Path(row["source"], row["path"]))
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            dataset.decompress()
        found.append(dataset)
    return found


def write(
    series: list[pydicom.Dataset], folder: Path, name: str, change: Change | None = None, **values: object
) -> None:
    """A copy of the series under UIDs of its own, with these values."""
    (folder / name).mkdir(parents=True)
    number = 1 + sum(map(ord, name))
    for index, one in enumerate(series):
        dataset = pydicom.dcmread(one.filename) if change is None and not values else one.copy()
        dataset.SOPInstanceUID = f"1.2.{number}.{index}"
        dataset.SeriesInstanceUID = f"1.3.{number}"
        for key, value in values.items():
            setattr(dataset, key, value)
        if change is not None:
            change(dataset, index)
        dataset.save_as(folder / name / f"{index:03d}.dcm")


def softer(dataset: pydicom.Dataset, index: int) -> None:
    """A smoothed reconstruction of the same positions."""
    pixels = dataset.pixel_array.astype(np.float64)
    padded = np.pad(pixels, 1, mode="edge")
    rows, columns = pixels.shape
    parts = [padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    dataset.PixelData = (sum(parts) / 9).round().astype(dataset.pixel_array.dtype).tobytes()


def taken(folder: Path, **options: object) -> dict[str, int]:
    """Slices that are left by folder, each with the number of them; the others have row and code."""
    manifest = ctprune.reduce(folder, method="all", one_per_scan=True, **options)
    skipped = manifest.with_status("skipped")
    assert set(skipped["code"]) <= {"S-SAME-SCAN"}
    assert all(reason.startswith("another volume of the scan is taken: ") for reason in skipped["reason"])
    assert len(manifest) == sum(1 for _ in folder.rglob("*.dcm"))
    names = [path.split("/")[0] for path in manifest.kept()["path"]]
    return {name: names.count(name) for name in sorted(set(names))}


def test_kernels_and_parts_of_one_acquisition_are_one_scan(
    series: list[pydicom.Dataset], tmp_path: Path, cli: Cli
) -> None:
    write(series, tmp_path / "in", "sharp", ConvolutionKernel="B70f")
    write(series, tmp_path / "in", "soft", softer, ConvolutionKernel="B20f")
    write(series[2:-4], tmp_path / "in", "part", ConvolutionKernel="B10f")
    # The part has the softest kernel, but does not show what the others do.
    assert taken(tmp_path / "in") == {"soft": len(series)}
    assert taken(tmp_path / "in", prefer="sharp") == {"sharp": len(series)}
    done = cli("reduce", "in", "--out", "run", "--one-per-scan", "--method", "all")
    assert done.returncode == 0, done.stderr
    once = ctprune.Manifest.load(tmp_path / "run")
    assert once.counts()["skipped"] == 2 * len(series) - 6
    # Without the option nothing is read again.
    done = cli("reduce", "in", "--out", "run", "--method", "all")
    assert ctprune.Manifest.load(tmp_path / "run").counts()["kept"] == 3 * len(series) - 6
    again = cli("reduce", "in", "--out", "run", "--one-per-scan", "--method", "all")
    assert again.returncode == 0
    assert ctprune.Manifest.load(tmp_path / "run") == once


def test_the_thickness_decides(series: list[pydicom.Dataset], tmp_path: Path) -> None:
    write(series, tmp_path / "in", "thin", SliceThickness=1)
    write(series, tmp_path / "in", "thick", SliceThickness=5)
    assert taken(tmp_path / "in", prefer="thin") == {"thin": len(series)}
    assert taken(tmp_path / "in", prefer="thick") == {"thick": len(series)}


def test_copies_under_other_studies_are_one_scan(series: list[pydicom.Dataset], tmp_path: Path) -> None:
    write(series, tmp_path / "in", "first", StudyInstanceUID="1.4.1")
    write(series, tmp_path / "in", "second", StudyInstanceUID="1.4.2", PatientID="ANON")
    assert list(taken(tmp_path / "in").values()) == [len(series)]


def moved(dataset: pydicom.Dataset, index: int) -> None:
    position = [float(value) for value in dataset.ImagePositionPatient]
    dataset.ImagePositionPatient = [position[0], position[1], position[2] + 4]


@pytest.mark.parametrize(
    ("change", "values"),
    [
        # A second phase of contrast, at the same place.
        (softer, {"AcquisitionNumber": 77}),
        # Another scan of the study, with a frame of reference of its own, or a little further down.
        (softer, {"FrameOfReferenceUID": "1.5.6.7"}),
        (moved, {}),
    ],
)
def test_other_acquisitions_stay(
    change: Change, values: dict[str, object], series: list[pydicom.Dataset], tmp_path: Path
) -> None:
    write(series, tmp_path / "in", "first")
    write(series, tmp_path / "in", "second", change, **values)
    assert taken(tmp_path / "in") == {"first": len(series), "second": len(series)}


def test_volumes_that_only_overlap_and_neighbors_of_neighbors_stay(
    series: list[pydicom.Dataset], tmp_path: Path
) -> None:
    write(series[:10], tmp_path / "in", "lower")
    write(series[3:13], tmp_path / "in", "middle")
    write(series[6:], tmp_path / "in", "upper")
    assert set(taken(tmp_path / "in")) == {"lower", "middle", "upper"}


def test_patients_of_one_build_stay(archive: Path) -> None:
    """Of different studies only copies go: correlation tells them from others that are near by fingerprint."""
    slices = ctprune.reduce(archive).slices()
    uids, of = slices.labels("study_instance_uid")
    study = [uids[of[first]] for first in slices.starts[:-1]]
    found = stand_ins(slices, prefer="soft")
    assert found
    assert all(study[one.volume] == study[one.representative] for one in found)
    across = [pair for pair in with_correlation(slices, find_pairs(slices)) if not pair.same_study]
    assert all((pair.correlation or 0) < 0.99 for pair in across)


def test_prefer_needs_the_option() -> None:
    with pytest.raises(ConfigError, match="prefer needs `one_per_scan`"):
        ctprune.ReduceConfig(prefer="thin")
    assert ctprune.ReduceConfig(one_per_scan=True).prefer == "soft"
