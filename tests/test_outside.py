"""No command writes into a source, and a result beside a source that is a file is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import ctprune
from tests.containers import files_of, write_container

#: Each command, called with the runs of a folder and of another one, the folder, and where to write.
COMMANDS: dict[str, Callable[[Path, Path, Path, Path], object]] = {
    "sweep": lambda run, other, source, out: ctprune.sweep(run, out=out),
    "duplicates": lambda run, other, source, out: ctprune.find_duplicates(run, out=out),
    "check": lambda run, other, source, out: ctprune.check(run, out=out),
    "check of files": lambda run, other, source, out: ctprune.check(source, out=out),
    "overlap": lambda run, other, source, out: ctprune.find_overlap(other, run, out=out),
    "overlap of files": lambda run, other, source, out: ctprune.find_overlap(other, source, out=out),
    "merge": lambda run, other, source, out: ctprune.merge([other, run], out=out),
    "export": lambda run, other, source, out: ctprune.export_kept(run, folder=out),
    "report": lambda run, other, source, out: ctprune.write_report(run, out=out / "page.html"),
    "reduce": lambda run, other, source, out: ctprune.reduce(source, out=out),
    "shard": lambda run, other, source, out: ctprune.read_shard(source, shard="1/2", out=out),
    "pretrain": lambda run, other, source, out: ctprune.pretrain(run, preset="smoke", out=out),
    "predict": lambda run, other, source, out: ctprune.predict("model", source, out=out / "table.csv"),
    "experiment": lambda run, other, source, out: ctprune.run_experiment(experiment(source), out=out),
}


def experiment(source: Path) -> Path:
    file = source.with_name("experiment.yaml")
    file.write_text(
        f"sources: {{a: '{source}'}}\n"
        "reductions: {hash: {method: hash}}\n"
        "pretrainings: {small: {preset: smoke}}\n"
        f"tasks: {{t: {{data: '{source}', positive: a}}}}\n"
    )
    return file


@pytest.fixture
def source(ct_file: Path, tmp_path: Path) -> Path:
    source = tmp_path / "in"
    shutil.copytree(ct_file.parent, source / "series")
    return source


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_writes_into_a_source(source: Path, ct_file: Path, tmp_path: Path, command: str) -> None:
    for name, what in (("run", source), ("other", ct_file)):
        ctprune.reduce(what, out=tmp_path / name)
    before = sorted(source.rglob("*"))
    with pytest.raises(
        ctprune.ConfigError, match=r"lies inside the source .*: name a (folder|file) outside of it"
    ):
        COMMANDS[command](tmp_path / "run", tmp_path / "other", source, source / "series" / "results")
    assert sorted(source.rglob("*")) == before


@pytest.mark.parametrize("command", ["sweep", "duplicates", "check", "overlap", "merge", "export", "report"])
def test_what_lies_beside_a_zip_file_is_not_in_it(
    source: Path, ct_file: Path, tmp_path: Path, command: str
) -> None:
    packed = write_container(tmp_path / "download.zip", files_of(source))
    ctprune.reduce(packed, out=tmp_path / "run")
    ctprune.reduce(ct_file, out=tmp_path / "other")
    COMMANDS[command](tmp_path / "run", tmp_path / "other", packed, tmp_path / "results")
    assert any((tmp_path / "results").iterdir())


def test_a_reduction_moved_into_its_source_keeps_its_results(source: Path, tmp_path: Path) -> None:
    ctprune.reduce(source, out=tmp_path / "run")
    moved = (tmp_path / "run").rename(source / "run")
    ctprune.find_duplicates(moved, out=moved)
    assert (source / "run" / "duplicates.parquet").is_file()


def test_without_its_summary_the_rows_name_the_sources(source: Path, tmp_path: Path) -> None:
    ctprune.reduce(source, out=tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    with pytest.raises(ctprune.ConfigError, match="lies inside the source"):
        ctprune.sweep(tmp_path / "run", out=source / "sweep")
    ctprune.sweep(tmp_path / "run", out=tmp_path / "sweep")
    assert (tmp_path / "sweep" / "sweep.parquet").is_file()


@pytest.mark.parametrize("command", ["check of files", "overlap of files", "reduce"])
def test_a_mistake_leaves_no_empty_folder(source: Path, ct_file: Path, tmp_path: Path, command: str) -> None:
    ctprune.reduce(ct_file, out=tmp_path / "other")
    with pytest.raises(ctprune.SourceError, match="absent: no such file or folder"):
        COMMANDS[command](tmp_path / "none", tmp_path / "other", tmp_path / "absent", tmp_path / "results")
    assert not (tmp_path / "results").exists()
