"""Pseudonyms of what lies in containers and elsewhere: all that follows finds its files with key and source."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import ctprune
from ctprune.errors import ConfigError
from ctprune.files.key_file import make_key
from ctprune.manifest import pseudonyms
from ctprune.sources import connections
from tests.conftest import Cli
from tests.containers import files_of, write_container
from tests.sources.faulty import Plan
from tests.test_pseudonyms import mentions, without_names

WAYS = ("folder", "stored.zip", "deflated.zip", "tar", "tar.gz", "nested.zip")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "key")


def filled(bucket: Path, archive: Path, way: str) -> None:
    """The archive in a folder that has a name, as it is or packed."""
    folder = bucket / "Mustermann"
    if way == "folder":
        shutil.copytree(archive, folder)
        return
    folder.mkdir()
    files = {f"Mustermann/{name}": content for name, content in files_of(archive).items() if "label" not in name}
    some = dict(list(files.items())[::3])
    kind = "tar.gz" if way == "nested.zip" else way
    packed = write_container(folder / f"Mustermann^John.{kind}", some)
    if way == "nested.zip":
        write_container(folder / "Mustermann^Jane.stored.zip", {f"deep/{packed.name}": packed.read_bytes()})
        packed.unlink()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "there"])
@pytest.mark.parametrize("way", WAYS)
def test_members_and_objects_have_pseudonyms_and_are_found(
    bucket: Path,
    archive: Path,
    key: Path,
    tmp_path: Path,
    way: str,
    elsewhere: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filled(bucket, archive, way)
    source = "s3://bucket/Mustermann" if elsewhere else str(bucket / "Mustermann")
    run, table = tmp_path / "run", tmp_path / "table.csv"
    plain = ctprune.reduce(source, out=tmp_path / "plain")
    hidden = ctprune.reduce(source, out=run, pseudonymize=key, pseudonyms_to=table)
    assert without_names(hidden.rows) == without_names(plain.rows)
    assert hidden.counts()["kept"] > 0
    assert mentions(run, "Mustermann") == []
    assert {row["path"] for row in plain.rows.to_dicts()} <= {
        line.rpartition(",")[2] for line in table.read_text().splitlines()
    }
    # What follows, in another process as it were.
    monkeypatch.setenv(pseudonyms.KEY, "")
    connections.forget()
    ctprune.reveal(key, source)
    stores = [ctprune.build_store(folder, side=16, use="all").pixels for folder in (run, tmp_path / "plain")]
    assert np.array_equal(*stores)
    assert ctprune.write_report(run).pictures == ctprune.write_report(tmp_path / "plain").pictures
    assert mentions(run, "Mustermann") == []
    ctprune.Manifest.load(run).slices().check_files()
    # Nothing is read again, but for tar files elsewhere.
    again = ctprune.reduce(source, out=run, pseudonymize=key)
    assert again == hidden
    summary = json.loads((run / "summary.json").read_text())
    if not (elsewhere and way.startswith("tar")):
        slices = [row["path"] for row in hidden.rows.to_dicts() if row["status"] in ("kept", "dropped")]
        assert summary["files_reused"] >= len(set(slices))
    wrong = "s3://bucket" if elsewhere else str(tmp_path)
    ctprune.reveal(key, wrong)
    with pytest.raises(ConfigError, match="not the source of the manifest's pseudonyms"):
        ctprune.build_store(run, side=8)


def test_the_command_line_takes_addresses(
    bucket: Path, archive: Path, key: Path, tmp_path: Path, cli: Cli, faults: Plan
) -> None:
    filled(bucket, archive, "stored.zip")
    address = "s3://bucket/Mustermann/Mustermann^John.stored.zip"
    run = tmp_path / "run"
    done = cli("reduce", address, "--out", run, "--pseudonymize", key)
    assert done.returncode in (0, 3), done.stderr
    assert "Mustermann" not in done.stdout
    done = cli("report", run, "--key", key, "--source", address)
    assert done.returncode == 0, done.stderr
    assert mentions(run, "Mustermann") == []
    refused = cli("report", run, "--key", key, "--source", "ftp://bucket/x")
    assert refused.returncode == 2
    assert "addresses of this kind are not read" in refused.stderr


def test_sources_of_the_environment_may_be_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for sources in (
        ["/a", "/b c"],
        ["s3://bucket/x*", "/a"],
        ["/a", "https://host:8443/a.zip", "gs://b"],
        ["https://h:1"],
    ):
        assert pseudonyms._split(":".join(sources)) == sources
