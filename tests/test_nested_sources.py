"""Files that are sources, beside folders that are: the folder of the files is no source that holds the others."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

import ctprune
from ctprune import _core
from ctprune.manifest.manifest import FILE_NAME
from tests.containers import files_of, write_container


@pytest.fixture
def beside(archive: Path, tmp_path: Path) -> list[Path]:
    """A zip file, a folder and a slice in one folder; each has other files."""
    first, second, third = sorted(path for path in archive.iterdir() if path.is_dir())[:3]
    (tmp_path / "in").mkdir()
    packed = write_container(tmp_path / "in" / "a.zip", files_of(first))
    shutil.copytree(second, tmp_path / "in" / "b")
    slice_file = tmp_path / "in" / "c.dcm"
    shutil.copyfile(sorted(third.rglob("*.dcm"))[-1], slice_file)
    return [packed, tmp_path / "in" / "b", slice_file]


def summary(run: Path) -> dict[str, object]:
    return dict(json.loads((run / "summary.json").read_text()))


def content(run: Path) -> bytes:
    return (run / FILE_NAME).read_bytes()


def test_a_second_run_reads_nothing(beside: list[Path], tmp_path: Path) -> None:
    for order in (beside, beside[::-1]):
        ctprune.reduce(order, out=tmp_path / "run")
        before = content(tmp_path / "run")
        ctprune.reduce(order, out=tmp_path / "run")
        found = summary(tmp_path / "run")
        assert (found["files_read"], found["files_vanished"]) == (0, 0)
        assert content(tmp_path / "run") == before


def test_a_join_reads_nothing_again(beside: list[Path], tmp_path: Path) -> None:
    for number in (1, 2):
        ctprune.read_shard(beside, shard=f"{number}/2", out=tmp_path / "run")
    ctprune.reduce(beside, out=tmp_path / "run")
    assert summary(tmp_path / "run")["files_read"] == 0
    ctprune.reduce(beside, out=tmp_path / "whole")
    assert content(tmp_path / "run") == content(tmp_path / "whole")


def test_a_folder_within_the_source_of_today_is_not_read_again(beside: list[Path], tmp_path: Path) -> None:
    ctprune.reduce(beside[1], out=tmp_path / "run")
    files = summary(tmp_path / "run")["files"]
    ctprune.reduce(tmp_path / "in", out=tmp_path / "run")
    assert summary(tmp_path / "run")["files_reused"] == files


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_merged_they_are_one_run_over_all(beside: list[Path], tmp_path: Path, order: tuple[int, ...]) -> None:
    sources = [beside[number] for number in order]
    for source in sources:
        ctprune.reduce(source, out=tmp_path / source.name)
    ctprune.reduce(sources, out=tmp_path / "one")
    first, second, third = (tmp_path / source.name for source in sources)
    ctprune.merge([first, second], out=tmp_path / "two")
    ctprune.merge([tmp_path / "two", third], out=tmp_path / "merged")
    assert content(tmp_path / "merged") == content(tmp_path / "one")
    assert summary(tmp_path / "merged")["sources"] == [str(source) for source in sources]


def test_merged_with_a_run_over_their_folder_they_are_part_of_it(beside: list[Path], tmp_path: Path) -> None:
    ctprune.reduce(beside, out=tmp_path / "three")
    ctprune.reduce(tmp_path / "in", out=tmp_path / "all")
    for number, order in enumerate((["three", "all"], ["all", "three"])):
        ctprune.merge([tmp_path / name for name in order], out=tmp_path / f"merged-{number}")
        assert content(tmp_path / f"merged-{number}") == content(tmp_path / "all")
        assert summary(tmp_path / f"merged-{number}")["sources"] == [str(tmp_path / "in")]


def test_without_its_summary_a_run_is_taken_as_one_over_folders(beside: list[Path], tmp_path: Path) -> None:
    ctprune.reduce(beside[0], out=tmp_path / "a")
    ctprune.reduce(beside[1], out=tmp_path / "b")
    (tmp_path / "a" / "summary.json").unlink()
    merged = ctprune.merge([tmp_path / "a", tmp_path / "b"], out=tmp_path / "merged")
    assert set(merged.rows["source"]) == {str(tmp_path / "in")}
    assert merged.counts() == ctprune.reduce(beside[:2]).counts()


def test_a_list_may_name_a_hundred_thousand_folders() -> None:
    """A search through all others for each of them would take minutes."""
    found = _core.Archive(**ctprune.ReduceConfig().reading(), headers_only=False, threads=1, reads=0)
    begun = time.process_time()
    for number in range(100_000):
        found.declare_source(f"/archive/series-{number}")
    assert time.process_time() - begun < 10
