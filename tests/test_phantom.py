import csv
import hashlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pydicom
import pytest
import typer
from typer.testing import CliRunner

from ctprune import _core
from ctprune.cli import phantom as cli
from ctprune.cli.generate import generated
from ctprune.errors import CtpruneError
from ctprune.phantom import ArchiveSummary, images, write_archive
from ctprune.phantom.patient import Lesion, Patient
from ctprune.phantom.scanner import PROTOCOLS, Scan

RLE, JPEG_LOSSLESS, JPEG_LS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"
UNCOMPRESSED = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"}
SMALL = {"seed": 3, "size": 64, "slices": 8}


@pytest.fixture(scope="module")
def encoded() -> dict[bytes, np.ndarray]:
    """Frames handed to the encoder while the archive was written, by their code."""
    return {}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, encoded) -> ArchiveSummary:
    real = _core.encode_frame

    class Recorder:
        @staticmethod
        def encode_frame(frame, uid, bits):
            code = real(frame, uid, bits)
            encoded[code.rstrip(b"\0")] = frame.copy()
            return code

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "_core", Recorder)
        return write_archive(tmp_path_factory.mktemp("phantom") / "archive", patients=4, **SMALL)


@pytest.fixture(scope="module")
def objects(archive) -> dict[str, pydicom.Dataset]:
    """Every DICOM object by its path in the archive."""
    files = [p for p in sorted(archive.path.rglob("*")) if p.is_file() and p.name != "labels.csv"]
    return {p.relative_to(archive.path).as_posix(): pydicom.dcmread(p) for p in files}


def is_slice(ds: pydicom.Dataset) -> bool:
    return ds.Modality == "CT" and ds.ImageType[2] in {"AXIAL", "VOLUME"}


def digests(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_same_arguments_give_the_same_bytes(archive, tmp_path):
    write_archive(tmp_path / "again", patients=4, **SMALL)
    assert digests(tmp_path / "again") == digests(archive.path)


def test_a_patient_does_not_depend_on_how_many_there_are(archive, tmp_path):
    write_archive(tmp_path / "one", patients=1, **SMALL)
    alone, among = digests(tmp_path / "one"), digests(archive.path)
    dicom = {path for path in alone if path != "labels.csv"}
    assert {path: alone[path] for path in dicom} == {p: among[p] for p in among if p.startswith("P0001/")}


def test_another_seed_gives_other_patients_and_uids(archive, objects, tmp_path):
    write_archive(tmp_path / "other", patients=1, seed=4, size=64, slices=1)
    theirs = pydicom.dcmread(tmp_path / "other/P0001/02-PS30s/IM0001.dcm")
    ours = objects["P0001/02-PS30s/IM0001.dcm"]
    assert theirs.SOPInstanceUID != ours.SOPInstanceUID
    assert theirs.PixelData != ours.PixelData


def test_every_transfer_syntax_is_there(objects):
    found = {str(ds.file_meta.TransferSyntaxUID) for ds in objects.values() if is_slice(ds)}
    assert found == UNCOMPRESSED | {RLE, JPEG_LOSSLESS, JPEG_LS}


def test_uncompressed_and_rle_files_decode_to_what_was_stored(objects, encoded):
    for ds in objects.values():
        syntax = str(ds.file_meta.TransferSyntaxUID)
        if "PixelData" in ds and syntax in UNCOMPRESSED:
            assert ds.pixel_array.shape[-2:] == (ds.Rows, ds.Columns)
        elif syntax == RLE:
            code = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
            np.testing.assert_array_equal(ds.pixel_array, encoded[code.rstrip(b"\0")])


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS, JPEG_LS])
def test_jpeg_files_decode_to_what_was_stored(objects, encoded, syntax):
    files = [ds for ds in objects.values() if ds.file_meta.TransferSyntaxUID == syntax]
    assert files
    for ds in files:
        code = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
        np.testing.assert_array_equal(ds.pixel_array, encoded[code.rstrip(b"\0")])


def test_hounsfield_units_are_those_of_a_body(objects):
    for ds in objects.values():
        if not is_slice(ds) or str(ds.file_meta.TransferSyntaxUID) not in UNCOMPRESSED | {RLE}:
            continue
        groups = ds.get("SharedFunctionalGroupsSequence")
        intercept = (
            groups[0].PixelValueTransformationSequence[0].RescaleIntercept if groups else ds.RescaleIntercept
        )
        hu = ds.pixel_array.astype(np.int32) + int(intercept)
        corner, middle = hu[..., :4, :4], hu[..., 24:40, 24:40]
        assert corner.mean() == pytest.approx(-1000, abs=40)
        assert middle.mean() > -700
        assert hu.min() >= -1024
        assert 250 < hu.max() < 3000


def test_the_label_table_matches_the_files(archive, objects):
    with (archive.path / "labels.csv").open(newline="") as stream:
        reader = csv.DictReader(stream)
        assert reader.fieldnames == ["path", "patient", "label", "lesion", "frame"]
        rows = list(reader)
    frames = Counter(row["path"] for row in rows)
    assert frames == {path: int(ds.get("NumberOfFrames", 1)) for path, ds in objects.items() if is_slice(ds)}
    assert all(row["path"].startswith(row["patient"] + "/") for row in rows)
    assert all((row["label"] == "1") == bool(row["lesion"]) for row in rows)
    ill = {row["patient"] for row in rows if row["label"] == "1"}
    assert len(ill) == archive.patients_with_lesion == 2
    assert sum(row["label"] == "1" for row in rows) == archive.slices_with_lesion
    assert len(rows) == archive.slices
    assert len(objects) == archive.files


def test_each_study_has_one_scout_and_one_dose_report(objects):
    kinds = defaultdict(Counter)
    for ds in objects.values():
        kinds[ds.StudyInstanceUID][ds.SeriesDescription if not is_slice(ds) else "slices"] += 1
    assert len(kinds) == 4
    assert all(kind["Scout"] == kind["Dose Report"] == 1 and kind["slices"] >= 1 for kind in kinds.values())
    scouts = [ds for ds in objects.values() if ds.SeriesDescription == "Scout"]
    assert all("LOCALIZER" in ds.ImageType for ds in scouts)
    reports = {str(ds.SOPClassUID.name) for ds in objects.values() if ds.SeriesDescription == "Dose Report"}
    assert reports == {"Secondary Capture Image Storage", "X-Ray Radiation Dose SR Storage"}


def test_uids_are_unique_and_identities_synthetic(objects):
    assert len({ds.SOPInstanceUID for ds in objects.values()}) == len(objects)
    assert all(ds.SOPInstanceUID.is_valid for ds in objects.values())
    assert all(str(ds.PatientName).startswith("PHANTOM^") for ds in objects.values())


def test_scanners_differ_in_what_readers_must_handle(objects):
    slices = [ds for ds in objects.values() if is_slice(ds)]
    spacings = {float(d.SpacingBetweenSlices) for d in slices}
    assert min(spacings) == 1
    assert max(spacings) == 8
    assert any(ds.GantryDetectorTilt != 0 for ds in slices)
    assert any("PixelPaddingValue" in ds for ds in slices)
    assert any("NumberOfFrames" in ds for ds in slices)
    assert {ds.PixelRepresentation for ds in slices} == {0, 1}


def test_slices_follow_one_another_along_the_table(objects):
    tilted = [ds for ds in objects.values() if is_slice(ds) and ds.GantryDetectorTilt]
    row, column = np.array(tilted[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    positions = np.array([ds.ImagePositionPatient for ds in tilted], dtype=float)
    along = np.diff(positions, axis=0) @ np.cross(row, column)
    np.testing.assert_allclose(along, -float(tilted[0].SpacingBetweenSlices), atol=1e-5)


def test_two_kernels_show_the_same_body(objects):
    soft, sharp = (objects[f"P0002/{name}/IM0004"].pixel_array.astype(float) for name in ("02-B", "03-L"))
    assert np.corrcoef(soft.ravel(), sharp.ravel())[0, 1] > 0.97
    assert (soft != sharp).mean() > 0.5


def test_a_lesion_is_seen_where_the_labels_say():
    scan = Scan(slices=9, size=64, fov_mm=380, center_y_mm=0, top_mm=110, spacing_mm=5, tilt_degrees=0)
    patient = Patient(np.random.default_rng(0))
    healthy = [patient.paint(scan.plane(i)).hu for i in range(scan.slices)]
    sx, sy, sz = patient.build.scale
    patient.lesions = (Lesion("lung", (75 / sx, 10 / sy, 90 / sz), 11.0),)
    ill = [patient.paint(scan.plane(i)) for i in range(scan.slices)]
    changed = [np.abs(canvas.hu - hu).max() > 300 for canvas, hu in zip(ill, healthy, strict=True)]
    assert changed == [canvas.lesion_mm2 > 0 for canvas in ill]
    assert 2 <= sum(changed) <= 5
    assert max(canvas.lesion_mm2 for canvas in ill) == pytest.approx(np.pi * 11**2 * sx * sy, rel=0.4)


def test_a_scan_ends_where_the_body_does():
    rng = np.random.default_rng(0)
    scan = Scan.plan(PROTOCOLS[1], slices=400, size=64, width_mm=350, rng=rng)
    assert scan.slices == 56
    assert scan.top_mm <= 225


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(CtpruneError, match="choose a new or an empty folder"):
        write_archive(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(CtpruneError, match="is not a folder"):
        write_archive(tmp_path / "out")


def test_an_empty_folder_is_used_and_nothing_is_left_beside_it(tmp_path):
    (tmp_path / "out").mkdir()
    write_archive(tmp_path / "out", patients=1, size=64, slices=1)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "labels.csv").is_file()


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(pydicom.Dataset, "save_as", fail)
    with pytest.raises(OSError, match="disk full"):
        write_archive(tmp_path / "out", patients=1, size=64, slices=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argument", "value"), [("patients", 0), ("seed", -1), ("size", 8), ("slices", 0), ("slices", 100_000)]
)
def test_arguments_out_of_range_are_named(tmp_path, argument, value):
    with pytest.raises(CtpruneError, match=f"{argument} {value}: expected .* to "):
        write_archive(tmp_path / "out", **{argument: value})


def test_encode_frame_refuses_what_it_cannot_encode():
    frame = np.zeros((4, 4), dtype=np.int16)
    with pytest.raises(ValueError, match=r"no encoder for transfer syntax 1\.2\.3"):
        _core.encode_frame(frame, "1.2.3", 16)
    with pytest.raises(ValueError, match="BitsStored must be 2 to 16"):
        _core.encode_frame(frame, RLE, 17)
    with pytest.raises(TypeError, match="int16, uint16 or uint8"):
        _core.encode_frame(frame.astype(np.float32), RLE, 16)


def test_the_command_says_what_to_do_next(tmp_path):
    app = typer.Typer()
    app.command()(generated(cli.command))
    out = tmp_path / "demo"
    result = CliRunner().invoke(app, [str(out), "--patients", "1", "--size", "64", "--slices", "2"])
    assert result.exit_code == 0, result.output
    assert "1 patient, 2 series, 4 slices" in result.stdout
    assert f"ctprune reduce {out} --method hash --out reduction/" in result.stdout
