"""`duplicates`: planted copies by their kinds, what a dHash does not see, and the command from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest

import ctprune
from ctprune import _core
from ctprune.duplicates.groups import sharpness
from ctprune.errors import ConfigError, ManifestError
from tests.conftest import Cli
from tests.planted import COPIES, Volume, fingerprints
from tests.printed import result_of

#: Of 12 copies of each kind so many are found, with the default threshold; docs/duplicates.md says so, too.
FOUND = {
    "same pixels": 12,
    "softer kernel": 12,
    "sharper kernel, noise of 40 HU": 10,
    "window of soft tissue": 0,
    "JPEG, quality 60": 9,
    "resized by half": 12,
    "slices in reverse": 12,
    "every second slice": 12,
    "a part: the middle 60 %": 12,
    "left and right exchanged": 4,
    "top and bottom exchanged": 12,
    "half a turn": 4,
    "quarter of a turn": 0,
    "scanned again, patient at the same place": 10,
    "scanned again, patient 1 % aside": 4,
    "scanned again, patient 2 % aside": 0,
    "shifted by 5 %": 0,
    "field of view cropped by 5 %": 0,
    "field of view cropped by 10 %": 0,
    "field of view cropped by 20 %": 0,
}


def found_pairs(
    volumes: list[npt.NDArray[np.uint8]], spacings: list[float], threshold: int, between: int
) -> list[dict[str, Any]]:
    starts = np.cumsum([0, *map(len, volumes)]).tolist()
    positions = np.concatenate([np.arange(len(v)) * s for v, s in zip(volumes, spacings, strict=True)])
    return _core.find_pairs(
        np.concatenate(volumes),
        starts,
        positions,
        threshold=threshold,
        min_overlap=0.5,
        hash_size=8,
        turned=True,
        between=between,
    )


def nearest_median(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], step: int) -> float:
    """Smallest median distance over all shifts, in both directions, that leave half of the shorter: slow."""
    distances = ctprune.hamming(a, b, all_to_all=True).astype(float)
    medians = []
    for rows in (np.arange(len(b)), np.arange(len(b))[::-1]):
        for shift in range(-step * len(b), len(a)):
            places = shift + step * np.arange(len(b))
            inside = (places >= 0) & (places < len(a))
            if inside.sum() >= max(3, min(len(a) / step, len(b)) / 2 + 1):
                medians.append(float(np.median(distances[places[inside], rows[inside]])))
    return min(medians)


@pytest.mark.parametrize("kind", COPIES)
def test_planted_copies_are_found_as_by_brute_force(kind: str, volumes: list[Volume]) -> None:
    count = len(volumes)
    own = [fingerprints(volume) for volume in volumes]
    copies = [fingerprints(COPIES[kind](volume)) for volume in volumes]
    step = 2 if kind == "every second slice" else 1
    spacings = [3.0] * count + [3.0 * step] * count
    pairs = found_pairs(own + copies, spacings, 3, count)
    right = {pair["a"] for pair in pairs if pair["b"] - count == pair["a"]}
    assert len(right) == FOUND[kind]
    # Laid upon each other as well as can be, few of 132 pairs of different patients are as close.
    assert len(pairs) - len(right) <= 2
    if kind in ("left and right exchanged", "top and bottom exchanged", "half a turn"):
        turns = {"left and right exchanged": "left-right", "top and bottom exchanged": "up-down"}
        assert {pair["turn"] for pair in pairs if pair["b"] - count == pair["a"]} == {turns.get(kind, "half turn")}
        return
    # Copies that are not found are so far from their originals that no shift brings them closer.
    by_force = {number for number in range(count) if nearest_median(own[number], copies[number], step) <= 3}
    assert right == by_force


#: Second scans that a threshold of 6 bits finds, and pairs of different patients that it takes for some.
LOOSER = {
    "scanned again, patient at the same place": (12, 6),
    "scanned again, patient 1 % aside": (12, 5),
    "scanned again, patient 2 % aside": (2, 2),
}


@pytest.mark.parametrize("kind", LOOSER)
def test_a_looser_threshold_finds_patients_who_were_scanned_twice(kind: str, volumes: list[Volume]) -> None:
    count = len(volumes)
    both = [fingerprints(volume) for volume in volumes]
    both += [fingerprints(COPIES[kind](volume)) for volume in volumes]
    pairs = found_pairs(both, [3.0] * (2 * count), 6, count)
    right = [pair for pair in pairs if pair["b"] - count == pair["a"]]
    assert (len(right), len(pairs) - len(right)) == LOOSER[kind]


def test_two_kernels_of_a_scan_are_a_pair(archive: Path, tmp_path: Path, cli: Cli) -> None:
    manifest = ctprune.reduce(archive, out=tmp_path / "run")
    slices = manifest.slices()
    uids, of = slices.labels("study_instance_uid")
    studies = [uids[index] for index in of[slices.starts[:-1]]]
    lengths = np.diff(slices.starts)
    result = cli("duplicates", "run", "--json")
    assert result.returncode == 0, result.stderr
    found = result_of("duplicates", result.stdout)
    twins = {
        (a, b)
        for a in range(slices.volumes)
        for b in range(a + 1, slices.volumes)
        if studies[a] == studies[b] and lengths[a] == lengths[b]
    }
    assert twins
    of_one_study = {(pair["a"], pair["b"]) for pair in found["pairs"] if pair["same_study"]}
    assert of_one_study == twins
    for pair in found["pairs"]:
        if pair["same_study"]:
            assert (pair["relation"], pair["turn"], pair["scale"], pair["unit"]) == ("same", "", 1, "mm")
            assert pair["shift"] == pytest.approx(0, abs=1e-6)
            assert pair["correlation"] > 0.99
            assert pair["same_series"] is False
    table, about = _core.Rows.read(str(tmp_path / "run" / "duplicates.parquet"))
    assert len(table) == len(found["pairs"])
    assert json.loads(about or "")["volumes"] == slices.volumes
    shown = cli("duplicates", "run", "--no-pixels")
    assert "Pairs of volumes that show the same anatomy" in shown.stdout
    assert "softest kernel" in shown.stdout
    assert cli("duplicates", "run", "--quiet").stdout == ""


def test_the_number_of_threads_does_not_matter(archive: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, out=tmp_path / "run")
    one, many = (ctprune.find_duplicates(tmp_path / "run", threads=threads, out=tmp_path) for threads in (1, 3))
    assert one == many


def test_copies_under_other_names_and_the_representative(archive: Path, tmp_path: Path) -> None:
    manifest = ctprune.reduce(archive)
    slices = manifest.slices()
    first = int(np.flatnonzero(np.diff(slices.starts) >= 8)[0])
    rows = slices.take(np.arange(slices.starts[first], slices.starts[first + 1]), ["source", "path"])
    for copy, kernel in enumerate(("B30f", "B80f", "B50f")):
        (tmp_path / "in" / str(copy)).mkdir(parents=True)
        for number, row in enumerate(dict.fromkeys((row["source"], row["path"]) for row in rows)):
            dataset = pydicom.dcmread(Path(*row))
            dataset.SOPInstanceUID = f"1.2.{copy}.{number}"
            dataset.SeriesInstanceUID, dataset.StudyInstanceUID = f"1.3.{copy}", f"1.4.{copy}"
            dataset.ConvolutionKernel = kernel
            dataset.save_as(tmp_path / "in" / str(copy) / f"{number}.dcm")
    ctprune.reduce(tmp_path / "in", out=tmp_path / "run")
    for prefer, taken in (("soft", 0), ("sharp", 1)):
        found = ctprune.find_duplicates(tmp_path / "run", prefer=prefer)
        assert [(pair.a, pair.b, pair.relation) for pair in found.pairs] == [
            (0, 1, "copy"),
            (0, 2, "copy"),
            (1, 2, "copy"),
        ]
        assert all(pair.same_study is False and pair.correlation == 1 for pair in found.pairs)
        [group] = found.groups
        assert (group.volumes, group.representative) == ([0, 1, 2], taken)
    # Files that are gone leave pairs without a correlation, not without the rest.
    for file in (tmp_path / "in" / "1").iterdir():
        file.unlink()
    found = ctprune.find_duplicates(tmp_path / "run")
    assert [pair.correlation for pair in found.pairs] == [None, 1, None]


def test_kernels_are_sorted_by_sharpness() -> None:
    siemens = ["B20f", "B30s", "Br40d", "I50f", "B70f"]
    assert sorted(siemens, key=lambda name: sharpness(name) or 0) == siemens
    assert [sharpness(name) is None for name in ("", "unknown", "Q")] == [True] * 3
    ge = ["SOFT", "STANDARD", "DETAIL", "LUNG", "BONE", "EDGE"]
    assert sorted(ge, key=lambda name: sharpness(name) or 0) == ge


def test_mistakes_are_one_sentence(archive: Path, tmp_path: Path, cli: Cli) -> None:
    ctprune.reduce(archive, out=tmp_path / "run")
    with pytest.raises(ConfigError, match="expected 0 to 64 bits"):
        ctprune.find_duplicates(tmp_path / "run", threshold=65)
    with pytest.raises(ConfigError, match="min_overlap"):
        ctprune.DuplicatesConfig(min_overlap=0)
    with pytest.raises(ManifestError, match="expected the folder of a reduction"):
        ctprune.find_duplicates(tmp_path)
    result = cli("duplicates", "run", "--prefer", "best")
    assert result.returncode == 2
    assert "soft" in result.stderr
