from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Workers of pytest share the cores. If torch took all of them in each worker, and in all that a worker starts, its
# threads would spend most of their time waiting for each other. It reads this when it is imported.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    _SHARE = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _SHARE)))

import ctprune
from ctprune.cli import main
from ctprune.manifest import pseudonyms
from tests.commands import Commands

# Fixtures import these when they need them: tests for a GPU also run where ImageHash and pyarrow are missing.
if TYPE_CHECKING:
    from tests.experiments import Stages
    from tests.planted import Volume

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def nothing_revealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test reveals, or reduces with pseudonyms, is forgotten after it."""
    monkeypatch.setenv(pseudonyms.KEY, "")
    monkeypatch.setenv(pseudonyms.SOURCES, "")


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small phantom archive; tests must not change it."""
    folder = tmp_path_factory.mktemp("phantom") / "dicoms"
    ctprune.phantom.write_archive(folder, patients=4, seed=1, size=96, slices=16)
    return folder


@pytest.fixture(scope="session")
def manifest(archive: Path) -> ctprune.Manifest:
    return ctprune.reduce(archive)


@pytest.fixture(scope="session")
def ct_file(manifest: ctprune.Manifest) -> Path:
    """One uncompressed single-frame CT slice of the archive."""
    uncompressed = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"}
    for row in manifest.rows.to_dicts():
        if row["status"] in ("kept", "dropped") and row["transfer_syntax_uid"] in uncompressed:
            return Path(row["source"], row["path"])
    raise AssertionError("the phantom archive has no uncompressed slice")


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> list[Volume]:
    """HU of a volume of each of 12 patients; tests must not change them."""
    from tests.planted import patients

    return patients(tmp_path_factory.mktemp("patients"), 12)


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    commands = Commands()
    yield commands
    commands.close()


@pytest.fixture
def cli(tmp_path: Path, commands: Commands) -> Cli:
    """Run `ctprune` as a user does; returns exit code and outputs."""

    def run(*arguments: object, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        # Plain text of a known width, whatever terminal the tests run in.
        environment = os.environ | {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
        return commands.run(arguments, cwd=cwd, env=environment)

    return run


@pytest.fixture
def write(archive: Path, tmp_path: Path) -> Callable[..., Path]:
    """An experiment's file on the phantom archive, with changes to it."""
    from tests.experiments import experiment_writer

    return experiment_writer(archive, tmp_path)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    """What an experiment calls in place of training."""
    from tests.experiments import Stages

    found = Stages()
    monkeypatch.setattr(ctprune, "pretrain", found.pretrain, raising=False)
    monkeypatch.setattr(ctprune, "finetune", found.finetune, raising=False)
    return found


@pytest.fixture
def experiment_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`ctprune experiment` in this process, which has torch loaded already: exit code, output, errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["ctprune", "experiment", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run
