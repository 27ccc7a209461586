"""Gates refuse with a row and a code, and let in again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ctprune
from tests.checking.faults import (
    CORONAL,
    PLANTED,
    Plant,
    another,
    change,
    metal,
    pixels,
    plain_series,
    write,
)
from tests.conftest import Cli


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


@pytest.mark.parametrize(("count", "taken"), [(50, 0), (51, 51)])
def test_ct_fm_takes_series_of_over_fifty_slices(count: int, taken: int, tmp_path: Path) -> None:
    series = plain_series()
    for number in range(len(series), count):
        ds = another(series)
        ds.SOPInstanceUID, ds.InstanceNumber = f"1.2.3.{number + 1}", number + 1
        ds.ImagePositionPatient = [0, 0, 2.5 * number]
    counts = ctprune.reduce(write(series, tmp_path / "in"), gate="ct-fm", method="all").counts()
    assert (counts["kept"], counts["skipped"]) == (taken, count - taken)


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
