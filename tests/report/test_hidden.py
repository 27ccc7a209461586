"""What never stands in a report: patients, paths, text in pixels, quoted headers."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import SecondaryCaptureImageStorage

import ctprune
from ctprune.report.citation import method_sentence
from ctprune.report.run_slices import load_run
from tests.conftest import Cli
from tests.report.page import Page
from tests.report.test_page import with_column, write_table


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
