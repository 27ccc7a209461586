"""Sources that change, vanish or cannot be read, strange names, little memory: never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

import ctprune
from tests.conftest import Cli
from tests.printed import result_of

pytestmark = pytest.mark.skipif(os.name == "nt", reason="faults of POSIX systems")


def by_path(manifest: ctprune.Manifest) -> dict[str, dict[str, Any]]:
    return {str(row["path"]): row for row in manifest.rows.to_dicts()}


def before_reading(change: Callable[[], object]) -> Callable[[ctprune.Progress], None]:
    """Does something once between the listing of the folders and the first read."""
    done: list[bool] = []

    def watch(progress: ctprune.Progress) -> None:
        if progress.stage == "reading" and not progress.facts["files_read"] and not done:
            done.append(True)
            change()

    return watch


@pytest.fixture
def source(ct_file: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "a").mkdir(parents=True)
    for name in ("a/1.dcm", "a/2.dcm", "b.dcm"):
        shutil.copy(ct_file, folder / name)
    return folder


def replaced(file: Path) -> None:
    dataset = pydicom.dcmread(file)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(file)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder: os.truncate(folder / "a" / "1.dcm", 2000), {"a/1.dcm": "E-TRUNCATED"}),
        (lambda folder: os.truncate(folder / "a" / "1.dcm", 0), {"a/1.dcm": "E-EMPTY"}),
        (lambda folder: (folder / "a" / "1.dcm").unlink(), {"a/1.dcm": "E-VANISHED"}),
        (lambda folder: shutil.rmtree(folder / "a"), {"a/1.dcm": "E-VANISHED", "a/2.dcm": "E-VANISHED"}),
        (
            lambda folder: ((folder / "b.dcm").unlink(), os.mkfifo(folder / "b.dcm")),
            {"b.dcm": "E-NOT-REGULAR"},
        ),
        (
            lambda folder: ((folder / "b.dcm").unlink(), (folder / "b.dcm").mkdir()),
            {"b.dcm": "E-NOT-REGULAR"},
        ),
    ],
)
def test_a_source_that_changes_while_it_is_read_costs_its_own_rows(
    source: Path, tmp_path: Path, change: Callable[[Path], object], expected: dict[str, str]
) -> None:
    run = tmp_path / "run"
    found = by_path(ctprune.reduce(source, out=run, progress=before_reading(lambda: change(source))))
    assert {path: row["code"] for path, row in found.items() if row["code"]} == expected
    assert len(found) == 3
    # The next run tells what is there by then, as one that knows nothing.
    assert ctprune.reduce(source, out=run).rows == ctprune.reduce(source).rows


def test_a_replaced_file_is_noticed_by_all_that_comes_later(cli: Cli, source: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ctprune.reduce(source, out=run, progress=before_reading(lambda: replaced(source / "b.dcm")))
    found = by_path(ctprune.Manifest.load(run))
    assert found["b.dcm"]["max_hu"] < found["a/1.dcm"]["max_hu"]
    # The new content was read under the old time: nobody takes it for unchanged.
    store = ctprune.build_store(run, use="all", side=32, depth=8)
    assert store.left_out == {"the file has changed since the reduction read it": 1}
    ctprune.reduce(source, out=run)
    assert json.loads((run / "summary.json").read_text())["files_read"] == 1


def test_what_is_no_file_is_named(ct_file: Path, tmp_path: Path) -> None:
    import socket

    shutil.copy(ct_file, tmp_path / "slice.dcm")
    os.mkfifo(tmp_path / "fifo.dcm")
    (tmp_path / "zero.dcm").symlink_to("/dev/zero")
    (tmp_path / "loop.dcm").symlink_to(tmp_path / "loop.dcm")
    (tmp_path / "self").symlink_to(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(tmp_path)
        listening.bind("socket.dcm")
        os.chdir(here)
        found = by_path(ctprune.reduce(tmp_path))
    assert {path: row["code"] for path, row in found.items()} == {
        "slice.dcm": None,
        "fifo.dcm": "E-NOT-REGULAR",
        "socket.dcm": "E-NOT-REGULAR",
        "zero.dcm": "E-NOT-REGULAR",
        "loop.dcm": "E-IO",
        "self/": "S-LINKED",
    }


def test_a_fifo_alone_blocks_nothing(cli: Cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.dcm")
    done = cli("reduce", "fifo.dcm", "--out", "run")
    assert done.returncode == 4
    assert "it is not a regular file (E-NOT-REGULAR)" in done.stderr.splitlines()[-1]


def without_rights() -> None:
    """Take from a superuser what lets it read everything: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
    import ctypes

    drop_from_bounding_set = 24
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0)


def as_user(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A command whose user may not read everything."""
    return subprocess.run(
        [sys.executable, "-m", "ctprune", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=without_rights if os.geteuid() == 0 else None,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="takes rights away as Linux does")
def test_what_may_not_be_read_is_named(ct_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "closed").mkdir(parents=True)
    (source / "unlisted").mkdir()
    for name in ("open.dcm", "locked.dcm", "closed/1.dcm", "unlisted/1.dcm"):
        shutil.copy(ct_file, source / name)
        (source / name).chmod(0o644)
    (source / "locked.dcm").chmod(0)
    (source / "closed").chmod(0)
    (source / "unlisted").chmod(0o444)
    result = as_user(tmp_path, "reduce", "in", "--out", "run", "--json")
    assert result.returncode == 3, result.stderr
    assert "Traceback" not in result.stderr
    found = by_path(ctprune.Manifest.load(tmp_path / "run"))
    assert {path: row["code"] for path, row in found.items()} == {
        "open.dcm": None,
        "locked.dcm": "E-PERMISSION",
        "closed/": "E-PERMISSION",
        "unlisted/1.dcm": "E-PERMISSION",
    }
    (source / "closed").chmod(0o755)
    refused = as_user(tmp_path, "reduce", source / "closed" / "none", "--out", "other")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    source.chmod(0)
    refused = as_user(tmp_path, "reduce", "in", "--out", "other")
    assert (refused.returncode, "cannot be read" in refused.stderr) == (1, True)
    source.chmod(0o755)


@pytest.mark.skipif(sys.platform != "linux", reason="takes rights away as Linux does")
def test_a_read_only_source_is_enough_and_a_read_only_place_for_results_is_said(
    ct_file: Path, tmp_path: Path
) -> None:
    source, closed = tmp_path / "in", tmp_path / "closed"
    (source / "a").mkdir(parents=True)
    shutil.copy(ct_file, source / "a" / "1.dcm")
    ctprune.reduce(source, out=closed / "earlier")
    before = (closed / "earlier" / "manifest.parquet").read_bytes()
    shutil.copy(ct_file, source / "a" / "2.dcm")
    folders = (source / "a", source, closed / "earlier", closed)
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert as_user(tmp_path, "reduce", "in", "--out", "run", "--quiet").returncode == 0
        assert ctprune.Manifest.load(tmp_path / "run").counts()["failed"] == 0
        for out in ("closed/new", "closed/earlier"):
            refused = as_user(tmp_path, "reduce", "in", "--out", out, "--quiet")
            assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused.stderr
            assert refused.stderr.startswith(f"Error: {out}")
            assert "ermission denied" in refused.stderr
        assert (closed / "earlier" / "manifest.parquet").read_bytes() == before
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["closed", "in", "run"]


STRANGE = {
    "line break": "two\nlines.dcm",
    "tab": "a\tb.dcm",
    "quotes": '"it\'s".dcm',
    "markup": "[bold red]x[bold].dcm",
    "color": "\x1b[31mred\x1b[0m.dcm",
    "title": "\x1b]0;owned\x07.dcm",
    "erase": "\x1b[2K\rgone.dcm",
    "c1": "\x9b31mx.dcm",
    "right to left": "\u202egnp.dcm",
    "dash": "-rf.dcm",
    "percent": "%s%n{0}.dcm",
    "space": " .dcm",
}


@pytest.mark.parametrize("name", STRANGE.values(), ids=STRANGE)
def test_names_say_nothing_to_a_terminal(cli: Cli, ct_file: Path, tmp_path: Path, name: str) -> None:
    source = tmp_path / "in"
    (source / name.removesuffix(".dcm")).mkdir(parents=True)
    shutil.copy(ct_file, source / name.removesuffix(".dcm") / name)
    (source / name).write_bytes(b"")
    result = cli("reduce", "in", "--out", "run", "--export", "png", "--export-dir", "kept")
    assert result.returncode == 3, result.stderr
    found = by_path(ctprune.Manifest.load(tmp_path / "run"))
    assert found[name]["code"] == "E-EMPTY"
    assert found[f"{name.removesuffix('.dcm')}/{name}"]["status"] == "kept"
    stopped = cli("reduce", source / name, "--out", "other", "--fail-first", "--quiet")
    told = [result, cli("info", source / name), stopped]
    told += [cli("report", "run"), cli("info", "run")]
    for one in told:
        shown = one.stdout + one.stderr
        assert "Traceback" not in shown
        assert not [character for character in shown if not (character.isprintable() or character == "\n")], shown
    # One sentence on one line, whatever the name holds.
    assert "(E-EMPTY)" in stopped.stderr
    assert stopped.stderr.count("\n") == 1
    again = cli("reduce", "in", "--out", "run", "--json")
    assert result_of("reduce", again.stdout)["files_reused"] == 1
    shutil.rmtree(source)
    gone = cli("verify", "run", "--quiet").stdout
    assert (gone.startswith("files: "), gone.count("\n")) == (True, 1)
    assert gone.strip().isprintable()


def test_names_that_are_not_utf_8(cli: Cli, ct_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    shutil.copy(ct_file, source / "good.dcm")
    raw = os.fsencode(source)
    shutil.copy(ct_file, raw + b"/bad-\xff.dcm")
    os.mkdir(raw + b"/folder-\xfe")
    shutil.copy(ct_file, raw + b"/folder-\xfe/1.dcm")
    result = cli("reduce", "in", "--out", "run")
    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    found = ctprune.Manifest.load(tmp_path / "run").rows.to_dicts()
    assert [row["code"] for row in found] == [None, "E-NAME", "E-NAME"]


@pytest.mark.slow
def test_a_hundred_thousand_files_in_one_folder(ct_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(100_000):
        os.close(os.open(source / f"{number}.txt", os.O_CREAT, 0o644))
    shutil.copy(ct_file, source / "slice.dcm")
    started = time.monotonic()
    manifest = ctprune.reduce(source)
    assert time.monotonic() - started < 60
    assert manifest.counts() == {"kept": 1, "dropped": 0, "skipped": 0, "failed": 100_000}


def test_a_thousand_levels_of_folders(cli: Cli, ct_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    here = os.getcwd()
    source.mkdir()
    try:
        os.chdir(source)
        for _ in range(1000):
            os.mkdir("d")
            os.chdir("d")
        shutil.copy(ct_file, "slice.dcm")
    finally:
        os.chdir(here)
    try:
        for _ in range(2):
            manifest = ctprune.reduce(source, out=tmp_path / "run")
            assert manifest.kept()["path"] == ["d/" * 1000 + "slice.dcm"]
        assert cli("reduce", "in", "--out", "run", "--export", "png", "--export-dir", "kept").returncode == 0
        assert len(list((tmp_path / "kept").rglob("*.png"))) == 1
    finally:
        # shutil.rmtree, which pytest calls on what earlier runs left, gives up at this depth.
        subprocess.run(["rm", "-r", source, tmp_path / "kept"], check=True)


def test_levels_beyond_the_systems_longest_path(ct_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    here = os.getcwd()
    source.mkdir()
    shutil.copy(ct_file, source / "slice.dcm")
    try:
        os.chdir(source)
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        shutil.copy(ct_file, "deep.dcm")
    finally:
        os.chdir(here)
    try:
        manifest = ctprune.reduce(source)
        assert manifest.counts()["kept"] == 1
        (failed,) = manifest.with_status("failed").to_dicts()
        assert failed["code"] == "E-IO"
    finally:
        subprocess.run(["rm", "-rf", str(source)], check=True)


def limited(what: str, amount: int, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A command within a limit of the shell."""
    words = " ".join(["exec", sys.executable, "-m", "ctprune", *map(str, arguments)])
    return subprocess.run(
        ["bash", "-c", f"ulimit -{what} {amount}; {words}"],
        cwd=folder,
        env=os.environ | {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("megabytes", [2000, 300, 150, 80])
def test_little_memory_is_enough_or_said_in_one_sentence(archive: Path, tmp_path: Path, megabytes: int) -> None:
    result = limited("v", megabytes << 10, tmp_path, "reduce", archive, "--out", "run", "--threads", 2, "--quiet")
    assert "Traceback" not in result.stderr, result.stderr
    if result.returncode == 0:
        assert ctprune.Manifest.load(tmp_path / "run").rows == ctprune.reduce(archive).rows
    else:
        assert megabytes < 300
        assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
        # numpy's library ends the process itself, with a sentence of its own.
        assert result.stderr.startswith(("Error: not enough memory", "OpenBLAS error: Memory allocation"))


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_few_files_may_be_open(archive: Path, tmp_path: Path, threads: int) -> None:
    result = limited("n", 64, tmp_path, "reduce", archive, "--out", "run", "--threads", threads, "--quiet")
    assert (result.returncode, result.stderr) == (0, "")
    assert ctprune.Manifest.load(tmp_path / "run").rows == ctprune.reduce(archive).rows


def test_times_in_the_future_and_before_1970_are_times(ct_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name, stamp in (("future.dcm", 4_102_444_800), ("past.dcm", -1000), ("now.dcm", int(time.time()) + 3600)):
        shutil.copy(ct_file, source / name)
        os.utime(source / name, (stamp, stamp))
    for reused in (0, 3):
        ctprune.reduce(source, out=tmp_path / "run")
        summary = json.loads((tmp_path / "run" / "summary.json").read_text())
        assert (summary["files_reused"], summary["files_read"]) == (reused, 3 - reused)
    assert ctprune.write_report(tmp_path / "run").pictures
