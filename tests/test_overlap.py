"""`overlap`: planted copies against brute force, every kind of set, and the command from end to end."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from PIL import Image

import ctprune
from ctprune import _core
from ctprune.duplicates.evidence import correlation
from ctprune.overlapping.near import TURNS, find_near
from ctprune.reading.resized import read_resized
from tests.conftest import Cli
from tests.planted import COPIES, Volume, fingerprints
from tests.printed import result_of

#: Of 12 patients the first six are set A, and copies of all 12 are set B. In percent: how many copies of the six
#: are found, and how many of all found ones are of the six; within 6 bits, within 3 bits, and within 6 bits with a
#: correlation of 0.99. docs/overlap.md says so, too.
FOUND = {
    "same pixels": ((100, 59), (100, 79), (100, 100)),
    "softer kernel": ((100, 58), (99, 77), (86, 100)),
    "sharper kernel, noise of 40 HU": ((100, 64), (77, 80), (86, 100)),
    "window of soft tissue": ((53, 62), (8, 94), (0, 0)),
    "JPEG, quality 60": ((96, 62), (80, 90), (68, 100)),
    "resized by half": ((100, 59), (100, 78), (90, 100)),
    "slices in reverse": ((100, 59), (100, 79), (100, 100)),
    "every second slice": ((100, 60), (100, 79), (100, 100)),
    "a part: the middle 60 %": ((100, 60), (100, 80), (100, 100)),
    "left and right exchanged": ((93, 58), (46, 63), (47, 100)),
    "top and bottom exchanged": ((100, 59), (100, 79), (100, 100)),
    "half a turn": ((93, 58), (46, 63), (47, 100)),
    "quarter of a turn": ((0, 0), (0, 0), (0, 0)),
    "scanned again, patient at the same place": ((99, 62), (79, 77), (88, 100)),
    "scanned again, patient 1 % aside": ((98, 64), (59, 72), (1, 100)),
    "scanned again, patient 2 % aside": ((46, 64), (3, 50), (0, 0)),
    "shifted by 5 %": ((0, 0), (0, 0), (0, 0)),
    "field of view cropped by 5 %": ((74, 70), (12, 58), (0, 0)),
    "field of view cropped by 10 %": ((28, 67), (2, 40), (0, 0)),
    "field of view cropped by 20 %": ((1, 100), (0, 0), (0, 0)),
}

Pictures = npt.NDArray[np.uint8]


def by_force(own: npt.NDArray[np.uint8], others: npt.NDArray[np.uint8], threshold: int) -> list[list[int]]:
    """Row, distance and turn of the nearest, of all compared bit by bit; the first of equals."""
    squares = np.unpackbits(own, axis=1).reshape(-1, 8, 8)
    # A mirrored picture has its columns in reverse, and "brighter than its neighbor" becomes "darker".
    turns = (squares, 1 - squares[:, :, ::-1], squares[:, ::-1], 1 - squares[:, ::-1, ::-1])
    bits = np.unpackbits(others, axis=1).astype(np.int64)
    distances = np.stack([(turn.reshape(-1, 1, 64) != bits).sum(axis=2) for turn in turns])
    found = []
    for number in range(len(own)):
        turn, row = np.unravel_index(np.argmin(distances[:, number]), distances[:, number].shape)
        nearest = int(distances[turn, number, row])
        found.append([int(row), nearest, int(turn)] if nearest <= threshold else [-1, 65535, 0])
    return found


def small(volume: Volume) -> list[Pictures]:
    """Gray from the slice's smallest to its largest value, 64 × 64."""
    pictures = []
    for hu in volume.astype(np.float64):
        gray = (hu - hu.min()) / (hu.max() - hu.min()) * 255
        square = Image.fromarray(gray.astype(np.uint8)).resize((64, 64), Image.Resampling.BOX)
        pictures.append(np.asarray(square))
    return pictures


@pytest.mark.parametrize("kind", COPIES)
def test_planted_copies_are_found_as_by_brute_force(kind: str, volumes: list[Volume]) -> None:
    originals = np.concatenate([fingerprints(volume) for volume in volumes[:6]])
    copies = [np.ascontiguousarray(COPIES[kind](volume)) for volume in volumes]
    own = np.concatenate([fingerprints(copy) for copy in copies])
    is_copy = np.arange(len(own)) < sum(map(len, copies[:6]))

    def shares(found: npt.NDArray[np.bool_]) -> tuple[int, int]:
        right = (found & is_copy).sum()
        return round(100 * right / is_copy.sum()), round(100 * right / max(1, found.sum()))

    measured = []
    for threshold in (6, 3):
        near = find_near(own, originals, threshold, turned=True)
        found = np.column_stack([near.row, near.bits, near.turn]).tolist()
        assert found == by_force(own, originals, threshold)
        measured.append(shares(near.found))
    near = find_near(own, originals, 6, turned=True)
    of_a = [picture for volume in volumes[:6] for picture in small(volume)]
    of_b = [picture for copy in copies for picture in small(copy)]
    alike = []
    for at, (row, turn) in enumerate(zip(near.row.tolist(), near.turn.tolist(), strict=True)):
        same = [] if row < 0 else np.flatnonzero((originals == originals[row]).all(axis=1)).tolist()
        values = [correlation({0: of_b[at], 1: of_a[other]}, [(0, 1)], TURNS[turn]) or 0 for other in same]
        alike.append(max(values, default=0) >= 0.99)
    measured.append(shares(np.array(alike, np.bool_)))
    assert tuple(measured) == FOUND[kind]


def test_without_turns_only_what_stands_upright_is_found(volumes: list[Volume]) -> None:
    originals = fingerprints(volumes[0])
    upside_down = fingerprints(np.ascontiguousarray(volumes[0][:, ::-1]))
    assert find_near(upside_down, originals, 0, turned=True).found.all()
    assert not find_near(upside_down, originals, 0).found.any()
    assert (find_near(originals, originals, 0, turned=True).turn == 0).all()


@pytest.fixture(scope="module")
def run(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overlap") / "run"
    ctprune.reduce(archive, out=folder)
    return folder


def series_folder(run: Path, folder: Path, *, volume: int = 0) -> Path:
    """Links to the files of one volume of a run."""
    slices = ctprune.Manifest.load(run).slices()
    rows = slices.take(np.flatnonzero(slices.volume == volume), ["source", "path"])
    folder.mkdir(parents=True)
    for number, name in enumerate(dict.fromkeys((row["source"], row["path"]) for row in rows)):
        os.link(Path(*name), folder / f"{number}.dcm")
    return folder


def test_a_series_of_the_archive_is_in_it(run: Path, tmp_path: Path, cli: Cli) -> None:
    test_set = series_folder(run, tmp_path / "test")
    done = cli("overlap", run, "test", "--out", "found", "--json", "--max", "100%", "--min-correlation", "0.99")
    assert done.returncode == 0, done.stderr
    found = result_of("overlap", done.stdout)
    assert found["slices"] == found["found"] == found["equal"] == len(list(test_set.iterdir()))
    assert (found["volumes"], found["volumes_found"]) == (1, 1)
    assert (0, 0) in {(pair["a"], pair["b"]) for pair in found["pairs"]}
    assert {pair["relation"] for pair in found["pairs"] if pair["a"] == 0} == {"copy"}
    table = pq.read_table(tmp_path / "found" / "overlap.parquet").to_pylist()
    assert [row["bits"] for row in table] == [0] * found["found"]
    assert {(row["a_volume"], row["correlation"]) for row in table} == {(0, 1)}
    assert [row["a_path"] for row in table] != [row["b_path"] for row in table]
    page = (tmp_path / "found" / "overlap.html").read_text()
    assert f"{found['found']} of {found['slices']} slices of B" in page
    assert page.count("<img") > 16
    # No path, and nothing that is not in the page.
    assert "dcm" not in page
    assert "test" not in page.split("<body>")[1].replace("dimensional", "")
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    too_much = cli("overlap", run, "test", "--max", "50%")
    assert too_much.returncode == 1
    said = too_much.stderr.splitlines()[-1]
    assert said.startswith("Error: 100.00% of the slices of test are in ")
    assert said.endswith(", but --max allows 50.00%: leave the overlap out of one of them")
    assert "volumes" in too_much.stdout


def test_what_is_elsewhere_is_not_in_it(run: Path, tmp_path: Path) -> None:
    """Other patients are near within 6 bits, and not alike."""
    ctprune.phantom.write_archive(tmp_path / "others", patients=2, seed=77, size=96, slices=16)
    near = ctprune.find_overlap(run, tmp_path / "others")
    alike = ctprune.find_overlap(run, tmp_path / "others", min_correlation=0.99)
    assert near.found > 0
    assert alike.found < near.found / 4
    assert all(row["correlation"] >= 0.99 for row in alike.rows)


def test_files_that_cannot_be_read_are_counted(ct_file: Path, tmp_path: Path, cli: Cli) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        shutil.copyfile(ct_file, tmp_path / name / "1.dcm")
    for number in (2, 3):
        (tmp_path / "b" / f"{number}.dcm").write_bytes(ct_file.read_bytes()[:3000])
    (tmp_path / "b" / "notes.txt").write_text("no slice")
    ctprune.reduce(tmp_path / "b", out=tmp_path / "run")
    for name in ("b", "run"):
        found = ctprune.find_overlap(tmp_path / "a", tmp_path / name)
        assert (found.slices, found.failed_of_a, found.failed_of_b) == (1, 0, 2)
        assert ctprune.find_overlap(tmp_path / name, tmp_path / "a").failed_of_a == 2
    said = cli("overlap", "a", "b").stderr
    assert "left out because it cannot be read: 2 files of b; 'ctprune reduce' says why" in said
    assert "of a;" not in said


@pytest.mark.parametrize("gone", ["a", "b"])
def test_what_cannot_be_compared_counts_as_found(ct_file: Path, tmp_path: Path, cli: Cli, gone: str) -> None:
    """A guard does not pass a test set because files of the archive are on another disk."""
    for name in "ab":
        shutil.copytree(ct_file.parent, tmp_path / f"in-{name}")
        ctprune.reduce(tmp_path / f"in-{name}", out=tmp_path / name)
    read = ctprune.find_overlap(tmp_path / "a", tmp_path / "b", min_correlation=0.99)
    shutil.rmtree(tmp_path / f"in-{gone}")
    found = ctprune.find_overlap(tmp_path / "a", tmp_path / "b", min_correlation=0.99)
    assert (found.found, read.unread) == (read.found, 0)
    assert found.unread == found.found > 0
    assert all(row["correlation"] is None for row in found.rows)
    said = cli("overlap", "a", "b", "--min-correlation", "0.99", "--max", "0")
    assert said.returncode == 1
    assert f"{found.unread} of the found slices could not be compared" in said.stderr


def test_the_order_of_sets_and_the_threads_do_not_matter(run: Path, tmp_path: Path) -> None:
    folder = series_folder(run, tmp_path / "some", volume=1)
    one, other = (ctprune.find_overlap(run, folder, threads=threads) for threads in (1, 3))
    assert one == other
    # B may be the run: what of the archive is in the folder.
    back = ctprune.find_overlap(folder, run, threshold=0)
    assert back.slices == len(ctprune.Manifest.load(run).slices())
    assert len(list(folder.iterdir())) <= back.found < back.slices


def pictures_of(run: Path, count: int) -> list[npt.NDArray[np.uint8]]:
    slices = ctprune.Manifest.load(run).slices()
    rows = slices.take(np.arange(0, len(slices), 5)[:count], ["source", "path", "frame", "reader"])
    squares = np.empty((count, 96, 96), np.uint8)
    read_resized(rows, squares, slices.config)
    return list(squares)


def test_splits_of_a_medmnist_file_and_of_lists_of_names(run: Path, tmp_path: Path, cli: Cli) -> None:
    pictures = pictures_of(run, 8)
    noise = list(np.random.default_rng(0).integers(0, 256, (4, 96, 96), np.uint8))
    np.savez(tmp_path / "set.npz", train_images=np.stack(noise), test_images=np.stack(pictures))
    found = ctprune.find_overlap(run, tmp_path / "set.npz")
    assert [(part.split, part.slices, part.found) for part in found.parts] == [("test", 8, 8), ("train", 4, 0)]
    assert ctprune.find_overlap(run, tmp_path / "set.npz", split="train").found == 0
    with pytest.raises(ctprune.SourceError, match="expected slices of split val, found those of test, train"):
        ctprune.find_overlap(run, tmp_path / "set.npz", split="val")
    for label, images in (("ill", pictures[:4]), ("well", noise)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / "images" / label / f"{number}.png")
    (tmp_path / "lists").mkdir()
    lists = {"trainill": "0.png", "testill": "1.png\n2.png", "trainwell": "0.png", "testwell": "3.png"}
    for name, lines in lists.items():
        (tmp_path / "lists" / f"{name}.txt").write_text(lines)
    done = cli("overlap", run, "images", "--labels", "lists", "--split", "test", "--json")
    assert done.returncode == 0, done.stderr
    named = result_of("overlap", done.stdout)
    assert named["parts"] == [
        {"split": "test", "label": "ill", "slices": 2, "found": 2},
        {"split": "test", "label": "well", "slices": 1, "found": 0},
    ]
    assert sorted(row["b_path"] for row in named["rows"]) == ["1.png", "2.png"]


def test_labels_of_a_run_say_what_is_used_of_it(run: Path, tmp_path: Path) -> None:
    slices = ctprune.Manifest.load(run).slices()
    uids, of = slices.labels("series_instance_uid")
    chosen = [uids[of[slices.starts[volume]]] for volume in (0, 1)]
    (tmp_path / "labels.csv").write_text(
        "series_instance_uid,label\n" + "".join(f"{uid},{number}\n" for number, uid in enumerate(chosen))
    )
    found = ctprune.find_overlap(run, run, labels=tmp_path / "labels.csv", threshold=0)
    sizes = np.diff(slices.starts)[:2].tolist()
    assert [(part.label, part.slices) for part in found.parts] == [("0", sizes[0]), ("1", sizes[1])]
    assert found.found + found.one_value == sum(sizes)


def test_mistakes_are_one_sentence(run: Path, tmp_path: Path, cli: Cli) -> None:
    with pytest.raises(ctprune.SourceError, match="nothing: no such file or folder"):
        ctprune.find_overlap(run, tmp_path / "nothing")
    with pytest.raises(ctprune.ConfigError, match="threshold 65: expected 0 to 64 bits"):
        ctprune.find_overlap(run, run, threshold=65)
    ctprune.reduce(series_folder(run, tmp_path / "some"), out=tmp_path / "lung", intensity="lung")
    with pytest.raises(ctprune.ManifestError, match=r"of intensity hu:.* expected minmax as in the reduction"):
        ctprune.find_overlap(run, tmp_path / "lung")
    wrong = cli("overlap", run, run, "--max", "much")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "--max much: expected a fraction" in wrong.stderr


def test_a_set_is_in_itself(run: Path, tmp_path: Path) -> None:
    """The same files are read for both sides."""
    for number, image in enumerate(pictures_of(run, 6)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    found = ctprune.find_overlap(tmp_path, tmp_path, min_correlation=1)
    assert (found.slices, found.found, found.equal) == (6, 6, 6)
    assert all((row["a_path"], row["bits"]) == (row["b_path"], 0) for row in found.rows)


def test_slices_of_one_value_are_no_copies(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.new("L", (64, 64), 7).save(tmp_path / name / "flat.png")
    found = ctprune.find_overlap(tmp_path / "a", tmp_path / "b")
    assert (found.found, found.one_value, found.slices) == (0, 1, 1)


def test_turned_fingerprints_need_a_known_turn() -> None:
    with pytest.raises(ValueError, match="expected a turn, found sideways"):
        _core.turned(np.zeros((1, 8), np.uint8), "sideways", 8)
    with pytest.raises(ValueError, match="expected fingerprints of 9 × 9 bits, found 64"):
        _core.turned(np.zeros((1, 8), np.uint8), "", 9)
