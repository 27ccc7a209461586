"""Shards: read in any order, by any process, again after a failure; joined, they are one run byte for byte."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune.files.run_lock import sole_writer
from ctprune.manifest.manifest import FILE_NAME
from ctprune.manifest.shards import Shard, shard_folders
from tests.conftest import Cli
from tests.printed import result_of


def whole(archive: Any, folder: Path, **options: Any) -> bytes:
    ctprune.reduce(archive, out=folder, **options)
    return (folder / FILE_NAME).read_bytes()


@pytest.fixture(scope="module")
def expected(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return whole(archive, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("of", [1, 3, 40])
def test_joined_shards_are_one_run(archive: Path, tmp_path: Path, expected: bytes, of: int) -> None:
    numbers = list(range(1, of + 1))
    random.Random(of).shuffle(numbers)
    for done, number in enumerate(numbers, 1):
        read = ctprune.read_shard(archive, shard=f"{number}/{of}", out=tmp_path)
        assert set(read.missing) == set(numbers[done:])
        assert ctprune.missing_shards(tmp_path) == tuple(sorted(numbers[done:]))
    assert read.can_be_joined
    ctprune.reduce(archive, out=tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == expected
    assert not (tmp_path / "parts").exists()


def test_a_join_reads_nothing_again_and_every_file_is_in_one_shard(archive: Path, tmp_path: Path) -> None:
    files = [ctprune.read_shard(archive, shard=f"{number}/3", out=tmp_path).files for number in (1, 2, 3)]
    assert min(files) > 0
    counts: list[int] = []
    ctprune.reduce(archive, out=tmp_path, progress=lambda now: counts.append(now.facts["files_read"]))
    assert max(counts) == 0
    assert sum(files) == sum(path.is_file() for path in archive.rglob("*"))


def test_a_join_reads_what_is_missing_itself(archive: Path, tmp_path: Path, expected: bytes) -> None:
    ctprune.read_shard(archive, shard="2/3", out=tmp_path)
    ctprune.reduce(archive, out=tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == expected


def test_a_shard_is_read_again_after_a_failure(archive: Path, tmp_path: Path, expected: bytes) -> None:
    def stop(progress: ctprune.Progress) -> None:
        if progress.stage == "reading" and progress.facts["files_read"]:
            raise KeyboardInterrupt

    with pytest.raises(ctprune.Interrupted, match="rerun to resume"):
        ctprune.read_shard(archive, shard="1/2", out=tmp_path, progress=stop)
    assert ctprune.missing_shards(tmp_path) == (1, 2)
    again = ctprune.read_shard(archive, shard="1/2", out=tmp_path)
    assert again.files_read < again.files
    once_more = ctprune.read_shard(archive, shard="1/2", out=tmp_path)
    assert (once_more.files_read, once_more.digest) == (0, again.digest)
    ctprune.read_shard(archive, shard="2/2", out=tmp_path)
    ctprune.reduce(archive, out=tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == expected


def test_shards_are_read_at_the_same_time(archive: Path, tmp_path: Path, expected: bytes) -> None:
    errors: list[BaseException] = []

    def read(number: int) -> None:
        try:
            ctprune.read_shard(archive, shard=Shard(number, 4), out=tmp_path, threads=1)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert ctprune.missing_shards(tmp_path) == ()
    ctprune.reduce(archive, out=tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == expected


def test_sources_keep_their_order_whichever_shard_knows_them_first(archive: Path, tmp_path: Path) -> None:
    """Copies of one series in two sources: nothing may depend on which one was read first."""
    other = tmp_path / "copy"
    shutil.copytree(archive, other)
    one = whole([other, archive], tmp_path / "one")
    for order in itertools.permutations((1, 2, 3)):
        out = tmp_path / f"run-{order}"
        for number in order:
            ctprune.read_shard([other, archive], shard=f"{number}/3", out=out)
        ctprune.reduce([other, archive], out=out)
        assert (out / FILE_NAME).read_bytes() == one


@pytest.mark.parametrize(("method", "threshold"), [("ssim", 0.7), ("mi", 1.1)])
def test_a_second_pass_compares_the_pixels_of_whole_volumes(
    archive: Path, tmp_path: Path, method: str, threshold: float
) -> None:
    options: Any = {"method": method, "threshold": threshold}
    one = whole(archive, tmp_path / "one", **options)
    out = tmp_path / "run"
    for number in (1, 2):
        first = ctprune.read_shard(archive, shard=f"{number}/2", out=out, **options)
        assert first.stage == "read"
    assert first.begins_next
    assert first.missing == (1, 2)
    assert "call each once more" in first.sentence()
    second = ctprune.read_shard(archive, shard="2/2", out=out, **options)
    assert (second.stage, second.missing) == ("selected", (1,))
    assert ctprune.read_shard(archive, shard="1/2", out=out, **options).can_be_joined
    compared: list[str] = []
    ctprune.reduce(archive, out=out, progress=lambda now: compared.append(now.stage), **options)
    assert (out / FILE_NAME).read_bytes() == one
    assert json.loads((out / "summary.json").read_text())["comparisons"]["pairs"] == 0


def test_volumes_that_no_shard_has_compared_are_compared_by_the_join(archive: Path, tmp_path: Path) -> None:
    options: Any = {"method": "ssim", "threshold": 0.7}
    one = whole(archive, tmp_path / "one", **options)
    out = tmp_path / "run"
    for number in (1, 2, 2):
        ctprune.read_shard(archive, shard=f"{number}/2", out=out, **options)
    ctprune.reduce(archive, out=out, **options)
    assert (out / FILE_NAME).read_bytes() == one
    assert json.loads((out / "summary.json").read_text())["comparisons"]["pairs"] > 0


@pytest.mark.parametrize(
    ("shard", "options", "expected"),
    [
        ("2/3", {}, "use the same number of shards"),
        ("2/2", {"intensity": "lung"}, "`intensity` minmax, not hu:"),
        ("2/2", {"threshold": 4}, "`threshold` 6, not 4"),
        ("2/2", {"exclude": ["x"]}, "`exclude`"),
    ],
)
def test_shards_that_differ_are_refused(
    archive: Path, tmp_path: Path, shard: str, options: Any, expected: str
) -> None:
    ctprune.read_shard(archive, shard="1/2", out=tmp_path)
    with pytest.raises(ctprune.ConfigError, match=expected):
        ctprune.read_shard(archive, shard=shard, out=tmp_path, **options)
    assert list(shard_folders(tmp_path)) == [Shard(1, 2)]


def test_a_join_with_other_reading_options_is_refused_and_loses_nothing(archive: Path, tmp_path: Path) -> None:
    ctprune.read_shard(archive, shard="1/1", out=tmp_path)
    with pytest.raises(ctprune.ConfigError, match="was read with `intensity` minmax"):
        ctprune.reduce(archive, out=tmp_path, intensity="lung")
    assert ctprune.missing_shards(tmp_path) == ()
    assert ctprune.reduce(archive, out=tmp_path, threshold=4).rows == ctprune.reduce(archive, threshold=4).rows


def test_shards_of_other_sources_are_refused(archive: Path, tmp_path: Path) -> None:
    ctprune.read_shard(archive, shard="1/2", out=tmp_path / "run")
    (tmp_path / "other").mkdir()
    with pytest.raises(ctprune.ConfigError, match="was read with sources"):
        ctprune.read_shard(tmp_path / "other", shard="2/2", out=tmp_path / "run")


def test_a_join_names_the_shards_that_are_being_read(archive: Path, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        ctprune.read_shard(archive, shard=f"{number}/3", out=tmp_path)
    with (
        sole_writer(Shard(2, 3).folder(tmp_path)),
        pytest.raises(ctprune.InUseError, match="shard 2/3 is being read"),
    ):
        ctprune.reduce(archive, out=tmp_path)
    with sole_writer(Shard(2, 3).folder(tmp_path)), pytest.raises(ctprune.InUseError):
        ctprune.read_shard(archive, shard="2/3", out=tmp_path)


def test_a_lock_of_a_dead_host_holds_nobody_up(archive: Path, tmp_path: Path, expected: bytes) -> None:
    for folder in (tmp_path, Shard(1, 1).folder(tmp_path)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").write_text("")
    ctprune.read_shard(archive, shard="1/1", out=tmp_path)
    ctprune.reduce(archive, out=tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == expected


@pytest.mark.parametrize("damage", ["the claim", "a part"])
def test_what_is_damaged_is_read_again(archive: Path, tmp_path: Path, expected: bytes, damage: str) -> None:
    for number in (1, 2):
        ctprune.read_shard(archive, shard=f"{number}/2", out=tmp_path)
    folder = Shard(1, 2).folder(tmp_path)
    file = folder / "shard.json" if damage == "the claim" else next(folder.glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-20])
    said: list[str] = []
    if damage == "the claim":
        assert ctprune.missing_shards(tmp_path) == (1,)
    ctprune.reduce(archive, out=tmp_path, note=said.append)
    assert (tmp_path / FILE_NAME).read_bytes() == expected
    if damage == "a part":
        assert any(str(file) in sentence and "damaged" in sentence for sentence in said)


def test_an_archive_that_grew_is_read_by_shards_again(archive: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "run"
    patients = sorted(path for path in archive.iterdir() if path.is_dir())
    shutil.copytree(patients[0], source / patients[0].name)
    ctprune.reduce(source, out=out)
    before = sum(path.is_file() for path in source.rglob("*"))
    for patient in patients[1:]:
        shutil.copytree(patient, source / patient.name)
    reads = [ctprune.read_shard(source, shard=f"{number}/2", out=out) for number in (1, 2)]
    assert sum(read.files_read for read in reads) == sum(p.is_file() for p in source.rglob("*")) - before
    ctprune.reduce(source, out=out)
    assert (out / FILE_NAME).read_bytes() == whole(source, tmp_path / "one")


def test_the_command_says_what_is_missing_and_the_last_one_joins(
    archive: Path, tmp_path: Path, cli: Cli, expected: bytes
) -> None:
    first = cli("reduce", archive, "--out", "run", "--shard", "2/2", "--json")
    assert first.returncode == 0
    assert "shard 2/2 is read; 1 shard is missing: 1" in first.stderr
    assert result_of("reduce", first.stdout)["missing"] == [1]
    last = cli("reduce", archive, "--out", "run", "--shard", "1/2")
    assert (last.returncode, "manifest: run/manifest.parquet" in last.stdout) == (0, True)
    assert (tmp_path / "run" / FILE_NAME).read_bytes() == expected


@pytest.mark.parametrize(
    ("shard", "expected"),
    [*((shard, "i/n") for shard in ("0/3", "4/3", "3", "a/b", "1/0")), ("1/100000", "at most 99,999 shards")],
)
def test_what_is_no_shard_is_refused(archive: Path, tmp_path: Path, cli: Cli, shard: str, expected: str) -> None:
    done = cli("reduce", archive, "--out", "run", "--shard", shard)
    assert done.returncode == 2
    assert f"--shard {shard}: expected {expected}" in done.stderr
    assert not (tmp_path / "run" / "parts").exists()
