"""Reductions joined by `ctprune merge` are one reduction of all their sources, byte for byte."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune.errors import ManifestError
from ctprune.files.key_file import make_key
from ctprune.manifest import pseudonyms
from ctprune.manifest.manifest import FILE_NAME
from tests.conftest import Cli


@pytest.fixture
def parts(archive: Path, tmp_path: Path) -> list[Path]:
    """The archive in two sources, with a broken file and one that is no picture."""
    patients = sorted(path for path in archive.iterdir() if path.is_dir())
    folders = [tmp_path / "b", tmp_path / "a"]
    for folder, chosen in zip(folders, (patients[:2], patients[2:]), strict=True):
        for patient in chosen:
            shutil.copytree(patient, folder / patient.name)
        (folder / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"?" * 40)
        (folder / "notes.txt").write_text("nothing")
    return folders


def content(run: Path) -> bytes:
    return (run / FILE_NAME).read_bytes()


OPTIONS: list[dict[str, Any]] = [
    {},
    {"scope": "dataset", "threshold": 8},
    {"method": "random", "keep": 0.5},
    {"method": "every-n"},
    {"method": "ssim", "threshold": 0.7},
    {"keep": 0.3, "order": "path", "exclude": ["notes.txt"]},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_merge_is_one_run_over_both(parts: list[Path], tmp_path: Path, options: Any) -> None:
    for name, source in zip("xy", parts, strict=True):
        ctprune.reduce(source, out=tmp_path / name, **options)
    ctprune.reduce(parts, out=tmp_path / "one", **options)
    ctprune.merge([tmp_path / "x", tmp_path / "y"], out=tmp_path / "both")
    assert content(tmp_path / "both") == content(tmp_path / "one")


def test_no_source_need_be_there(parts: list[Path], tmp_path: Path) -> None:
    ctprune.reduce(parts, out=tmp_path / "one")
    for name, source in zip("xy", parts, strict=True):
        ctprune.reduce(source, out=tmp_path / name)
        shutil.rmtree(source)
    ctprune.merge([tmp_path / "x", tmp_path / "y"], out=tmp_path / "both")
    assert content(tmp_path / "both") == content(tmp_path / "one")


def test_a_series_in_two_sources_is_one_volume(archive: Path, tmp_path: Path) -> None:
    sources = [tmp_path / "even", tmp_path / "odd"]
    for number, file in enumerate(sorted(path for path in archive.rglob("*") if path.is_file())):
        target = sources[number % 2] / file.relative_to(archive)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    for options in ({}, {"method": "ssim", "threshold": 0.7}):
        for source in sources:
            ctprune.reduce(source, out=tmp_path / f"run-{source.name}", **options)
        ctprune.reduce(sources, out=tmp_path / "one", **options)
        ctprune.merge([tmp_path / "run-even", tmp_path / "run-odd"], out=tmp_path / "both")
        assert content(tmp_path / "both") == content(tmp_path / "one")


def test_a_file_that_both_know_is_there_once_as_it_was_later(archive: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    shutil.copytree(archive, source)
    files = sorted(source.rglob("*.dcm"))
    ctprune.reduce(source, out=tmp_path / "early")
    files[0].write_bytes(files[-1].read_bytes())
    os.utime(files[0], ns=(2 * 10**18, 2 * 10**18))
    ctprune.reduce(source, out=tmp_path / "late")
    for number, order in enumerate((["early", "late"], ["late", "early"])):
        ctprune.merge([tmp_path / name for name in order], out=tmp_path / f"both-{number}")
        assert content(tmp_path / f"both-{number}") == content(tmp_path / "late")


def test_a_source_within_another_becomes_part_of_it(archive: Path, tmp_path: Path) -> None:
    inner = sorted(path for path in archive.iterdir() if path.is_dir())[1]
    ctprune.reduce(inner, out=tmp_path / "inner")
    ctprune.reduce(archive, out=tmp_path / "outer")
    for number, order in enumerate((["inner", "outer"], ["outer", "inner"])):
        ctprune.merge([tmp_path / name for name in order], out=tmp_path / f"both-{number}")
        assert content(tmp_path / f"both-{number}") == content(tmp_path / "outer")


def test_a_merge_is_an_earlier_run_of_all_sources(parts: list[Path], tmp_path: Path) -> None:
    for name, source in zip("xy", parts, strict=True):
        ctprune.reduce(source, out=tmp_path / name)
    ctprune.merge([tmp_path / "x", tmp_path / "y"], out=tmp_path / "both")
    counts: list[int] = []
    ctprune.reduce(parts, out=tmp_path / "both", progress=lambda now: counts.append(now.facts["files_read"]))
    # Failures are tried again.
    assert max(counts) == 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"intensity": "lung"}, "`intensity`"),
        ({"threshold": 3}, "`threshold` 3,"),
        ({"scope": "dataset"}, "`scope`"),
    ],
    ids=str,
)
def test_other_options_are_refused(parts: list[Path], tmp_path: Path, options: Any, expected: str) -> None:
    ctprune.reduce(parts[0], out=tmp_path / "x")
    ctprune.reduce(parts[1], out=tmp_path / "y", **options)
    with pytest.raises(ctprune.ConfigError, match=expected):
        ctprune.merge([tmp_path / "x", tmp_path / "y"], out=tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_mistakes_are_one_sentence(parts: list[Path], tmp_path: Path, cli: Cli) -> None:
    ctprune.reduce(parts[0], out=tmp_path / "x")
    one = cli("merge", "x", "--out", "both")
    assert (one.returncode, "two or more reductions" in one.stderr) == (2, True)
    onto = cli("merge", "x", "x", "--out", "x")
    assert (onto.returncode, "one of the reductions to merge" in onto.stderr) == (2, True)
    none = cli("merge", "x", "b", "--out", "both")
    assert (none.returncode, "expected the folder of a reduction" in none.stderr) == (1, True)


def test_the_command(parts: list[Path], tmp_path: Path, cli: Cli) -> None:
    for name, source in zip("xy", parts, strict=True):
        ctprune.reduce(source, out=tmp_path / name)
    done = cli("merge", "x", "y", "--out", "both")
    # As of a reduction: some files could not be read.
    assert done.returncode == 3
    assert "manifest: both/manifest.parquet" in done.stdout
    assert cli("verify", "both").returncode == 0


def test_a_run_that_has_not_ended_is_not_merged(archive: Path, tmp_path: Path) -> None:
    runs = [tmp_path / "a", tmp_path / "b"]
    ctprune.reduce(archive, out=runs[0])
    ctprune.read_shard(archive, shard="2/3", out=runs[1])
    with pytest.raises(ManifestError, match=r"b: 1 of its 3 shards are read, and .* run 'ctprune reduce' again"):
        ctprune.merge(runs, out=tmp_path / "both")
    for number in (1, 3):
        ctprune.read_shard(archive, shard=f"{number}/3", out=runs[1])
    with pytest.raises(ManifestError, match="b: 3 of its 3 shards are read, and its manifest lacks some"):
        ctprune.merge(runs, out=tmp_path / "both")
    ctprune.reduce(archive, out=runs[1])
    merged = ctprune.merge(runs, out=tmp_path / "both")
    assert merged.counts() == ctprune.reduce(archive).counts()
    # A manifest is there, but parts of a run that was to renew it are, too.
    part = runs[1] / "parts" / "part-000001.parquet"
    part.parent.mkdir()
    part.write_bytes((runs[1] / "manifest.parquet").read_bytes()[:-7])
    with pytest.raises(ManifestError, match="its manifest lacks some of what was read"):
        ctprune.merge(runs, out=tmp_path / "both")
    assert not (tmp_path / "both" / "parts").exists()


@pytest.mark.parametrize("options", [{}, {"method": "ssim", "threshold": 0.7}], ids=str)
def test_pseudonyms_of_one_key_are_joined_by_who_has_it(
    parts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Any
) -> None:
    key, other = make_key(tmp_path / "key"), make_key(tmp_path / "other")
    for name, source in zip("xy", parts, strict=True):
        ctprune.reduce(source, out=tmp_path / name, pseudonymize=key, **options)
    ctprune.reduce(parts, out=tmp_path / "one", pseudonymize=key, **options)
    runs = [tmp_path / "x", tmp_path / "y"]
    for variable in (pseudonyms.KEY, pseudonyms.SOURCES):
        monkeypatch.setenv(variable, "")
    with pytest.raises(ctprune.ManifestError, match="give its key and its source"):
        ctprune.merge(runs, out=tmp_path / "both")
    ctprune.reveal(other, parts)
    with pytest.raises(ctprune.ConfigError, match="its fingerprint is"):
        ctprune.merge(runs, out=tmp_path / "both")
    ctprune.reveal(key, parts[:1])
    with pytest.raises(ctprune.ConfigError, match="not the source of the manifest's pseudonyms"):
        ctprune.merge(runs, out=tmp_path / "both")
    ctprune.reveal(key, parts[::-1])
    ctprune.merge(runs, out=tmp_path / "both")
    assert content(tmp_path / "both") == content(tmp_path / "one")
    summary = (tmp_path / "both" / "summary.json").read_text()
    assert not any(str(part) in summary for part in parts)
    (parts[1] / "notes.txt").unlink()
    ctprune.reveal(key, parts)
    with pytest.raises(ctprune.ManifestError, match="the files of 1 row are not in the sources"):
        ctprune.merge(runs, out=tmp_path / "again")
    ctprune.reduce(parts[0], out=tmp_path / "plain", **options)
    with pytest.raises(ctprune.ConfigError, match="reduce these with the key, too"):
        ctprune.merge([tmp_path / "x", tmp_path / "plain"], out=tmp_path / "again")
