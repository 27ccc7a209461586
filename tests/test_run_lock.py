"""Two processes at one run's folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ctprune
from ctprune.files.run_lock import sole_writer
from tests.conftest import Cli

#: Hold a folder, say so, and wait for the end of the input.
HOLD = """
import sys
from collections.abc import Iterator
from pathlib import Path
from ctprune.files.run_lock import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds `run`."""
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_gets_one_sentence_and_changes_nothing(
    cli: Cli, archive: Path, tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    result = cli("reduce", archive, "--out", "run")
    assert result.returncode == 1
    assert result.stderr == (
        "Error: run is in use by another ctprune: wait until it is done or choose another folder\n"
    )
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    assert "files found" in cli("reduce", archive, "--out", "run", "--dry-run").stdout


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_a_holder_that_is_gone_does_not_block(
    archive: Path, tmp_path: Path, holder: subprocess.Popen[str], how: str
) -> None:
    if how == "ends":
        holder.communicate()
    else:
        holder.kill()
        holder.wait()
        assert (tmp_path / "run" / ".lock").exists()
    ctprune.reduce(archive, out=tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "config.yaml",
        "manifest.parquet",
        "summary.json",
    ]


def test_a_folder_is_held_against_the_same_process_too_and_free_afterwards(tmp_path: Path) -> None:
    with sole_writer(tmp_path):
        with pytest.raises(ctprune.InUseError, match="in use"), sole_writer(tmp_path):
            pass
        with pytest.raises(ctprune.InUseError, match="in use"), sole_writer(tmp_path):
            pass
    with sole_writer(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_file_was_removed_in_between_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ctprune.files import run_lock

    take, taken = run_lock.take, []

    def remove_once(descriptor: int) -> None:
        take(descriptor)
        taken.append(descriptor)
        if len(taken) == 1:
            (tmp_path / ".lock").unlink()

    monkeypatch.setattr(run_lock, "take", remove_once)
    with sole_writer(tmp_path):
        assert len(taken) == 2
        assert (tmp_path / ".lock").exists()


def test_a_file_system_without_locks_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("ctprune.files.run_lock.take", refuse)
    with sole_writer(tmp_path):
        (tmp_path / "x").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
def test_ctrl_c_frees_the_folder(archive: Path, tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGINT)
    holder.wait()
    assert list((tmp_path / "run").iterdir()) == []
