"""The report of a run: what stands in it, how large it is, and what never stands in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import SecondaryCaptureImageStorage

import ctprune
from ctprune import _core
from ctprune.environment.progress import Operation
from ctprune.files.checksums import seal, unseal
from ctprune.manifest.manifest import write_manifest
from ctprune.manifest.refused import lines
from ctprune.reading.thumbnails import make_pictures
from ctprune.report.borderline import dropped_pairs, kept_pairs
from ctprune.report.citation import BIBTEX, PAPER, method_sentence
from ctprune.report.groups import choose_groups
from ctprune.report.losses import losses
from ctprune.report.nearest import nearest_kept_before
from ctprune.report.ranges import ranges
from ctprune.report.run_slices import load_run
from ctprune.selection.methods import METHODS
from tests.conftest import Cli

ROOT = Path(__file__).parents[1]


class Page(HTMLParser):
    """Elements, their attributes and all text of a page; refuses what is not closed as it was opened."""

    VOID = frozenset({"meta", "img", "input", "br", "link", "hr"})
    #: Their end tags are left out (HTML, section 13.1.2.4).
    OPTIONAL = frozenset({"td", "th"})

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(file.read_text("utf-8"))
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._open[-1] != tag:
            assert self._open.pop() in self.OPTIONAL
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def run(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "run"
    ctprune.reduce(archive, out=folder)
    ctprune.write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(run / "report.html")


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


def test_no_patient_and_no_path_is_named(archive: Path, run: Path) -> None:
    text = (run / "report.html").read_text()
    text = re.sub(r"data:image/webp;base64,[\w+/=]+", "", text)
    secrets = {str(archive)}
    for file in archive.rglob("*"):
        if not file.is_file() or not pydicom.misc.is_dicom(file):
            continue
        secrets.add(file.relative_to(archive).as_posix())
        header = pydicom.dcmread(file, stop_before_pixels=True)
        for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber"):
            secrets.add(str(header.get(name, "")))
        secrets |= {str(header.get(f"{kind}InstanceUID", "")) for kind in ("Study", "Series", "SOP")}
    secrets.discard("")
    assert len(secrets) > 100
    assert [secret for secret in sorted(secrets) if secret in text] == []


def test_no_part_of_a_name_in_files_paths_or_options_is_in_the_page(archive: Path, tmp_path: Path) -> None:
    named = {"PatientName": "Mustermann^Erika", "PatientID": "Mustermann-4711", "PatientBirthDate": "19640812"}
    source = capture(archive, tmp_path / "Mustermann Erika", named)
    (source / "Mustermann.txt").write_text("19640812")
    (source / "Mustermann.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"Mustermann")
    ctprune.reduce(source, out=tmp_path / "run", volume_pattern=r"(\d+)")
    text = ctprune.write_report(tmp_path / "run").path.read_text()
    assert not [name for name in ("Mustermann", "Erika", "4711", "19640812") if name in text]


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


def test_nearest_kept_slices_are_those_of_the_plain_search(archive: Path, tmp_path: Path) -> None:
    for scope in ("volume", "dataset"):
        ctprune.reduce(archive, out=tmp_path / scope, scope=scope, threshold=3)
        slices = load_run(tmp_path / scope)
        found = nearest_kept_before(slices)
        assert found is not None
        rows = slices.rows.to_dicts()
        kept = np.flatnonzero(slices.kept).tolist()
        expected = []
        for row in kept:
            before = [
                other
                for other in kept
                if other < row and (scope == "dataset" or rows[other]["volume"] == rows[row]["volume"])
            ]
            bits = [
                bin(
                    int.from_bytes(rows[row]["fingerprint"], "big")
                    ^ int.from_bytes(rows[other]["fingerprint"], "big")
                ).count("1")
                for other in before
            ]
            if bits:
                expected.append((row, before[bits.index(min(bits))], min(bits)))
        assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
        assert found.value.min() > 3


def test_nearest_kept_slices_by_embeddings_are_those_of_the_plain_search(tmp_path: Path) -> None:
    from ctprune.networks.backbone import create_backbone, save_backbone

    ctprune.phantom.write_archive(tmp_path / "dicoms", patients=1, size=64, slices=6)
    weights = tmp_path / "backbone.safetensors"
    save_backbone(create_backbone("resnet18"), weights, name="resnet18", metadata={})
    run = tmp_path / "run"
    ctprune.reduce(tmp_path / "dicoms", out=run, method="deep", weights=weights, keep=0.7)
    slices = load_run(run)
    found = nearest_kept_before(slices)
    assert found is not None
    # All slices were embedded in order.
    embeddings = np.load(run / "embeddings" / "embeddings.npy").astype(np.float64)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    kept = np.flatnonzero(slices.kept)
    expected = {}
    for row in kept:
        before = [other for other in kept if other < row and slices.volume[other] == slices.volume[row]]
        if before:
            expected[row] = max(embeddings[row] @ embeddings[other] for other in before)
    assert found.rows.tolist() == list(expected)
    assert found.value == pytest.approx(list(expected.values()), abs=1e-6)
    for row, partner, value in zip(*found, strict=True):
        assert embeddings[row] @ embeddings[partner] == pytest.approx(value, abs=1e-6)
    assert slices.threshold is not None
    assert found.value.max() < slices.threshold
    text = Page(ctprune.write_report(run).path).text
    assert f"{found.value.max():.6g}" in text
    # Other weights' embeddings say nothing about this run.
    about = run / "embeddings" / "embeddings.json"
    about.write_text(seal(unseal(about.read_text()) | {"weights_sha256": "0" * 64}))
    assert nearest_kept_before(slices) is None


def test_borderline_pairs_are_the_closest_to_the_threshold_from_different_volumes(run: Path) -> None:
    slices = load_run(run)
    dropped = dropped_pairs(slices, 5)
    assert [pair.value for pair in dropped] == sorted((pair.value for pair in dropped), reverse=True)
    assert dropped[0].value == np.nanmax(slices.similarity[~slices.kept])
    most = dropped[0].value
    at_most = [pair.row for pair in dropped if pair.value == most]
    possible = {
        slices.volume[row] for row in range(len(slices)) if not slices.kept[row] and slices.similarity[row] == most
    }
    assert len({slices.volume[row] for row in at_most}) == min(len(at_most), len(possible))
    nearest = nearest_kept_before(slices)
    assert nearest is not None
    kept = kept_pairs(slices, nearest, 5)
    assert [pair.value for pair in kept] == sorted(nearest.value.tolist())[:5]
    assert kept_pairs(slices, None, 5) == []


def test_losses_add_up(run: Path) -> None:
    slices = load_run(run)
    tables = losses(slices)
    assert [table.attribute for table in tables] == ["Scanner", "Convolution kernel", "Slice thickness", "Series"]
    for table in tables:
        assert sum(loss.slices for loss in table.losses) == len(slices)
        assert sum(loss.kept for loss in table.losses) == slices.kept.sum()
        assert sum(loss.volumes for loss in table.losses) == slices.volumes
        shares = [loss.dropped_fraction for loss in table.losses]
        assert shares == sorted(shares, reverse=True)


def test_groups_are_whole_where_they_are_small_and_hold_the_farthest_slice_where_not(run: Path) -> None:
    slices = load_run(run)
    for group in choose_groups(slices, 10**6):
        covered = np.flatnonzero(~slices.kept & (slices.exemplar == group.exemplar))
        assert group.covered == len(covered)
        assert len(set(group.shown)) == min(len(covered), 12)
        assert set(group.shown) <= set(covered.tolist())
        if len(covered):
            assert group.largest == slices.similarity[covered].max() == slices.similarity[group.shown].max()
    few = choose_groups(slices, 20)
    assert sum(1 + len(group.shown) for group in few) <= 20


def test_slices_ruled_by_padding_are_shown_as_they_were_compared_too(archive: Path, tmp_path: Path) -> None:
    for intensity, beside in (("minmax", 1), ("window:40,400", 0)):
        manifest = ctprune.reduce(archive, out=tmp_path / intensity, intensity=intensity)
        # The phantom's third scanner pads with -3024.
        low = manifest.rows["min_hu"]
        assert np.nanmin(low) == -3024
        page = Page(ctprune.write_report(tmp_path / intensity).path)
        assert "−3024 … " in page.text
        alternatives = [image for image in page.all("img") if (image["alt"] or "").endswith("as it was compared")]
        assert len(alternatives) == beside


def test_metal_and_padding_are_counted_by_their_rules(archive: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, out=tmp_path / "run")
    manifest = ctprune.Manifest.load(tmp_path / "run")
    slices = manifest.counts()["kept"] + manifest.counts()["dropped"]
    rows = np.arange(len(manifest))
    low = np.where(rows == 1, -1024.5, -1024).astype(np.float32)
    high = np.where(rows == 3, 3000, 2999).astype(np.float32)
    table = with_column(pa.table(manifest), "min_hu", pa.array(low))
    table = with_column(table, "max_hu", pa.array(high))
    write_table(tmp_path / "run" / "manifest.parquet", table, manifest.config)
    found = ranges(load_run(tmp_path / "run"), 4)
    assert found.in_hu == slices
    assert [(ruled.name, ruled.rows.tolist()) for ruled in found.ruled] == [("metal", [3]), ("padding", [1])]


@pytest.mark.parametrize("method", [*METHODS])
def test_every_method_has_a_measure_and_a_sentence(method: str) -> None:
    described = METHODS[method]
    assert described.citation
    assert (described.measure is None) == (method in ("all", "random-per-volume"))
    measures_nothing = ("all", "random", "random-per-volume", "balanced", "retrieval")
    assert (described.recorded is None) == (method in measures_nothing)


@pytest.mark.parametrize("method", ["all", "every-n", "random"])
def test_methods_that_compare_nothing_say_so(archive: Path, tmp_path: Path, method: str) -> None:
    ctprune.reduce(archive, out=tmp_path / "run", method=method)
    ctprune.write_report(tmp_path / "run")
    page = Page(tmp_path / "run" / "report.html")
    assert "borderline" not in [section["id"] for section in page.all("section")]
    assert method_sentence(load_run(tmp_path / "run")) in page.text
    assert ("compares no slices" in page.text) == (method != "every-n")


def test_a_cosine_similarity_is_shown_as_such(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    manifest = ctprune.Manifest.load(run)
    config = manifest.config | {"method": "deep", "threshold": 0.95, "weights": "/home/mary/Mary.safetensors"}
    similarity = pa.array(np.linspace(0.95, 1, len(manifest), dtype=np.float32))
    table = with_column(pa.table(manifest), "similarity", similarity)
    write_table(tmp_path / "run" / "manifest.parquet", table, config)
    summary = json.loads((run / "summary.json").read_text()) | {"config": config, "threshold": 0.95}
    (tmp_path / "run" / "summary.json").write_text(json.dumps(summary))
    ctprune.write_report(tmp_path / "run")
    page = Page(tmp_path / "run" / "report.html")
    assert "cosine similarity ≥ 0.95," in page.text
    assert "The embeddings for these pairs are no longer beside the manifest" in page.text
    assert "/home/mary" not in page.text
    slices = load_run(tmp_path / "run")
    assert dropped_pairs(slices, 1)[0].value == pytest.approx(np.nanmin(slices.similarity[~slices.kept]))


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


def capture(archive: Path, folder: Path, changes: dict[str, object]) -> Path:
    """One CT slice with other attributes, in a folder of its own."""
    manifest = ctprune.reduce(archive)
    row = next(row for row in manifest.kept().to_dicts() if row["frame"] == 0 and row["reader"] == "dicom")
    source = Path(row["source"], row["path"])
    dataset = pydicom.dcmread(source)
    for name, value in changes.items():
        setattr(dataset, name, value)
    folder.mkdir(parents=True)
    dataset.save_as(folder / "slice.dcm")
    return folder


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"BurnedInAnnotation": "YES"}, "text may be burned into it"),
        ({"ConversionType": "WSD"}, "text may be burned into it"),
        ({"Modality": "US"}, "modality US: text could be burned into it"),
        ({"Modality": "OT"}, "modality OT: text could be burned into it"),
        ({"Modality": "MR"}, ""),
    ],
)
def test_what_may_hold_burned_in_text_is_not_shown(
    archive: Path, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    source = capture(archive, tmp_path / "in", changes)
    manifest = ctprune.reduce(source, modality="any", out=tmp_path / "run")
    assert manifest.counts()["kept"] == 1
    report = ctprune.write_report(tmp_path / "run")
    assert report.pictures_missing == ({reason: 1} if reason else {})
    assert bool(Page(report.path).all("img")) == (not reason)


def test_a_modality_that_is_none_is_not_quoted(archive: Path, tmp_path: Path) -> None:
    source = capture(archive, tmp_path / "in", {"Modality": "MUSTERMANN"})
    ctprune.reduce(source, modality="any", out=tmp_path / "run")
    report = ctprune.write_report(tmp_path / "run")
    assert report.pictures_missing == {"modality unknown: text could be burned into it": 1}
    assert "MUSTERMANN" not in report.path.read_text()


def test_the_sentence_names_the_modalities(archive: Path, tmp_path: Path) -> None:
    for name, modality in (("a", "MR"), ("b", "US"), ("c", "MR")):
        capture(archive, tmp_path / "in" / name, {"Modality": modality, "SeriesInstanceUID": f"1.2.{ord(name)}"})
    ctprune.reduce(tmp_path / "in", modality="any", out=tmp_path / "run")
    page = Page(ctprune.write_report(tmp_path / "run").path)
    assert "MR and US slices were reduced with ctprune" in page.text
    assert "CT slices were reduced" not in page.text
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "pictures" / "a.png")
    ctprune.reduce(tmp_path / "pictures", out=tmp_path / "other")
    assert method_sentence(load_run(tmp_path / "other")).startswith("Slices were reduced with")


def test_no_header_is_quoted_by_warnings_or_reasons(archive: Path, tmp_path: Path, cli: Cli) -> None:
    source = capture(archive, tmp_path / "in", {})
    good = pydicom.dcmread(source / "slice.dcm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # What pydicom warns of, quoting it, and continues.
        good.SOPClassUID = good.file_meta.MediaStorageSOPClassUID = "Mustermann^Erika"
        good.save_as(source / "slice.dcm")
        good.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
        good.PixelData = encapsulate([b"no video"])
        good.save_as(source / "video.dcm")
    content = (source / "video.dcm").read_bytes()
    (source / "named.dcm").write_bytes(content.replace(b"1.2.840.10008.1.2.4.100", b"4711.Mustermann.1964081"))
    reduced = cli("reduce", source, "--out", "run")
    assert reduced.returncode == 3
    reported = cli("report", "run")
    assert reported.returncode == 0
    found = json.loads((tmp_path / "run" / "summary.json").read_text())["failed"]
    assert found == {
        "E-INVALID": {"the Transfer Syntax UID is not a UID": 1},
        "E-UNSUPPORTED-SYNTAX": {
            "transfer syntax MPEG2 Main Profile / Main Level cannot be decoded; pydicom cannot read it either": 1
        },
    }
    page = (tmp_path / "run" / "report.html").read_text()
    assert "the Transfer Syntax UID is not a UID" in page
    page = re.sub(r"data:image/webp;base64,[\w+/=]+", "", page)
    told = [reduced.stdout, reduced.stderr, reported.stdout, reported.stderr, page]
    told.append(cli("info", source / "named.dcm").stdout)
    told.append(cli("reduce", source, "--out", "other", "--fail-first").stderr)
    assert not [text for text in told if "Mustermann" in text or "4711" in text or "1964081" in text]
    # No UID stands in the page, be it one of the standard's.
    assert not re.search(r"\b[0-9]+(\.[0-9]+){4,}\b", page)


def test_secondary_captures_are_skipped_and_never_shown_even_if_a_manifest_names_them(
    archive: Path, tmp_path: Path
) -> None:
    source = capture(archive, tmp_path / "in", {})
    ctprune.reduce(source, modality="any", out=tmp_path / "run")
    dataset = pydicom.dcmread(source / "slice.dcm")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    stamp = (source / "slice.dcm").stat()
    dataset.save_as(source / "slice.dcm")
    skipped = ctprune.reduce(source, modality="any")
    assert skipped.with_status("skipped")["reason"] == ["secondary capture"]
    # A file of the same size and time passes for the one of the manifest; its class still betrays it.
    content = (source / "slice.dcm").read_bytes()
    manifest = ctprune.Manifest.load(tmp_path / "run")
    table = with_column(pa.table(manifest), "file_size", pa.array([len(content)]))
    write_table(tmp_path / "run" / "manifest.parquet", table, manifest.config)
    os.utime(source / "slice.dcm", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    report = ctprune.write_report(tmp_path / "run")
    assert report.pictures_missing == {"text may be burned into it": 1}


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


def test_the_command_line_says_where_the_report_is(cli: Cli, run: Path, tmp_path: Path) -> None:
    result = cli("report", run, "--out", "page.html")
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-1].startswith("reading: 0/")
    assert result.stdout.startswith("report: page.html (")
    assert cli("report", run, "--out", "page.html", "--quiet").stdout == ""
    found = json.loads(cli("report", run, "--out", "page.html", "--json").stdout)
    assert found["bytes"] == (tmp_path / "page.html").stat().st_size
    assert found["pictures_missing"] == {}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 1, "nowhere: no such folder: expected the folder of a reduction"),
        (["empty"], 1, "empty: expected the folder of a reduction with manifest.parquet"),
        (["no-summary"], 1, "no-summary: expected the folder of a reduction with summary.json"),
        (["foreign"], 1, "foreign: summary.json does not belong to the manifest beside it"),
        (["no-slices"], 1, "no-slices: the reduction has no slice, so there is nothing to show"),
        (["run", "--out", "empty"], 2, "--out empty: expected a file"),
        (["run", "--out", "in/page.html"], 2, "lies inside the source"),
        (["run", "--intensity", "dark"], 2, "--intensity dark:"),
        (["run", "--threads", "-1"], 2, "--threads -1: expected 0"),
    ],
)
def test_what_cannot_be_done_gets_one_sentence(
    cli: Cli, ct_file: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    for name in ("empty", "in", "in-empty", "no-summary", "foreign"):
        (tmp_path / name).mkdir()
    shutil.copy(ct_file, tmp_path / "in" / "slice.dcm")
    (tmp_path / "in-empty" / "text.txt").write_text("nothing")
    ctprune.reduce(tmp_path / "in", out=tmp_path / "run")
    ctprune.reduce(tmp_path / "in-empty", out=tmp_path / "no-slices")
    for name in ("no-summary", "foreign"):
        shutil.copy(tmp_path / "run" / "manifest.parquet", tmp_path / name)
    (tmp_path / "foreign" / "summary.json").write_text('{"seconds": 1}')
    result = cli("report", *arguments)
    assert result.returncode == code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert not list(tmp_path.rglob("*.html"))


#: The command line, with a Ctrl-C that comes while pictures are made.
CTRL_C = """
import os, signal
from ctprune import cli
from ctprune.reading import thumbnails
def interrupted(*_):
    os.kill(os.getpid(), signal.SIGINT)
    return []
thumbnails._within = interrupted
cli.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
def test_ctrl_c_leaves_nothing_behind(run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CTRL_C, "report", str(run), "--out", "page.html", "--quiet"]
    stopped = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert stopped.returncode == 130
    assert stopped.stderr == "Error: interrupted; no report was written\n"
    assert list(tmp_path.iterdir()) == []


def test_the_citation_is_that_of_the_project() -> None:
    project = " ".join((ROOT / "CITATION.cff").read_text("utf-8").split())
    for name in ("title", "journal", "volume", "year", "arxiv"):
        assert PAPER[name] in project
        assert PAPER[name] in BIBTEX
    assert [f"family-names: {name}" in project for name in PAPER["authors"].split(", ")] == [True] * 7
