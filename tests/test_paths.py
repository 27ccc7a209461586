"""Names with a colon, or that look like an address: files are opened as files, by every command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune._core import Rows
from tests.labeled import write

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")

#: A time of day, and what pyarrow takes for a bucket.
NAMES = ["run-10:30", "s3:run"]


@pytest.fixture(params=NAMES)
def run(request: pytest.FixtureRequest, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run by its relative path: absolute ones are never taken for addresses."""
    monkeypatch.chdir(tmp_path)
    ctprune.reduce(archive, out=request.param)
    return str(request.param)


def test_reduce_writes_reads_and_goes_on_from_such_a_folder(run: str, archive: Path) -> None:
    assert ctprune.Manifest.load(run).counts()["kept"]
    again = ctprune.reduce(archive, threshold=3, out=run)
    assert again.rows == ctprune.Manifest.load(Path(run, "manifest.parquet")).rows


def test_sweep_report_store_and_export_take_such_a_run(run: str) -> None:
    assert ctprune.Sweep.load(ctprune.sweep(run, out="sweep:1").save("sweep:2").parent).targets
    assert ctprune.write_report(run).path == Path(run, "report.html")
    assert len(ctprune.build_store(run, use="kept", side=32, depth=8).pixels)
    exported = ctprune.export_kept(run, ctprune.ExportConfig(mode="link", folder=Path("kept:1")))
    assert exported.written


def test_fine_tuning_its_comparison_and_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        write(Path("d:1", ["healthy", "ill"][number % 2], f"{number}.png"), number % 2 == 1, number)
    small: dict[str, Any] = {"backbone": "test_resnet", "side": 32, "device": "cpu", "mode": "knn", "neighbors": 3}
    small["positive"] = "ill"
    for out in ("ft:1", "ft:2"):
        ctprune.finetune("d:1", out=out, seeds=1, val_fraction=0.5, **small)
    assert ctprune.compare(["ft:1", "ft:2"], out="c:1", resamples=100).pairs
    table = Path("p:1.parquet")
    found = ctprune.predict("ft:1", "d:1", out=table)
    assert table.exists()
    # A table of labels by such a name is read, too.
    labels = Rows.from_columns({"path": found.images, "label": found.labels})
    labels.write(Path("labels:1.parquet"))
    assert ctprune.finetune("labels:1.parquet", out="ft:3", seeds=1, val_fraction=0.5, **small).out == Path("ft:3")
