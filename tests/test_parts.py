"""What was read is kept, however a run ends, and only where it is right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

import ctprune
from ctprune.files import pace
from ctprune.manifest import parts
from ctprune.manifest.manifest import FILE_NAME
from ctprune.reduction import reading
from tests.conftest import Cli

#: The command line, which sends itself a signal once a part is saved and more has been read.
SIGNALLED = """
import os, signal, sys, time
from pathlib import Path
from ctprune import cli
from ctprune.files import pace
from ctprune.reduction import reading, reduction
NUMBER, pace.SHORTEST = int(sys.argv.pop(1)), 0.0
# Portions of a few files.
reading.PORTION = 1e-6
report = reduction.Reduction._report
def signalled(self, stage, **more):
    files = self._archive.progress()
    if stage == "reading" and 0 < files["files_read"] < files["files_to_read"]:
        # It is written while reading continues, and the disk may be slow.
        end = time.monotonic() + 30
        while not list(Path("run/parts").glob("*.parquet")) and time.monotonic() < end:
            time.sleep(0.005)
        os.kill(os.getpid(), NUMBER)
    return report(self, stage, **more)
reduction.Reduction._report = signalled
if NUMBER != signal.SIGKILL:
    # Whatever the tests were started by, such as nohup, ignores it.
    signal.signal(NUMBER, signal.SIG_DFL)
cli.main()
"""

needs_signals = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


def stopped(archive: Path, folder: Path, number: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SIGNALLED, str(number), "reduce", str(archive), "--out", "run"]
    return subprocess.run([*command, "--threads", "1"], cwd=folder, capture_output=True, text=True)


def read_again(archive: Path, out: Path) -> int:
    """Complete a run; the number of files that had to be read."""
    counts: list[int] = []
    manifest = ctprune.reduce(
        archive, out=out, progress=lambda progress: counts.append(progress.facts["files_read"])
    )
    assert manifest.rows == ctprune.reduce(archive).rows
    return max(counts)


def files_of(archive: Path) -> int:
    return sum(path.is_file() for path in archive.rglob("*"))


@needs_signals
def test_a_kill_costs_what_was_read_since_the_last_part(archive: Path, tmp_path: Path) -> None:
    assert stopped(archive, tmp_path, signal.SIGKILL).returncode == -signal.SIGKILL
    assert not (tmp_path / "run" / FILE_NAME).exists()
    assert 0 < read_again(archive, tmp_path / "run") < files_of(archive)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["config.yaml", FILE_NAME, "summary.json"]


@needs_signals
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_end_saves_all_and_says_so(archive: Path, tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    done = stopped(archive, tmp_path, number)
    assert done.returncode == 128 + number
    said = done.stderr.splitlines()[-1]
    assert said.startswith("Error: interrupted after")
    assert said.endswith("rerun to resume")
    read = int(said.split()[3])
    assert read_again(archive, tmp_path / "run") == files_of(archive) - read


@needs_signals
def test_the_bytes_are_those_of_an_uninterrupted_run(archive: Path, tmp_path: Path, cli: Cli) -> None:
    stopped(archive, tmp_path, signal.SIGKILL)
    cli("reduce", archive, "--out", "run")
    cli("reduce", archive, "--out", "whole")
    assert (tmp_path / "run" / FILE_NAME).read_bytes() == (tmp_path / "whole" / FILE_NAME).read_bytes()


def interrupt(archive: Path, out: Path, error: type[BaseException]) -> None:
    def stop(progress: ctprune.Progress) -> None:
        if progress.stage == "selecting":
            raise error

    expected = ctprune.Interrupted if error is KeyboardInterrupt else error
    with pytest.raises(expected):
        ctprune.reduce(archive, out=out, progress=stop)


def test_it_is_time_to_save_after_ten_seconds_at_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, saved = [0.0], [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    times = pace.Pace()
    while clock[0] < 1000:
        clock[0] += 0.25
        if times.is_due():
            times.saved()
            saved.append(clock[0])
    gaps = [after - before for before, after in pairwise(saved)]
    assert gaps[0] == 1
    assert gaps == sorted(gaps)
    assert gaps[-1] == 10


def test_many_slices_are_saved_before_it_is_time(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parts.SLICES_PER_PART == 20_000
    monkeypatch.setattr(parts, "SLICES_PER_PART", 10)
    monkeypatch.setattr(pace, "SHORTEST", 1e9)
    monkeypatch.setattr(pace, "LONGEST", 1e9)
    monkeypatch.setattr(reading, "PORTION", 1e-6)
    seen = 0

    def look(progress: ctprune.Progress) -> None:
        nonlocal seen
        if progress.stage == "reading":
            # It is written while reading continues.
            seen = max(seen, len(list((tmp_path / "parts").glob("*.parquet"))))
            time.sleep(0.01)

    ctprune.reduce(archive, out=tmp_path, threads=1, progress=look)
    assert seen > 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_an_error_of_any_kind_keeps_what_was_read(
    archive: Path, tmp_path: Path, error: type[BaseException]
) -> None:
    interrupt(archive, tmp_path, error)
    assert read_again(archive, tmp_path) == 0


@pytest.mark.parametrize("error", [ctprune.OutputError, KeyboardInterrupt])
def test_an_error_while_the_manifest_is_written_keeps_it_too(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("ctprune.reduction.reduction.write_manifest", fail)
        with pytest.raises(ctprune.Interrupted if error is KeyboardInterrupt else error):
            ctprune.reduce(archive, out=tmp_path)
    assert read_again(archive, tmp_path) == 0


@pytest.mark.parametrize("damage", ["emptied", "cut short", "a flipped bit", "no Parquet"])
def test_a_damaged_part_is_read_again(archive: Path, tmp_path: Path, damage: str) -> None:
    interrupt(archive, tmp_path, KeyboardInterrupt)
    (part,) = (tmp_path / "parts").iterdir()
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"emptied": b"", "cut short": content[:-50], "a flipped bit": content, "no Parquet": b"?" * 5000}
    part.write_bytes(damaged[damage])
    assert read_again(archive, tmp_path) == files_of(archive)


def test_parts_of_other_options_are_swept_away(archive: Path, tmp_path: Path) -> None:
    interrupt(archive, tmp_path, KeyboardInterrupt)
    manifest = ctprune.reduce(archive, out=tmp_path, intensity="lung")
    assert manifest.rows == ctprune.reduce(archive, intensity="lung").rows
    assert not (tmp_path / "parts").exists()


def test_parts_are_newer_than_the_manifest(archive: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "run"
    (source / "a").mkdir(parents=True)
    files = sorted(path for path in archive.rglob("*") if path.is_file())[:6]
    for number, file in enumerate(files):
        (source / "a" / f"{number}.dcm").write_bytes(file.read_bytes())
    ctprune.reduce(source, out=out)
    changed = source / "a" / "0.dcm"
    changed.write_bytes(files[5].read_bytes())
    os.utime(changed, ns=(1, 1))
    interrupt(source, out, KeyboardInterrupt)
    assert (out / "parts").exists()
    assert read_again(source, out) == 0


def test_a_dry_run_uses_parts_and_leaves_them(archive: Path, tmp_path: Path, cli: Cli) -> None:
    interrupt(archive, tmp_path / "run", KeyboardInterrupt)
    before = sorted((tmp_path / "run").rglob("*"))
    assert f"{files_of(archive)} unchanged" in cli("reduce", archive, "--out", "run", "--dry-run").stdout
    assert sorted((tmp_path / "run").rglob("*")) == before


def test_a_part_says_which_options_it_was_read_with(archive: Path, tmp_path: Path) -> None:
    interrupt(archive, tmp_path, KeyboardInterrupt)
    (part,) = (tmp_path / "parts").iterdir()
    assert ctprune.Manifest.load(part).config["intensity"] == "minmax"
