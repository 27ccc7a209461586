"""The command: where the report is, what cannot be done, and Ctrl-C."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ctprune
from tests.conftest import Cli
from tests.printed import result_of


def test_the_command_line_says_where_the_report_is(cli: Cli, run: Path, tmp_path: Path) -> None:
    result = cli("report", run, "--out", "page.html")
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-1].startswith("reading: 0/")
    assert result.stdout.startswith("report: page.html (")
    assert cli("report", run, "--out", "page.html", "--quiet").stdout == ""
    found = result_of("report", cli("report", run, "--out", "page.html", "--json").stdout)
    assert found["bytes"] == (tmp_path / "page.html").stat().st_size
    assert found["pictures_missing"] == {}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 1, "nowhere: expected the folder of a reduction, found none"),
        (["empty"], 1, "empty: expected the folder of a reduction, found no manifest.parquet in it"),
        (["no-summary"], 1, "no-summary: expected the folder of a reduction, found no summary.json in it"),
        (["foreign"], 1, "foreign: summary.json does not belong to the manifest beside it"),
        (["no-slices"], 1, "no-slices: the reduction has no slice, so there is nothing to show"),
        (["run", "--out", "empty"], 2, "--out empty: expected a file"),
        (["run", "--out", "in/page.html"], 2, "lies inside the source"),
        (["run", "--intensity", "dark"], 2, "--intensity dark:"),
        (["run", "--threads", "-1"], 2, "--threads -1: expected 0"),
    ],
)
def test_what_cannot_be_done_gets_one_sentence(
    cli: Cli, ct_file: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    for name in ("empty", "in", "in-empty", "no-summary", "foreign"):
        (tmp_path / name).mkdir()
    shutil.copy(ct_file, tmp_path / "in" / "slice.dcm")
    (tmp_path / "in-empty" / "text.txt").write_text("nothing")
    ctprune.reduce(tmp_path / "in", out=tmp_path / "run")
    ctprune.reduce(tmp_path / "in-empty", out=tmp_path / "no-slices")
    for name in ("no-summary", "foreign"):
        shutil.copy(tmp_path / "run" / "manifest.parquet", tmp_path / name)
    (tmp_path / "foreign" / "summary.json").write_text('{"seconds": 1}')
    result = cli("report", *arguments)
    assert result.returncode == code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert not list(tmp_path.rglob("*.html"))


#: The command line, with a Ctrl-C that comes while pictures are made.
CTRL_C = """
import os, signal
from ctprune import cli
from ctprune.reading import thumbnails
def interrupted(*_):
    os.kill(os.getpid(), signal.SIGINT)
    return []
thumbnails._within = interrupted
cli.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
def test_ctrl_c_leaves_nothing_behind(run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CTRL_C, "report", str(run), "--out", "page.html", "--quiet"]
    stopped = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert stopped.returncode == 130
    assert stopped.stderr == "Error: interrupted; no report was written\n"
    assert list(tmp_path.iterdir()) == []
