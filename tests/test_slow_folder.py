"""Folders of file systems that answer after milliseconds: many reads wait at a time, and nothing else changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ctprune

FOLDER = Path(__file__).parent / "faults"

COMPILER = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)

pytestmark = pytest.mark.skipif(
    COMPILER is None or not sys.platform.startswith("linux"), reason="needs Linux and a C compiler"
)

#: Enough that readers are added, few enough that it takes seconds.
COPIES = 6


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("slow") / "slow.so"
    assert COMPILER is not None
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", file, FOLDER / "slow.c", "-ldl"], check=True)
    return file


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "in"
    ctprune.phantom.write_archive(folder / "0", patients=1, seed=1, size=64, slices=40)
    files = sorted((folder / "0").rglob("*.dcm"))
    for copy in range(1, COPIES):
        (folder / str(copy)).mkdir()
        for number, file in enumerate(files):
            shutil.copy(file, folder / str(copy) / f"{number:03}.dcm")
    return folder


def read_slowly(slow: Path, source: Path, out: Path, *options: object) -> tuple[int, int, int]:
    """Openings and examinations at a time, and examinations in all."""
    report = out.with_name(f"{out.name}.json")
    environment = os.environ | {
        "LD_PRELOAD": str(slow),
        "CTPRUNE_DELAY_US": "10000",
        "CTPRUNE_AT_A_TIME": str(report),
    }
    command = [sys.executable, "-m", "ctprune", "reduce", source, "--out", out, "--threads", "2", "--quiet"]
    done = subprocess.run([*command, *map(str, options)], env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 3), done.stderr
    openings, examinations, examined = json.loads(report.read_text())
    return openings, examinations, examined


def test_readers_are_added_while_they_wait(slow: Path, source: Path, tmp_path: Path) -> None:
    openings, examinations, _ = read_slowly(slow, source, tmp_path / "slow")
    assert 4 <= openings <= 64
    assert 4 <= examinations <= 32
    manifest = ctprune.reduce(source, out=tmp_path / "usual")
    assert len(manifest.kept()) > 0
    assert (tmp_path / "slow" / "manifest.parquet").read_bytes() == (
        tmp_path / "usual" / "manifest.parquet"
    ).read_bytes()


def test_io_says_how_many(slow: Path, source: Path, tmp_path: Path) -> None:
    assert read_slowly(slow, source, tmp_path / "one", "--io", 1)[0] == 1
    openings, _, _ = read_slowly(slow, source, tmp_path / "many", "--io", 40)
    assert 20 <= openings <= 40
    one, many = ((tmp_path / name / "manifest.parquet").read_bytes() for name in ("one", "many"))
    assert one == many


def test_a_shard_does_not_look_at_the_files_of_others(slow: Path, source: Path, tmp_path: Path) -> None:
    files = len(list(source.rglob("*.dcm")))
    examined = [
        read_slowly(slow, source, tmp_path / f"run-{number}" / "run", "--shard", f"{number}/4")[2]
        for number in range(1, 5)
    ]
    assert sum(examined) <= files + 8
    assert max(examined) < files / 2
