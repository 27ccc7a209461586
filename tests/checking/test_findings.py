"""Each code is found where it was planted, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest

import ctprune
from ctprune.checking.codes import CHECK_CODES
from ctprune.reading import digests
from tests.checking.faults import BESIDE, PLANTED, SLICES, change, hu_of, plain_series, put, write
from tests.conftest import Cli
from tests.printed import result_of


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


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        # 0.75 mm apart, written to a tenth of a millimeter.
        ([[0, 0, round(0.75 * index, 1)] for index in range(12)], set()),
        # Errors of a tenth aside would be a tilt of 8°.
        ([[-12.5, 0.1 * (index % 3 == 1), 0.7 * index] for index in range(12)], set()),
        # A gantry tilted by 15°, whose shift is rounded.
        ([[0, round(0.75 * 0.268 * index, 1), 0.75 * index] for index in range(12)], {"C-TILT"}),
        # Errors that add up are none of rounding, and neither is what is given more exactly.
        ([[0, 0, round(0.7 * index + 0.3 * (index > 6), 1)] for index in range(12)], {"C-UNEVEN-SPACING"}),
        ([[0, 0, 0.75 * index + 0.0823 * (index % 2)] for index in range(12)], {"C-UNEVEN-SPACING"}),
    ],
)
def test_rounded_positions_are_neither_uneven_nor_tilted(
    positions: list[list[float]], expected: set[str], tmp_path: Path
) -> None:
    series = plain_series()
    for ds, position in zip(series, positions, strict=True):
        ds.ImagePositionPatient = [f"{value:.4f}" for value in position]
        ds.SliceThickness = 0.75
    assert set(codes_of(write(series, tmp_path / "in"))) == expected


#: What the summary of a reduction counts volumes by, and the codes that say the same.
COUNTED = {
    "no_positions": {"C-NO-POSITIONS"},
    "duplicate_positions": {"C-SAME-POSITION"},
    "missing_slices": {"C-MISSING-SLICES"},
    "variable_spacing": {"C-UNEVEN-SPACING"},
    "gantry_tilt": {"C-TILT", "C-CHANGING-TILT"},
}


@pytest.mark.parametrize("name", [*sorted(set().union(*COUNTED.values())), "rounded", "thicker"])
def test_the_summary_counts_what_is_found(name: str, tmp_path: Path) -> None:
    series = plain_series()
    if name == "rounded":
        for index, ds in enumerate(series):
            ds.ImagePositionPatient = [0, 0, round(0.75 * index, 1)]
    elif name == "thicker":
        change(slice(8, 12), SliceThickness=5)(series)
        for index, ds in enumerate(series):
            ds.ImagePositionPatient = [0, 0, 2.5 * min(index, 8) + 5 * max(0, index - 8)]
    else:
        PLANTED[name][0](series)
    ctprune.reduce(write(series, tmp_path / "in"), out=tmp_path / "run")
    counts = json.loads((tmp_path / "run" / "summary.json").read_text())["volumes_with"]
    found = {finding.code for one in ctprune.check(tmp_path / "run") for finding in one.findings}
    assert {counted: count > 0 for counted, count in counts.items()} == {
        counted: bool(codes & found) for counted, codes in COUNTED.items()
    }


def test_all_slices_without_a_position_have_no_place(tmp_path: Path) -> None:
    series = plain_series()
    for ds in series:
        del ds.ImagePositionPatient
    found = codes_of(write(series, tmp_path / "in"))
    assert (found["C-NO-POSITIONS"].where, found["C-NO-POSITIONS"].count) == ("", SLICES)


@pytest.mark.parametrize(
    ("change_of", "code"),
    [
        (lambda hu: hu, None),
        # As volumes whose rescaling was stored in the file and applied again.
        (lambda hu: hu - 1024, "C-RESCALED-TWICE"),
        (lambda hu: np.maximum(hu + 1024, 0), "C-NO-RESCALE"),
        (lambda hu: (hu > -500).astype(np.int16), "C-LABELS"),
        (lambda hu: np.clip(hu, -160, 240), "C-CLIPPED"),
    ],
)
def test_values_of_a_nifti_file_are_checked_as_those_of_dicom(
    change_of: Callable[[np.ndarray], np.ndarray], code: str | None, tmp_path: Path
) -> None:
    hu = np.stack([hu_of(ds) for ds in plain_series()], axis=-1)
    image = nibabel.Nifti1Image(change_of(hu).round().astype(np.int16), np.diag([1, 1, 2.5, 1]))
    nibabel.save(image, tmp_path / "volume.nii.gz")
    [found] = ctprune.check(tmp_path / "volume.nii.gz", pixels=True)
    assert [one.code for one in found.findings] == ([code] if code else [])


def test_no_spacing_is_said_as_none(tmp_path: Path) -> None:
    series = plain_series()
    for ds in series[8:]:
        del ds.PixelSpacing
    found = codes_of(write(series, tmp_path / "in"))
    assert found["C-MIXED-SPACING"].where.startswith("none (4), 1 mm (8); slices 0–3 of volume")


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
    assert "pixels were not read, so values and equal slices were not checked: add --pixels" in done.stderr
    assert "pixels were not read" not in cli("check", "in", "--pixels").stderr
    assert done.stdout.index("C-BURNED-IN") < done.stdout.index("ok")
    assert "2 series: 1 error, 1 ok" in done.stdout
    assert "C-BURNED-IN  Look at the pixels before you use or share them." in done.stdout
    assert (tmp_path / "found" / "series.parquet").is_file()
    found = result_of("check", cli("check", "in", "--json").stdout)["series"]
    assert [one["verdict"] for one in found] == ["error", "ok"]
    assert found[0]["findings"][0]["action"].startswith("Look at the pixels")
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


def test_equal_pixels_are_compared_and_not_only_what_a_manifest_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    threads: list[int] = []
    read = digests._digests
    monkeypatch.setattr(digests, "_digests", lambda *given: threads.append(given[3]) or read(*given))
    found = ctprune.check(tmp_path / "equal-run", config=ctprune.ReduceConfig(threads=2))[0].findings
    assert [one.code for one in found] == ["C-SAME-PIXELS"]
    assert set(threads) == {2}
    (folder / "006.dcm").unlink()
    assert ctprune.check(tmp_path / "equal-run")[0].findings == []
