"""`ctprune check`: every code is planted in a plain series and found; a plain series has none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

import ctprune
from ctprune.checking.codes import CHECK_CODES
from tests.conftest import Cli

SLICES, SIZE = 12, 64

Plant = Callable[[list[Dataset]], None]


def plain_series() -> list[Dataset]:
    """A round body of soft tissue and fat in air, with noise, 2.5 mm thick and apart."""
    row, column = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    datasets = []
    for index in range(SLICES):
        noise = np.random.default_rng(index).normal(0, 8, (SIZE, SIZE))
        radius = np.hypot(row / (20 + index / 2), column / 26)
        hu = np.where(radius < 0.8, 40, np.where(radius < 1, -100, -1000)) + noise
        hu[30:34, 28:34] += 660
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        meta.MediaStorageSOPInstanceUID = f"1.2.3.{index + 1}"
        ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.4", "1.2.5", "1.2.6"
        ds.PatientID, ds.Modality, ds.ImageType = "A", "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 2.5 * index], [1, 0, 0, 0, 1, 0]
        ds.InstanceNumber, ds.AcquisitionNumber, ds.ConvolutionKernel = index + 1, 1, "B30f"
        ds.PixelSpacing, ds.SliceThickness = [1, 1], 2.5
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.Rows = ds.Columns = SIZE
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        put(ds, hu)
        datasets.append(ds)
    return datasets


def hu_of(ds: Dataset) -> np.ndarray:
    stored = np.frombuffer(ds.PixelData, "<i2").reshape(ds.Rows, ds.Columns)
    return stored * float(ds.RescaleSlope) + float(ds.RescaleIntercept)


def put(ds: Dataset, hu: np.ndarray) -> None:
    ds.PixelData = np.round(hu - float(ds.RescaleIntercept)).astype("<i2").tobytes()


def write(datasets: list[Dataset], folder: Path) -> Path:
    folder.mkdir()
    for number, ds in enumerate(datasets):
        ds.save_as(folder / f"{number:03d}.dcm")
    return folder


def change(of: slice = slice(None), **values: Any) -> Plant:
    def plant(series: list[Dataset]) -> None:
        for ds in series[of]:
            for name, value in values.items():
                setattr(ds, name, value)

    return plant


def pixels(new: Callable[[np.ndarray], np.ndarray], of: slice = slice(None)) -> Plant:
    def plant(series: list[Dataset]) -> None:
        for ds in series[of]:
            put(ds, new(hu_of(ds)))

    return plant


def moved(position: Callable[[int], list[float]]) -> Plant:
    def plant(series: list[Dataset]) -> None:
        for index, ds in enumerate(series):
            ds.ImagePositionPatient = position(index)

    return plant


def without(index: int) -> Plant:
    return lambda series: series.__delitem__(index)


def no_position(series: list[Dataset]) -> None:
    del series[3].ImagePositionPatient


def metal(hu: np.ndarray) -> np.ndarray:
    hu = hu.copy()
    hu[30:34, 30:34] = 3500
    return hu


def padded(hu: np.ndarray) -> np.ndarray:
    hu = hu.copy()
    hu[:8] = -3024
    return hu


def renamed_instances(series: list[Dataset]) -> None:
    series[3].InstanceNumber, series[4].InstanceNumber = series[4].InstanceNumber, series[3].InstanceNumber


def smaller(series: list[Dataset]) -> None:
    for ds in series[8:]:
        put(ds, hu_of(ds))
        stored = np.frombuffer(ds.PixelData, "<i2").reshape(SIZE, SIZE)[:32, :32]
        ds.Rows = ds.Columns = 32
        ds.PixelData = stored.tobytes()


def another(series: list[Dataset], **values: Any) -> Dataset:
    import copy

    ds = copy.deepcopy(series[4])
    for name, value in values.items():
        setattr(ds, name, value)
    series.append(ds)
    return ds


def stored_values(series: list[Dataset]) -> None:
    for ds in series:
        ds.PixelData = np.maximum(hu_of(ds) + 1024, 0).astype("<i2").tobytes()
        del ds.RescaleIntercept, ds.RescaleSlope


CORONAL = [1, 0, 0, 0, 0, -1]
TURNED = [1, 0, 0, 0, float(np.cos(0.3)), float(np.sin(0.3))]

#: For each code what plants it, and a word or number of where it is.
PLANTED: dict[str, tuple[Plant, str]] = {
    "C-ODD-ORIENTATION": (change(slice(5, 6), ImageOrientationPatient=TURNED), "17° off; slice 5"),
    "C-NO-POSITIONS": (no_position, ""),
    "C-MISSING-SLICES": (without(5), "5.00 mm instead of 2.50 between slices 4 and 5 (10.0 to 15.0 mm)"),
    "C-SAME-POSITION": (moved(lambda index: [0, 0, 2.5 * (index - (index > 6))]), "slice 7 (15.0 mm)"),
    "C-UNEVEN-SPACING": (
        moved(lambda index: [0, 0, 2.5 * index + (index > 6)]),
        "3.50 to 3.50 mm instead of 2.50",
    ),
    "C-CHANGING-TILT": (moved(lambda index: [0, max(0, index - 6), 2.5 * index]), "0.0° to 21.8°"),
    "C-TILT": (moved(lambda index: [0, index, 2.5 * index]), "21.8°"),
    "C-MIXED-PLANE": (change(slice(8, 12), ImageOrientationPatient=CORONAL), "coronal, axial"),
    "C-MIXED-MATRIX": (smaller, "32 × 32, 64 × 64"),
    "C-MIXED-SPACING": (change(slice(8, 12), PixelSpacing=[0.5, 0.5]), "0.5 mm, 1 mm"),
    "C-MIXED-KERNEL": (change(slice(8, 12), ConvolutionKernel="B70f"), "B30f, B70f"),
    "C-MIXED-THICKNESS": (change(slice(8, 12), SliceThickness=3), "2.5 mm, 3 mm"),
    "C-LOCALIZER": (lambda series: another(series, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]) and None, ""),
    "C-NOT-AXIAL": (change(ImageOrientationPatient=CORONAL), "coronal"),
    "C-INSTANCE-ORDER": (renamed_instances, ""),
    "C-THICKNESS-GAP": (change(SliceThickness=1), "1 mm thick, 2.50 mm apart"),
    "C-THICKNESS-OVERLAP": (change(SliceThickness=5), "5 mm thick, 2.50 mm apart"),
    "C-NO-RESCALE": (stored_values, "0 to"),
    "C-RESCALED-TWICE": (pixels(lambda hu: hu - 1024), ""),
    "C-NOT-HU": (pixels(lambda hu: np.clip((hu + 1024) / 10, 0, 255)), ""),
    "C-LABELS": (pixels(lambda hu: (hu > -500).astype(float)), "0 to 1"),
    "C-CLIPPED": (pixels(lambda hu: np.clip(hu, -160, 240)), "above 240 HU and below −160 HU"),
    "C-PADDING": (pixels(padded), "−3024 HU"),
    "C-METAL": (pixels(metal, slice(4, 7)), "up to 3500 HU; slices 4–6 (10.0 to 15.0 mm)"),
    "C-CONSTANT": (pixels(lambda hu: hu * 0 - 1000, slice(0, 1)), "slice 0 (0.0 mm)"),
    "C-EMPTY": (pixels(lambda hu: np.where(hu > -500, -990, hu), slice(0, 2)), "slices 0–1"),
    "C-LOSSY": (change(LossyImageCompression="01"), ""),
    "C-FEW-BITS": (change(BitsStored=11, HighBit=10, PixelRepresentation=1), "11 bits"),
    "C-SAME-UID": (lambda series: put(another(series), hu_of(series[5])), "slices 4–5"),
    "C-MIXED-PATIENT": (change(slice(8, 12), PatientID="B"), ""),
    "C-MIXED-STUDY": (change(slice(8, 12), StudyInstanceUID="1.2.4.1"), "2 studies"),
    "C-MIXED-FRAME-OF-REFERENCE": (change(slice(8, 12), FrameOfReferenceUID="1.9"), "2 frames of reference"),
    "C-BURNED-IN": (change(BurnedInAnnotation="YES"), ""),
    "C-SAME-PIXELS": (lambda series: put(series[6], hu_of(series[5])), "slices 5–6 (12.5 to 15.0 mm)"),
    "C-REFORMATTED": (change(ImageType=["DERIVED", "SECONDARY", "MPR"]), "DERIVED/SECONDARY/MPR"),
    "C-DERIVED": (change(ImageType=["DERIVED", "PRIMARY", "AXIAL"]), "DERIVED/PRIMARY/AXIAL"),
    "C-SECONDARY": (change(ImageType=["ORIGINAL", "SECONDARY", "AXIAL"]), "ORIGINAL/SECONDARY/AXIAL"),
}

#: Codes that a planted fault brings along by its nature.
BESIDE: dict[str, set[str]] = {
    "C-ODD-ORIENTATION": {"C-TILT", "C-CHANGING-TILT", "C-UNEVEN-SPACING"},
    "C-SAME-POSITION": set(),
    "C-MIXED-PLANE": {"C-SAME-POSITION", "C-MISSING-SLICES"},
    "C-NOT-AXIAL": {"C-SAME-POSITION"},
    "C-SAME-UID": {"C-SAME-POSITION", "C-SAME-PIXELS", "C-INSTANCE-ORDER"},
    "C-FEW-BITS": {"C-CLIPPED"},
    "C-LABELS": set(),
    "C-CONSTANT": set(),
}


def codes_of(folder: Path) -> dict[str, Any]:
    return {found.code: found for one in ctprune.check(folder, pixels=True) for found in one.findings}


def test_a_plain_series_has_no_finding(tmp_path: Path) -> None:
    [found] = ctprune.check(write(plain_series(), tmp_path / "in"), pixels=True)
    assert (found.verdict, found.findings) == ("ok", [])
    assert (found.slices, found.plane, found.distance_mm, found.thickness_mm) == (SLICES, "axial", 2.5, 2.5)
    assert found.direction == "up"
    assert 0.2 < found.body_share < 0.5


def test_every_code_is_planted() -> None:
    assert set(PLANTED) == set(CHECK_CODES)


@pytest.mark.parametrize("code", PLANTED)
def test_a_planted_fault_is_found_and_nothing_else(code: str, tmp_path: Path) -> None:
    series = plain_series()
    plant, where = PLANTED[code]
    plant(series)
    found = codes_of(write(series, tmp_path / "in"))
    assert code in found, found
    assert where in found[code].where
    assert set(found) <= {code} | BESIDE.get(code, set())


def test_two_thicknesses_at_their_own_distances_miss_nothing(tmp_path: Path) -> None:
    series = plain_series()
    for index, ds in enumerate(series):
        ds.ImagePositionPatient = [0, 0, 2.5 * min(index, 8) + 5 * max(0, index - 8)]
        ds.SliceThickness = 2.5 if index <= 8 else 5
    found = codes_of(write(series, tmp_path / "in"))
    assert set(found) == {"C-UNEVEN-SPACING", "C-MIXED-THICKNESS"}


def test_no_spacing_is_said_as_none(tmp_path: Path) -> None:
    series = plain_series()
    for ds in series[8:]:
        del ds.PixelSpacing
    found = codes_of(write(series, tmp_path / "in"))
    assert found["C-MIXED-SPACING"].where == "none, 1 mm"


def test_the_phantom_has_only_what_was_put_into_it(archive: Path) -> None:
    assert set(codes_of(archive)) <= {"C-PADDING", "C-TILT", "C-THICKNESS-OVERLAP"}


def test_a_run_says_the_same_as_its_files(archive: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, out=tmp_path / "run")
    of_run = ctprune.check(tmp_path / "run")
    assert [one.to_dict() for one in of_run] == [one.to_dict() for one in ctprune.check(archive, pixels=True)]
    table = pq.read_table(tmp_path / "run" / "series.parquet").to_pylist()
    assert [row["number"] for row in table] == list(range(len(of_run)))
    assert {row["path"]: row["verdict"] for row in table} == {one.path: one.verdict for one in of_run}
    ctprune.reduce(archive, out=tmp_path / "run", threshold=3)
    assert not (tmp_path / "run" / "series.parquet").exists()


def test_the_command_shows_the_worst_first(cli: Cli, tmp_path: Path) -> None:
    good, bad = plain_series(), plain_series()
    change(SeriesInstanceUID="1.2.7", BurnedInAnnotation="YES")(bad)
    for index, ds in enumerate(bad):
        ds.SOPInstanceUID = f"1.2.3.9.{index}"
        put(ds, hu_of(ds) + 3)
    write(good + bad, tmp_path / "in")
    done = cli("check", "in", "--out", "found")
    assert done.returncode == 0, done.stderr
    assert "pixels were not read, so nothing is said about values and equal slices: --pixels" in done.stderr
    assert "pixels were not read" not in cli("check", "in", "--pixels").stderr
    assert done.stdout.index("C-BURNED-IN") < done.stdout.index("ok")
    assert "2 series: 1 error, 1 ok" in done.stdout
    assert (tmp_path / "found" / "series.parquet").is_file()
    found = json.loads(cli("check", "in", "--json").stdout)
    assert [one["verdict"] for one in found] == ["error", "ok"]
    assert found[0]["findings"][0]["action"].startswith("Do not use")
    (tmp_path / "empty").mkdir()
    empty = cli("check", "empty")
    assert (empty.returncode, empty.stdout) == (4, "")
    assert empty.stderr.splitlines()[-1].startswith("Error: no slice was found in empty: 'ctprune reduce' says")


def test_no_patient_id_and_no_name_in_image_type(tmp_path: Path) -> None:
    series = plain_series()
    change(PatientID="SECRET")(series)
    for file in write(series, tmp_path / "in").iterdir():
        # Of the same length, since pydicom would not write it.
        file.write_bytes(file.read_bytes().replace(b"PRIMARY", b"Jane^Do"))
    rows = ctprune.reduce(tmp_path / "in").rows.to_dicts()
    assert not {"SECRET", "Jane"} & set(str(rows).replace("^", " ").split())
    assert {row["image_type"] for row in rows} == {"ORIGINAL\\\\AXIAL"}
    assert {row["patient_check"] for row in rows} <= set(range(256))


@pytest.mark.parametrize(
    ("options", "plant", "code", "refused"),
    [
        ({"plane": "axial"}, change(slice(8, 12), ImageOrientationPatient=CORONAL), "S-PLANE", 4),
        ({"skip_derived": True}, change(slice(8, 12), ImageType=["DERIVED", "SECONDARY"]), "S-DERIVED", 4),
        ({"thickness": (0.5, 2.5)}, change(slice(8, 12), SliceThickness=3), "S-THICKNESS", 4),
        ({"min_slices": 13}, change(), "S-FEW-SLICES", 12),
        ({"skip_codes": ["c-burned-in,C-METAL"]}, pixels(metal, slice(4, 7)), "S-FINDING", 3),
        ({"skip_codes": ["C-SAME-POSITION"]}, lambda series: another(series) and None, "S-FINDING", 1),
        ({"gate": "ct-fm", "min_slices": 5}, lambda series: another(series) and None, "S-SAME-POSITION", 13),
        ({"gate": "ct-fm", "min_slices": 5}, change(slice(8, 9), SliceThickness=6), "S-THICKNESS", 12),
        ({"gate": "ct-fm"}, change(), "S-FEW-SLICES", 12),
        ({"include": ["00*.dcm"]}, change(), "S-NOT-INCLUDED", 2),
    ],
)
def test_a_gate_refuses_with_row_and_code_and_lets_in_again(
    options: dict[str, Any], plant: Plant, code: str, refused: int, tmp_path: Path
) -> None:
    series = plain_series()
    plant(series)
    folder = write(series, tmp_path / "in")
    manifest = ctprune.reduce(folder, out=tmp_path / "run", **options)
    skipped = manifest.with_status("skipped")
    assert skipped["code"] == [code] * refused
    assert all(skipped["reason"])
    assert len(manifest) == len(series)
    fresh = ctprune.reduce(folder)
    again = ctprune.reduce(folder, out=tmp_path / "run")
    assert again == fresh
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["files_read"] == (refused if code == "S-NOT-INCLUDED" else 0)
    # Gated anew from what is known: the same as from the files.
    assert ctprune.reduce(folder, out=tmp_path / "run", **options) == manifest


@pytest.mark.parametrize("options", [{"gate": "ct-fm", "min_slices": 5}, {"skip_codes": ["C-LOCALIZER"]}])
def test_a_series_with_a_localizer_is_left_out_whole(options: dict[str, Any], tmp_path: Path) -> None:
    series = plain_series()
    PLANTED["C-LOCALIZER"][0](series)
    manifest = ctprune.reduce(write(series, tmp_path / "in"), **options)
    assert manifest.counts() == {"kept": 0, "dropped": 0, "skipped": 13, "failed": 0}
    assert sorted(manifest.with_status("skipped")["code"]) == ["S-FINDING"] * 12 + ["S-LOCALIZER"]
    # Without one, all are taken.
    del series[-1]
    assert ctprune.reduce(write(series, tmp_path / "plain"), **options).counts()["skipped"] == 0


#: Findings that need pixels: about values, and about slices that are equal.
OF_PIXELS = {code for code in CHECK_CODES if code in ("C-SAME-UID", "C-SAME-PIXELS")} | {
    *("C-NO-RESCALE", "C-RESCALED-TWICE", "C-NOT-HU", "C-LABELS", "C-CLIPPED", "C-PADDING", "C-METAL"),
    *("C-CONSTANT", "C-EMPTY"),
}


@pytest.mark.parametrize("code", PLANTED)
def test_headers_alone_say_the_same_of_all_else(code: str, tmp_path: Path) -> None:
    series = plain_series()
    PLANTED[code][0](series)
    folder = write(series, tmp_path / "in")
    [of_headers], [of_all] = (ctprune.check(folder, pixels=pixels) for pixels in (False, True))
    found = [finding for finding in of_all.findings if finding.code not in OF_PIXELS]
    assert of_headers.findings == found
    assert (code in {finding.code for finding in found}) == (code not in OF_PIXELS)
    names = ("slices", "volumes", "plane", "distance_mm", "thickness_mm", "direction", "path")
    one, other = of_headers.to_dict(), of_all.to_dict()
    assert [one[name] for name in names] == [other[name] for name in names]
    assert np.isnan(of_headers.body_share)


def test_headers_of_compressed_and_enhanced_files_say_the_same(archive: Path) -> None:
    def of(pixels: bool) -> list[tuple[Any, ...]]:
        found = sorted(ctprune.check(archive, pixels=pixels), key=lambda one: one.number)
        return [
            (one.path, one.slices, [finding for finding in one.findings if finding.code not in OF_PIXELS])
            for one in found
        ]

    assert of(pixels=False) == of(pixels=True)


def test_equal_pixels_are_compared_and_not_only_what_a_manifest_holds(tmp_path: Path) -> None:
    series = plain_series()
    values = hu_of(series[5])
    # Two pixels of soft tissue change places: fingerprint, range and shares stay the same.
    values[40, 20], values[40, 21] = values[40, 21], values[40, 20]
    assert values[40, 20] != values[40, 21]
    put(series[6], values)
    folder = write(series, tmp_path / "in")
    ctprune.reduce(folder, out=tmp_path / "run")
    rows = ctprune.Manifest.load(tmp_path / "run").rows.to_dicts()
    known = ("fingerprint", "min_hu", "max_hu", "hu_shares")
    assert all(np.array_equal(rows[5][name], rows[6][name]) for name in known)
    assert ctprune.check(tmp_path / "run")[0].findings == []
    # What cannot be read again is not claimed.
    put(series[6], hu_of(series[5]))
    folder = write(series, tmp_path / "equal")
    ctprune.reduce(folder, out=tmp_path / "equal-run")
    assert [one.code for one in ctprune.check(tmp_path / "equal-run")[0].findings] == ["C-SAME-PIXELS"]
    (folder / "006.dcm").unlink()
    assert ctprune.check(tmp_path / "equal-run")[0].findings == []


def test_unknown_codes_and_ranges_are_refused() -> None:
    with pytest.raises(ctprune.ConfigError, match="skip_codes C-NOTHING: expected codes of 'ctprune check'"):
        ctprune.ReduceConfig(skip_codes=("C-NOTHING",))
    with pytest.raises(ctprune.ConfigError, match="thickness"):
        ctprune.ReduceConfig(thickness=(5, 1))


def test_a_file_of_a_gate_is_not_touched(cli: Cli, tmp_path: Path) -> None:
    folder = write(plain_series(), tmp_path / "in")
    before = {file: file.read_bytes() for file in folder.iterdir()}
    done = cli("reduce", "in", "--out", "run", "--thickness", "3-5", "--plane", "axial")
    assert done.returncode == 4, done.stderr
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
