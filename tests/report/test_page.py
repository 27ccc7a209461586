"""The page: what stands in it, how large it is, the same bytes each time."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import ctprune
from ctprune import _core
from ctprune.environment.progress import Operation
from ctprune.manifest.manifest import write_manifest
from ctprune.manifest.refused import lines
from ctprune.reading.thumbnails import make_pictures
from ctprune.report.citation import BIBTEX, PAPER
from ctprune.report.run_slices import load_run
from tests.report.page import Page

ROOT = Path(__file__).parents[2]


def test_the_page_holds_every_section_and_figure(run: Path, page: Page) -> None:
    sections = [section["id"] for section in page.all("section")]
    found = ["fractions", "volumes", "series", "duplicates", "groups", "borderline", "losses", "diversity"]
    assert sections == [*found, "ranges", "files", "configuration"]
    assert len([svg for svg in page.all("svg") if svg.get("class") != "strip"]) == 3
    summary = json.loads((run / "summary.json").read_text())
    for figure in (summary["slices"], summary["kept"], summary["dropped"]):
        assert str(figure) in page.text
    assert all(code in page.text and reason in page.text for code, reason, _ in lines(summary["skipped"]))
    assert summary["skipped"]
    for name in ("convolution_kernel", "manufacturer_model_name"):
        kinds = set(ctprune.Manifest.load(run).kept()[name])
        assert all(kind in page.text for kind in kinds)
    assert PAPER["title"] in page.text
    assert "ctprune reduce SOURCE --method hash --threshold 6" in page.text


def test_identifiers_are_unique_and_references_lead_to_them(page: Page) -> None:
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    for _, attributes in page.elements:
        for name in ("href", "xlink:href", "clip-path"):
            found = re.search(r"^(?:url\()?#([^)]+)", attributes.get(name) or "")
            assert found is None or found[1] in names


def test_every_slice_of_a_small_run_is_a_picture(run: Path, page: Page) -> None:
    groups = page.all("details")
    manifest = ctprune.Manifest.load(run)
    assert [int(group["data-row"] or -1) for group in groups] == [
        row for row, status in enumerate(manifest.rows["status"]) if status == "kept"
    ]
    assert sum(int(group["data-covered"] or 0) for group in groups) == manifest.counts()["dropped"]
    assert all((image["src"] or "").startswith("data:image/webp;base64,") for image in page.all("img"))
    assert "No picture" not in page.text


def test_nothing_is_loaded_from_elsewhere_and_only_the_citation_is_linked(run: Path, page: Page) -> None:
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"<)]*", (run / "report.html").read_text()))
    assert addresses == {f"https://arxiv.org/abs/{PAPER['arxiv']}"}
    assert not page.all("link")
    assert all("src" not in script for script in page.all("script"))
    policy = next(meta for meta in page.all("meta") if meta.get("http-equiv"))
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_the_same_run_gives_the_same_bytes_at_any_thread_count(run: Path, tmp_path: Path) -> None:
    for threads in (1, 3):
        ctprune.write_report(run, out=tmp_path / f"{threads}.html", threads=threads)
    first = (tmp_path / "1.html").read_bytes()
    assert first == (tmp_path / "3.html").read_bytes() == (run / "report.html").read_bytes()


def test_pictures_are_the_slices_in_the_window(archive: Path, run: Path) -> None:
    import base64
    import io

    slices = load_run(run)
    row = int(np.flatnonzero(slices.kept)[3])
    made = make_pictures(slices, [row], "window:-200,1600", most_bytes=10**6, threads=1, operation=Operation())
    line = slices.rows.slice(row, row + 1).to_dicts()[0]
    hu = ctprune.read_volume(archive, volume=line["volume"]).hu[line["slice_index"]]
    gray = np.clip((hu + 1000) / 1600, 0, 1) * 255
    picture = Image.open(io.BytesIO(base64.b64decode(made.of[row].uri.split(",")[1]))).convert("L")
    expected = Image.fromarray(np.rint(gray).astype(np.uint8)).resize(picture.size, Image.Resampling.LANCZOS)
    # WebP loses a little.
    assert np.abs(np.asarray(picture, float) - np.asarray(expected, float)).mean() < 4


def with_column(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def write_table(file: Path, table: pa.Table, config: dict[str, Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    write_manifest(file, [_core.Rows.from_arrow(table, config["hash_size"])], config)


def thousand_volumes(folder: Path) -> Path:
    """A run of 1,000 volumes of 300 slices whose pictures are noise, the hardest to compress."""
    noise = np.random.default_rng(1).integers(0, 256, (1201, 128, 128), dtype=np.uint8)
    (folder / "in").mkdir(parents=True)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / "in" / f"{number}.tif")
    # The columns of real rows, repeated: these pictures stand for all.
    seed = ctprune.reduce(folder / "in", method="all")
    rows, volumes, per_volume = len(seed), 1000, 300
    count = volumes * per_volume
    table = pa.table(seed).take(pa.array(np.arange(count) % rows))
    index = np.arange(count)
    random = np.random.default_rng(2)
    kept = random.random(count) < 0.3
    kept[::per_volume] = True
    exemplar = np.maximum.accumulate(np.where(kept, index, 0))
    columns = {
        "volume": pa.array((index // per_volume).astype(np.int32)),
        "slice_index": pa.array((index % per_volume).astype(np.int32)),
        "position_mm": pa.array(index % per_volume * 1.25),
        "status": pa.array(np.where(kept, "kept", "dropped")),
        "exemplar": pa.array(exemplar),
        "similarity": pa.array(np.where(kept, 0, random.integers(0, 7, count)).astype(np.float32)),
        "fingerprint": pa.array(
            [row.tobytes() for row in random.integers(0, 256, (count, 8), dtype=np.uint8)], pa.binary(8)
        ),
        "manufacturer": pa.array([f"Manufacturer of scanners {i // per_volume % 40}" for i in range(count)]),
        "convolution_kernel": pa.array([f"KERNEL{i // per_volume}" for i in range(count)]),
    }
    for name, column in columns.items():
        table = with_column(table, name, column)
    config = seed.config | {"method": "hash", "threshold": 6}
    write_table(folder / "run" / "manifest.parquet", table, config)
    kept_count = int(kept.sum())
    summary = {
        "config": config,
        "sources": [str(folder / "in")],
        "threshold": 6,
        "files": count,
        "files_read": count,
        "files_reused": 0,
        "kept": kept_count,
        "dropped": count - kept_count,
        "skipped": {"S-MODALITY": {f"reason {i}": i for i in range(1, 200)}},
        "failed": {"E-IO": {f"failure {i}": i for i in range(1, 200)}},
        "volumes_with": {"gantry_tilt": 3},
        "seconds": 1234.5,
        "slices_per_second": 243.0,
        "threads": 2,
        "machine": "a machine",
    }
    (folder / "run" / "summary.json").write_text(json.dumps(summary))
    return folder / "run"


@pytest.mark.slow
def test_a_thousand_volumes_stay_below_5_mb(tmp_path: Path) -> None:
    run = thousand_volumes(tmp_path)
    report = ctprune.write_report(run)
    assert report.bytes == (run / "report.html").stat().st_size < 5_000_000
    assert report.pictures > 200
    assert report.pictures_missing["left out to keep the page small"] > 0
    page = Page(report.path)
    assert len(re.findall(r"KERNEL\d", page.text)) >= 1000
    assert "20 min 34 s" in page.text or "20 min 35 s" in page.text
    assert "159 other reasons" in page.text


def test_files_that_vanished_or_changed_leave_a_placeholder(ct_file: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.dcm", "b.dcm"):
        shutil.copy(ct_file, tmp_path / "in" / name)
    ctprune.reduce(tmp_path / "in", method="all", out=tmp_path / "run")
    (tmp_path / "in" / "a.dcm").unlink()
    with (tmp_path / "in" / "b.dcm").open("ab") as file:
        file.write(b"\0\0")
    report = ctprune.write_report(tmp_path / "run")
    assert report.pictures_missing == {
        "the file is gone": 1,
        "the file has changed since the reduction read it": 1,
    }
    assert "No picture: the file is gone" in Page(report.path).text


def test_images_are_shown_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    ramp = np.tile(np.arange(160, dtype=np.uint8), (160, 1))
    Image.fromarray(ramp).save(tmp_path / "in" / "a.png")
    Image.fromarray(ramp.T).save(tmp_path / "in" / "b.png")
    ctprune.reduce(tmp_path / "in", out=tmp_path / "run")
    page = Page(ctprune.write_report(tmp_path / "run").path)
    assert page.all("img")
    assert "losses" not in [section["id"] for section in page.all("section")]


def test_the_citation_is_that_of_the_project() -> None:
    project = " ".join((ROOT / "CITATION.cff").read_text("utf-8").split())
    for name in ("title", "journal", "volume", "year", "arxiv"):
        assert PAPER[name] in project
        assert PAPER[name] in BIBTEX
    assert [f"family-names: {name}" in project for name in PAPER["authors"].split(", ")] == [True] * 7
