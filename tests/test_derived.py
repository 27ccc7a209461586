"""What other commands left in a run's folder goes when the run changes, and only then."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import ctprune
from ctprune import _core
from ctprune.manifest.derived import (
    SWEEP_CONFIG_NAME,
    SWEEP_DIVERSITY_NAME,
    SWEEP_NAME,
    SWEEP_PNG_NAME,
    SWEEP_SVG_NAME,
    slices_digest,
)
from tests.conftest import Cli

SWEEP = {SWEEP_DIVERSITY_NAME, SWEEP_NAME, SWEEP_PNG_NAME, SWEEP_SVG_NAME, SWEEP_CONFIG_NAME}


@pytest.fixture
def source(archive: Path, tmp_path: Path) -> Path:
    shutil.copytree(archive, tmp_path / "in")
    return tmp_path / "in"


def left(run: Path) -> set[str]:
    return {file.name for file in run.iterdir()} - {"config.yaml", "manifest.parquet", "summary.json"}


def test_a_report_goes_with_the_next_reduction_and_a_sweep_with_other_slices(
    cli: Cli, source: Path, archive: Path, ct_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ctprune.reduce(source, out=run)
    ctprune.write_report(run)
    ctprune.sweep(run, out=run)
    ctprune.check(run)
    ctprune.find_duplicates(run, out=run)
    assert left(run) == SWEEP | {"report.html", "report.html.yaml", "series.parquet", "duplicates.parquet"}
    said = cli("reduce", source, "--threshold", "3", "--out", "run").stderr
    assert (
        "report.html described the earlier reduction and was removed: 'ctprune report run' writes it again" in said
    )
    for name, command in (("series", "check"), ("duplicates", "duplicates")):
        removed = f"{name}.parquet described the earlier reduction and was removed"
        assert f"{removed}: 'ctprune {command} run' writes it again" in said
    assert "sweep" not in said
    # The curve holds every threshold.
    assert left(run) == SWEEP
    (source / ct_file.relative_to(archive)).unlink()
    assert (
        "'ctprune sweep run' writes it again" in cli("reduce", source, "--threshold", "3", "--out", "run").stderr
    )
    # What the missing slice changed is told beside the manifest.
    assert left(run) == {"changes.jsonl"}


@pytest.mark.parametrize("options", [{"intensity": "lung"}, {"order": "path"}, {"hash_size": 12}])
def test_a_sweep_of_other_fingerprints_or_order_goes(archive: Path, tmp_path: Path, options: dict) -> None:
    run = tmp_path / "run"
    ctprune.reduce(archive, out=run)
    ctprune.sweep(run, out=run)
    ctprune.reduce(archive, out=run, **options)
    assert left(run) == set()


def test_what_others_call_by_these_names_stays(archive: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ctprune.reduce(archive, out=run)
    (run / "report.html").write_text("<title>mine</title>")
    (run / SWEEP_NAME).write_text("mine")
    (run / SWEEP_PNG_NAME).write_text("mine")
    ctprune.reduce(archive, out=run, threshold=3)
    assert left(run) == {"report.html", SWEEP_NAME, SWEEP_PNG_NAME}
    # A report elsewhere is its owner's.
    report = ctprune.write_report(run, out=tmp_path / "page.html")
    ctprune.reduce(archive, out=run)
    assert report.path.exists()


def test_the_digest_does_not_depend_on_how_rows_come(manifest: ctprune.Manifest) -> None:
    rows, count = manifest.rows, len(manifest)

    def batches(size: int) -> list[_core.Rows]:
        return [rows.slice(start, start + size) for start in range(0, count, size)]

    digests = {slices_digest(batches(size), "minmax") for size in (1, 7, 10**6)}
    assert len(digests) == 1
    assert slices_digest([rows.slice(1, count)], "minmax") not in digests
    assert slices_digest([rows], "hu:-1000,400") not in digests
