"""What `ctprune reduce` says beside its table: no slice at all, unreachable fractions, masks, files to look at."""

from __future__ import annotations

import json
import shlex
import shutil
import tarfile
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import MediaStorageDirectoryStorage

import ctprune
from ctprune.cli.hints import hints
from ctprune.cli.no_slices import why_no_slices
from ctprune.manifest.findings import Findings
from tests.conftest import Cli
from tests.printed import result_of


def in_modality(ct_file: Path, folder: Path, *modalities: str) -> Path:
    """Copies of a slice that say they are of these modalities."""
    folder.mkdir()
    for number, modality in enumerate(modalities):
        dataset = pydicom.dcmread(ct_file)
        dataset.Modality = modality
        dataset.SOPInstanceUID = f"1.2.{number}"
        dataset.save_as(folder / f"{number}.dcm")
    return folder


def test_no_slice_has_an_exit_code_and_says_what_to_try(cli: Cli, ct_file: Path, tmp_path: Path) -> None:
    source = in_modality(ct_file, tmp_path / "in", "MR", "MR", "SR", "")
    result = cli("reduce", source, "--out", "run", "--quiet")
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr == (
        "Error: no slice was found: 2 files have modality MR: add --modality MR; 1 file has modality SR, which is "
        "not read as slices; 1 file has no modality: add --modality any\n"
    )
    # The files are accounted for nevertheless.
    assert ctprune.Manifest.load(tmp_path / "run").counts()["skipped"] == 4
    assert result_of("reduce", cli("reduce", source, "--out", "run", "--json").stdout)["slices"] == 0
    for modality in ("mr", "MR"):
        assert cli("reduce", source, "--out", modality, "--modality", modality).returncode == 0
    assert ctprune.ReduceConfig(modality="Any").modality == "any"


def test_an_empty_folder_gets_a_sentence_and_no_table_of_zeros(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    result = cli("reduce", "in", "--out", "run")
    assert (result.returncode, result.stdout) == (4, f"manifest: {Path('run', 'manifest.parquet')}\n")
    assert result.stderr.splitlines()[-1] == f"Error: no slice was found: {tmp_path / 'in'}: no file is there"


def test_slices_that_an_option_leaves_out_are_no_other_files(cli: Cli, ct_file: Path, tmp_path: Path) -> None:
    result = cli("reduce", ct_file, "--min-slices", "2", "--out", "run", "--quiet")
    assert result.returncode == 4
    assert result.stderr == (
        "Error: no slice is left: volume of fewer than 2 slices (S-FEW-SLICES): 1 slice; loosen the options that "
        "leave these out\n"
    )


def test_unreadable_files_alone_are_no_slices_either(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(b"")
    options = ["--export", "png", "--export-dir", "kept"]
    result = cli("reduce", "in", "--out", "run", "--quiet", *options)
    assert result.returncode == 4
    assert result.stderr.startswith("Error: no slice was found: 1 file could not be read: a.dcm: ")
    assert (result.stderr.count("\n"), result.stderr.endswith("(E-EMPTY)\n")) == (1, True)
    # An empty tree would only be in the way of the next try.
    assert not (tmp_path / "kept").exists()


def test_what_is_no_folder_of_images_is_named(ct_file: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archived:
        archived.write(ct_file, "a.dcm")
    for name, mode in (("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.txz", "w:xz")):
        with tarfile.open(tmp_path / name, mode) as tar:  # type: ignore[call-overload]
            tar.add(ct_file, "a.dcm")
    (tmp_path / "archives").mkdir()
    shutil.copy(tmp_path / "a.zip", tmp_path / "archives")
    (tmp_path / "empty" / "below").mkdir(parents=True)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("nothing")
    index = pydicom.Dataset()
    index.file_meta = pydicom.dataset.FileMetaDataset()
    index.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    index.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    index.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    index.FileSetID = "SET"
    index.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    expected = {
        "a.txz": "a.txz is an xz archive: unpack it",
        "empty": "empty: no file is there",
        "texts": "1 file: not DICOM, NIfTI, PNG, JPEG or TIFF (S-NOT-AN-IMAGE); 'ctprune info FILE' says",
    }
    for name, sentence in expected.items():
        reduction = ctprune.reduction.reduction.Reduction(
            tmp_path / name, ctprune.ReduceConfig(), out=tmp_path / "out"
        )
        reduction.write()
        assert sentence in why_no_slices(reduction.summary, reduction.findings)


def summary(**changes: object) -> dict:
    config = {"keep": 0.5, "budget": None, "method": "hash", "scope": "volume", "exclude": []}
    config |= {name: changes.pop(name) for name in ("keep", "method", "scope") if name in changes}
    return {"config": config, "slices": 200, "volumes": 4, "failed": {}, "threshold": 6} | changes


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (summary(kept=104), None),
        (summary(kept=104, keep=None), None),
        (summary(kept=3, method="random"), None),
        (
            summary(kept=150, keep=0.99, threshold=0),
            "--keep 0.99: the nearest that can be reached is 75.0%, at threshold 0: even this "
            "threshold, the strictest, drops slices with equal fingerprints",
        ),
        (summary(kept=150, keep=0.99, threshold=1, method="ssim"), "drops slices with equal pixels"),
        (
            summary(kept=4, keep=0.001, threshold=30),
            "every one of 4 volumes keeps at least one slice; --scope dataset",
        ),
        (
            summary(kept=4, keep=0.001, threshold=0, method="ssim"),
            "every one of 4 volumes keeps at least one slice",
        ),
        (summary(kept=9, keep=0.001, threshold=1, method="mi"), "the loosest threshold that is tried"),
        (summary(kept=140), "at threshold 6: the neighboring thresholds keep fractions that are farther away"),
    ],
)
def test_a_fraction_that_cannot_be_reached_is_said_and_why(found: dict, sentence: str | None) -> None:
    said = hints(found, Findings())
    assert len(said) == (sentence is not None)
    assert sentence is None or sentence in said[0]


def test_a_percentage_is_a_fraction(cli: Cli, archive: Path) -> None:
    kept = {}
    for text in ("7%", "0.07", "7.0 %"):
        printed = cli("reduce", archive, "--out", "run", "--keep", text, "--json").stdout
        kept[text] = result_of("reduce", printed)["config"]["keep"]
    assert set(kept.values()) == {0.07}


def nifti(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4)), file)  # type: ignore[no-untyped-call]


def test_label_masks_among_volumes_are_told(cli: Cli, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for case in ("c_001", "c_002"):
        nifti(tmp_path / "in/imagesTr" / f"{case}_0000.nii.gz", random.integers(-1000, 1000, (16, 16, 5), "i2"))
        nifti(tmp_path / "in/labelsTr" / f"{case}.nii.gz", random.integers(0, 14, (16, 16, 5)).astype("u1"))
    # What is no label: small values with fractions, a volume whose later slices are CT, and one without negatives.
    nifti(tmp_path / "in/other/fractions.nii", random.random((16, 16, 5), "f4"))
    partly = np.ones((16, 16, 5), "i2")
    partly[..., 3] = -1000
    nifti(tmp_path / "in/other/partly.nii", partly)
    nifti(tmp_path / "in/other/stored.nii", random.integers(0, 2000, (16, 16, 5), "i2"))
    Image.fromarray(np.ones((16, 16), "u1")).save(tmp_path / "in/other/picture.png")
    result = cli("reduce", "in", "--out", "run")
    assert result.returncode == 0
    assert "2 NIfTI volumes look like label masks (values from 0 to 13)" in result.stderr
    assert "the first is labelsTr/c_001.nii.gz: leave such files out with --exclude 'labelsTr/*'" in result.stderr
    assert "NIfTI volumes that look like label masks" in result.stdout
    found = json.loads((tmp_path / "run" / "summary.json").read_text())["label_volumes"]
    assert found == {"count": 2, "first": "labelsTr/c_001.nii.gz"}
    page = ctprune.write_report(tmp_path / "run").path.read_text()
    assert "2 NIfTI volumes look like label masks" in page
    assert "c_001" not in page


@pytest.mark.parametrize(
    ("mask", "glob"),
    [
        ("P1/02_mask.nii.gz", "**/*_mask.nii.gz"),
        ("P1/a.seg.nii", "**/*.seg.nii"),
        ("P1/mask.nii.gz", "**/mask.nii.gz"),
        ("P1/lesions.nii.gz", "P1/lesions.nii.gz"),
        ("P1/organs/liver.nii.gz", "P1/organs/*"),
        ("liver.nii.gz", "liver.nii.gz"),
    ],
)
def test_the_pattern_for_masks_leaves_the_images_beside_them(mask: str, glob: str, tmp_path: Path) -> None:
    nifti(tmp_path / "in" / mask, np.ones((16, 16, 2), "u1"))
    nifti(tmp_path / "in/P1/ct.nii.gz", np.full((16, 16, 2), -1000, "i2"))
    reduction = ctprune.reduction.reduction.Reduction(tmp_path / "in", ctprune.ReduceConfig(), out=tmp_path / "o")
    reduction.write()
    [said] = [hint for hint in hints(reduction.summary, reduction.findings) if "label mask" in hint]
    assert said.endswith(f"--exclude {shlex.quote(glob)}")
    kept = ctprune.reduce(tmp_path / "in", exclude=[glob]).kept()
    assert set(kept["path"]) == {"P1/ct.nii.gz"}


def test_rows_of_a_volume_may_come_in_several_batches(tmp_path: Path) -> None:
    values = np.ones((16, 16, 6), "i2")
    values[..., 5] = -1000
    nifti(tmp_path / "in" / "a.nii", values)
    nifti(tmp_path / "in" / "b.nii", np.ones((16, 16, 6), "u1"))
    rows = ctprune.reduce(tmp_path / "in").rows
    findings = Findings()
    for row in range(len(rows)):
        findings.add(rows.slice(row, row + 1))
    assert [(volume.path, volume.high) for volume in findings.label_volumes()] == [("b.nii", 1)]


def test_files_that_cannot_be_read_are_named(cli: Cli, ct_file: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(ct_file, tmp_path / "in" / "good.dcm")
    for number in range(5):
        (tmp_path / "in" / f"{number}.dcm").write_bytes(b"")
    result = cli("reduce", "in", "--out", "run")
    assert result.returncode == 3
    named = [line for line in result.stderr.splitlines() if line.startswith("not read: ")]
    assert [line.split(": ")[1] for line in named[:3]] == ["0.dcm", "1.dcm", "2.dcm"]
    assert named[3:] == ["not read: … and 2 more: rows of status 'failed' in the manifest"]


def test_the_table_tells_reading_from_the_whole(cli: Cli, archive: Path, tmp_path: Path) -> None:
    shown = cli("reduce", archive, "--out", "run").stdout
    assert "throughput" not in shown
    assert "read at" in shown
    found = json.loads((tmp_path / "run" / "summary.json").read_text())
    stages = found["stage_seconds"]
    assert list(stages) == ["finding", "reading", "selecting", "writing"]
    assert sum(stages.values()) == pytest.approx(found["seconds"], abs=0.1)
    lines = [line.strip("│ ") for line in shown.splitlines()]
    index = next(number for number, line in enumerate(lines) if line.startswith("time"))
    assert lines[index + 1].split()[0] in stages
    assert "read at" not in cli("reduce", archive, "--out", "run").stdout
