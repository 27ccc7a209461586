"""A manifest in which anything has changed is refused with one sentence."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ctprune
from ctprune.manifest.manifest import FILE_NAME
from tests.conftest import Cli


@pytest.fixture
def run(archive: Path, tmp_path: Path) -> Path:
    ctprune.reduce(archive, out=tmp_path / "run")
    return tmp_path / "run"


def test_each_flipped_bit_is_noticed(run: Path) -> None:
    file = run / FILE_NAME
    sound = file.read_bytes()
    chance = random.Random(1)
    # Everywhere, and often in the footer, which Parquet's own checksums leave out.
    offsets = [chance.randrange(len(sound)) for _ in range(300)]
    offsets += [chance.randrange(len(sound) - 9000, len(sound)) for _ in range(300)]
    for offset in offsets:
        damaged = bytearray(sound)
        damaged[offset] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(ctprune.ManifestError, match=r"manifest\.parquet: "):
            ctprune.Manifest.load(run)
    file.write_bytes(sound)
    ctprune.Manifest.load(run)


def test_other_readers_do_not_mind(run: Path, manifest: ctprune.Manifest) -> None:
    import duckdb

    file = run / FILE_NAME
    rows = len(manifest)
    assert pq.read_table(file).replace_schema_metadata(None).equals(pa.table(manifest))
    assert len(pd.read_parquet(file)) == rows
    assert pl.read_parquet(file)["path"].to_list() == manifest.rows["path"]
    assert duckdb.sql(f"SELECT count(*) FROM '{file}'").fetchall() == [(rows,)]


@pytest.mark.parametrize("command", ["report", "sweep"])
def test_a_damaged_manifest_is_one_sentence(run: Path, cli: Cli, command: str) -> None:
    damaged = bytearray((run / FILE_NAME).read_bytes())
    damaged[len(damaged) // 2] ^= 4
    (run / FILE_NAME).write_bytes(damaged)
    result = cli(command, "run")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_reduce_does_not_go_on_from_a_damaged_manifest(run: Path, archive: Path, cli: Cli) -> None:
    file = run / FILE_NAME
    file.write_bytes(file.read_bytes()[:-1])
    result = cli("reduce", archive, "--out", "run")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("Error: run/manifest.parquet: expected a Parquet manifest")
    assert result.stderr.endswith("delete it and run 'ctprune reduce' again\n")


def test_a_table_without_checksum_is_no_manifest(run: Path) -> None:
    table = pq.read_table(run / FILE_NAME)
    pq.write_table(table, run / FILE_NAME)
    with pytest.raises(ctprune.ManifestError, match="damaged or edited"):
        ctprune.Manifest.load(run)
    pq.write_table(table.replace_schema_metadata(None), run / FILE_NAME)
    with pytest.raises(ctprune.ManifestError, match="not a manifest of ctprune"):
        ctprune.Manifest.load(run)


def test_a_foreign_file_is_one_sentence_whatever_it_holds(run: Path) -> None:
    file = run / FILE_NAME
    pq.write_table(pq.read_table(file), file)
    foreign = file.read_bytes()
    chance = random.Random(2)
    for _ in range(300):
        damaged = bytearray(foreign)
        for offset in [chance.randrange(len(foreign) - 9000, len(foreign)) for _ in range(chance.randint(1, 4))]:
            damaged[offset] = chance.randrange(256)
        file.write_bytes(damaged)
        with pytest.raises(ctprune.ManifestError, match=r"manifest\.parquet: "):
            ctprune.Manifest.load(run)
