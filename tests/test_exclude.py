"""`--exclude`: which files a pattern means, and that what it leaves out is neither read nor forgotten."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import ctprune
from ctprune.files.globs import glob_pattern
from ctprune.report.citation import command_line, shown_config
from tests.conftest import Cli


@pytest.mark.parametrize(
    ("glob", "matching", "others"),
    [
        ("labelsTr/*", ["labelsTr/a", "labelsTr/b/c"], ["xlabelsTr/a", "x/labelsTr/a", "labelsTr"]),
        ("labelsTr", ["labelsTr/a", "labelsTr"], ["labelsTr2/a", "x/labelsTr/a"]),
        ("./labelsTr/", ["labelsTr/a"], ["labelsTr2/a"]),
        ("**/x", ["x", "a/x", "a/b/x", "a/x/y"], ["ax", "a/xy"]),
        ("a/**/x", ["a/x", "a/b/c/x"], ["ax", "b/a/x"]),
        ("a/**", ["a/b", "a/b/c"], ["b/a", "ab"]),
        ("**", ["a", "a/b"], []),
        ("*.nii.gz", ["m.nii.gz"], ["a/m.nii.gz", "mxniixgz"]),
        ("**/*seg*.nii*", ["a/b_seg.nii.gz", "seg.nii"], ["a/b.nii"]),
        ("?[ab]c", ["xac", "xbc"], ["xcc", "/ac"]),
        ("[!a]c", ["bc"], ["ac", "/c"]),
        ("[0-4]", ["3"], ["5", "-"]),
        ("[]]x", ["]x"], ["[x"]),
        ("a[x", ["a[x"], ["ax"]),
        ("a**b", ["axb"], ["a/b"]),
        ("a+b (1)", ["a+b (1)", "a+b (1)/x"], ["aab (1)"]),
        ("Größe/*", ["Größe/a"], ["Grosse/a"]),
    ],
)
def test_what_a_pattern_means(glob: str, matching: list[str], others: list[str]) -> None:
    pattern = re.compile(glob_pattern(glob))
    assert [path for path in matching if not pattern.search(path)] == []
    assert [path for path in others if pattern.search(path)] == []


@pytest.mark.parametrize(
    ("glob", "sentence"),
    [("", "expected a pattern, such as"), ("./", "expected a pattern"), ("/data/x", "relative to the source")],
)
def test_what_is_no_pattern_is_refused(glob: str, sentence: str, cli: Cli, archive: Path) -> None:
    with pytest.raises(ctprune.ConfigError, match=sentence):
        ctprune.ReduceConfig(exclude=(glob,))
    result = cli("reduce", archive, "--exclude", glob, "--out", "run")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)


def test_one_text_is_no_sequence() -> None:
    with pytest.raises(ctprune.ConfigError, match="expected a sequence of patterns"):
        ctprune.reduce(".", exclude="labelsTr/*")


@pytest.fixture
def source(ct_file: Path, tmp_path: Path) -> Path:
    for name in ("images/a.dcm", "images/b.dcm", "labels/a.dcm", "labels/deep/b.dcm"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ct_file, tmp_path / "in" / name)
    # It cannot be read, which nobody hears of when it is left out.
    (tmp_path / "in" / "labels" / "broken.dcm").write_bytes(b"")
    return tmp_path / "in"


def statuses(run: Path) -> dict[str, str]:
    return {row["path"]: row["reason"] or "read" for row in ctprune.Manifest.load(run).rows.to_dicts()}


def summary(run: Path) -> dict:
    return dict(json.loads((run / "summary.json").read_text()))


def test_excluded_files_are_not_read_and_have_a_row(cli: Cli, source: Path, tmp_path: Path) -> None:
    result = cli("reduce", source, "--exclude", "labels/*", "--exclude", "nothing/*", "--out", "run")
    assert result.returncode == 0, result.stderr
    reason = "excluded by --exclude labels/*"
    assert statuses(tmp_path / "run") == {
        "images/a.dcm": "read",
        "images/b.dcm": "read",
        "labels/a.dcm": reason,
        "labels/broken.dcm": reason,
        "labels/deep/b.dcm": reason,
    }
    found = summary(tmp_path / "run")
    assert (found["files"], found["files_read"], found["skipped"]) == (5, 2, {"S-EXCLUDED": {reason: 3}})
    assert found["config"]["exclude"] == ["labels/*", "nothing/*"]
    assert reason in result.stdout
    assert "--exclude nothing/*: no file matches" in result.stderr
    assert "--exclude labels/*: no file matches" not in result.stderr
    row = ctprune.Manifest.load(tmp_path / "run").with_status("skipped").to_dicts()[0]
    assert row["file_size"] == (source / "labels" / "a.dcm").stat().st_size


def test_other_patterns_read_only_what_they_let_in(source: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (source / "labels" / "broken.dcm").unlink()
    counts = []
    for exclude in ([], ["labels/*"], ["labels/*"], ["labels/deep"], ["**/a.dcm"], []):
        ctprune.reduce(source, out=run, exclude=exclude)
        found = summary(run)
        slices = sorted(path for path, reason in statuses(run).items() if reason == "read")
        counts.append((found["files_read"], found["files_reused"], found["files_vanished"], slices))
    images, labels = ["images/a.dcm", "images/b.dcm"], ["labels/a.dcm", "labels/deep/b.dcm"]
    assert counts == [
        (4, 0, 0, images + labels),
        (0, 2, 0, images),
        (0, 2, 0, images),
        (1, 2, 0, [*images, "labels/a.dcm"]),
        (1, 1, 0, ["images/b.dcm", "labels/deep/b.dcm"]),
        (2, 2, 0, images + labels),
    ]


def test_a_single_file_and_everything_can_be_excluded(cli: Cli, source: Path, tmp_path: Path) -> None:
    manifest = ctprune.reduce([source / "images" / "a.dcm", source / "labels"], exclude=["a.dcm", "broken.dcm"])
    assert manifest.counts() == {"kept": 1, "dropped": 0, "skipped": 3, "failed": 0}
    result = cli("reduce", source, "--exclude", "**", "--out", "run", "--quiet")
    assert result.returncode == 4
    assert result.stderr.startswith("Error: no slice was found: 5 files: excluded by --exclude **")


def test_a_report_shows_that_files_were_left_out_and_not_which(source: Path, tmp_path: Path) -> None:
    (source / "labels").rename(source / "Mustermann")
    ctprune.reduce(source, exclude=["Mustermann/*.dcm", "Mustermann/*"], out=tmp_path / "run")
    page = ctprune.write_report(tmp_path / "run").path.read_text()
    assert "Mustermann" not in page
    assert "<td>excluded by --exclude<td>3" in page
    config = ctprune.ReduceConfig(exclude=("a/*", "b/*")).to_dict()
    assert shown_config(config)["exclude"] == "2 patterns"
    assert shown_config(ctprune.ReduceConfig(include=("a/*",)).to_dict())["include"] == "1 pattern"
    assert command_line(config) == (
        "ctprune reduce SOURCE --method hash --threshold 6 --exclude GLOB --exclude GLOB --out reduction/"
    )
