from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ctprune
from tests.commands import Commands
from tests.planted import Volume, patients

Cli = Callable[..., subprocess.CompletedProcess[str]]


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
