"""`reduce` from end to end against oracles, and what a second run reuses."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pydicom
import pytest
from PIL import Image

import ctprune
from ctprune import _core
from ctprune.manifest.refused import lines, total
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.reduction import Reduction
from tests.manifest_schema import schema
from tests.reference import slices as reference


def slices(manifest: ctprune.Manifest) -> list[dict]:
    return [row for row in manifest.rows.to_dicts() if row["status"] in ("kept", "dropped")]


def by_volume(rows: list[dict]) -> list[list[dict]]:
    volumes: dict[int, list[dict]] = defaultdict(list)
    for row in rows:
        volumes[row["volume"]].append(row)
    return [volumes[key] for key in sorted(volumes)]


def test_every_file_has_a_row(archive: Path, manifest: ctprune.Manifest) -> None:
    files = {path.relative_to(archive).as_posix() for path in archive.rglob("*") if path.is_file()}
    assert {row["path"] for row in manifest.rows.to_dicts()} == files
    assert manifest.counts()["failed"] == 0
    reasons = set(manifest.with_status("skipped")["reason"])
    assert {"localizer", "not DICOM, NIfTI, PNG, JPEG or TIFF"} <= reasons


def test_fingerprints_and_ranges_equal_the_oracle(manifest: ctprune.Manifest) -> None:
    rows = slices(manifest)
    for row in rows:
        hu = reference.hounsfield_units(Path(row["source"], row["path"]), row["frame"])
        assert row["fingerprint"] == reference.dhash(reference.gray_by_minmax(hu)), row["path"]
        assert (row["min_hu"], row["max_hu"]) == (hu.min(), hu.max())
    # Explicit, implicit, deflated, RLE, JPEG lossless, JPEG-LS; one object has many frames.
    assert len({row["transfer_syntax_uid"] for row in rows}) == 6
    assert any(row["frame"] for row in rows)


def test_volumes_are_series_in_order_of_position(manifest: ctprune.Manifest) -> None:
    for volume in by_volume(slices(manifest)):
        assert len({row["series_instance_uid"] for row in volume}) == 1
        assert [row["slice_index"] for row in volume] == list(range(len(volume)))
        positions = [row["position_mm"] for row in volume]
        assert positions == sorted(positions)
        first = pydicom.dcmread(Path(volume[0]["source"], volume[0]["path"]), stop_before_pixels=True)
        if "ImagePositionPatient" in first and len({str(r["image_orientation_patient"]) for r in volume}) == 1:
            expected = reference.position_along_normal(first, reference.normal(first))
            assert positions[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("threshold", [0, 3, 6, 12, 64])
def test_kept_slices_are_those_of_the_greedy_rule(archive: Path, threshold: int) -> None:
    rows = slices(ctprune.reduce(archive, threshold=threshold))
    start = 0
    for volume in by_volume(rows):
        expected = reference.exemplars([row["fingerprint"] for row in volume], threshold)
        assert [row["exemplar"] - start for row in volume] == expected
        start += len(volume)
    for i, row in enumerate(rows):
        assert (row["status"] == "kept") == (row["exemplar"] == i)
        assert row["similarity"] == reference.hamming(row["fingerprint"], rows[row["exemplar"]]["fingerprint"])


def test_dataset_scope_compares_all_volumes(archive: Path) -> None:
    rows = slices(ctprune.reduce(archive, scope="dataset"))
    assert [row["exemplar"] for row in rows] == reference.exemplars([row["fingerprint"] for row in rows], 6)


def test_threads_do_not_change_a_byte(archive: Path, tmp_path: Path) -> None:
    results = []
    for threads in (1, 2, 5):
        out = tmp_path / str(threads)
        ctprune.reduce(archive, out=out, threads=threads)
        results.append((out / "manifest.parquet").read_bytes())
    assert results[0] == results[1] == results[2]


def test_keep_takes_the_threshold_that_comes_nearest(archive: Path) -> None:
    total = len(slices(ctprune.reduce(archive)))
    kept = [ctprune.reduce(archive, threshold=t).counts()["kept"] for t in range(65)]
    for fraction in (0.05, 0.25, 0.5, 1.0):
        nearest = min(abs(count - fraction * total) for count in kept)
        assert abs(ctprune.reduce(archive, keep=fraction).counts()["kept"] - fraction * total) == nearest


def test_every_n_keeps_multiples_of_n(archive: Path) -> None:
    for row in slices(ctprune.reduce(archive, method="every-n", n=3)):
        assert (row["status"] == "kept") == (row["slice_index"] % 3 == 0)


def test_all_keeps_everything(archive: Path) -> None:
    assert ctprune.reduce(archive, method="all").counts()["dropped"] == 0


def test_random_keeps_as_many_of_each_volume_as_hash(archive: Path) -> None:
    def kept(rows: list[dict]) -> list[int]:
        return [sum(row["status"] == "kept" for row in volume) for volume in by_volume(rows)]

    by_hash = slices(ctprune.reduce(archive))
    sample = slices(ctprune.reduce(archive, method="random", seed=1))
    assert kept(sample) == kept(by_hash)
    assert [r["status"] for r in sample] == [
        r["status"] for r in slices(ctprune.reduce(archive, method="random", seed=1))
    ]
    assert [r["status"] for r in sample] != [
        r["status"] for r in slices(ctprune.reduce(archive, method="random", seed=2))
    ]
    assert all(r["exemplar"] is None and r["similarity"] is None for r in sample if r["status"] == "dropped")


def test_order_path_is_text_order(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name in ("a_1.png", "a_2.png", "a_10.png"):
        Image.fromarray(random.integers(0, 256, (20, 20), np.uint8)).save(tmp_path / "in" / name)
    natural = [row["path"] for row in slices(ctprune.reduce(tmp_path / "in"))]
    text = [row["path"] for row in slices(ctprune.reduce(tmp_path / "in", order="path"))]
    assert natural == ["a_1.png", "a_2.png", "a_10.png"]
    assert text == ["a_1.png", "a_10.png", "a_2.png"]


def test_volume_pattern_groups_pictures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name in ("LIDC-IDRI-0001_1.png", "LIDC-IDRI-0001_2.png", "LIDC-IDRI-0002_1.png"):
        Image.fromarray(random.integers(0, 256, (20, 20), np.uint8)).save(tmp_path / "in" / name)
    rows = slices(ctprune.reduce(tmp_path / "in", volume_pattern=r"(LIDC-IDRI-\d+)_"))
    assert [row["volume"] for row in rows] == [0, 0, 1]
    assert [row["volume"] for row in slices(ctprune.reduce(tmp_path / "in"))] == [0, 0, 0]


class Reads:
    """Counts the files that were really read."""

    def __init__(self) -> None:
        self.read = self.reused = self.vanished = 0

    def __call__(self, progress: ctprune.Progress) -> None:
        self.read, self.reused = progress.facts["files_read"], progress.facts["files_reused"]
        self.vanished = progress.facts["files_vanished"]


@pytest.fixture
def copy(archive: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(archive, tmp_path / "dicoms"))


def test_selecting_again_reads_no_file(copy: Path, tmp_path: Path) -> None:
    out, reads = tmp_path / "run", Reads()
    ctprune.reduce(copy, out=out)
    for options in ({"threshold": 3}, {"scope": "dataset"}, {"order": "path"}, {"method": "every-n", "n": 4}):
        again = ctprune.reduce(copy, out=out, progress=reads, **options)
        assert reads.read == 0
        assert reads.reused > 100
        assert again.rows == ctprune.reduce(copy, **options).rows, options


def test_other_fingerprints_are_read_again(copy: Path, tmp_path: Path) -> None:
    out, reads = tmp_path / "run", Reads()
    ctprune.reduce(copy, out=out)
    for options in ({"hash_size": 16}, {"intensity": "lung"}, {"modality": "any"}):
        again = ctprune.reduce(copy, out=out, progress=reads, **options)
        assert reads.reused == 0
        assert again.rows == ctprune.reduce(copy, **options).rows


def test_changed_new_and_vanished_files_are_noticed(copy: Path, tmp_path: Path) -> None:
    out, reads = tmp_path / "run", Reads()
    first = slices(ctprune.reduce(copy, out=out))
    files = [path for path in (Path(row["source"], row["path"]) for row in first) if path.suffix == ".dcm"]
    changed, touched, vanished, new = files[0], files[3], files[6], copy / "new.dcm"
    shutil.copy(files[9], new)
    changed.write_bytes(changed.read_bytes()[:2000])
    os.utime(touched, (1, 1))
    vanished.unlink()
    again = ctprune.reduce(copy, out=out, progress=reads)
    assert (reads.read, reads.vanished) == (3, 1)
    assert again.rows == ctprune.reduce(copy).rows
    rows = {row["path"]: row for row in again.rows.to_dicts()}
    assert rows[changed.relative_to(copy).as_posix()]["status"] == "failed"
    assert vanished.relative_to(copy).as_posix() not in rows
    assert rows["new.dcm"]["status"] in ("kept", "dropped")


def test_the_source_is_left_alone(copy: Path, tmp_path: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in copy.rglob("*")}

    before = state()
    ctprune.reduce(copy, out=tmp_path / "run")
    assert state() == before


def test_manifest_reads_in_pandas_polars_and_duckdb(archive: Path, tmp_path: Path) -> None:
    import duckdb
    import polars

    manifest = ctprune.reduce(archive, out=tmp_path)
    file = tmp_path / "manifest.parquet"
    assert pa.table(manifest).schema.equals(schema(8))
    assert pa.table(ctprune.reduce(archive, hash_size=16)).schema.equals(schema(16))
    frame = manifest.to_pandas()
    assert (frame["status"] == "kept").sum() == manifest.counts()["kept"]
    other = polars.read_parquet(file)
    assert other["fingerprint"].to_list() == frame["fingerprint"].tolist()
    kept = duckdb.sql(f"select count(*) from '{file}' where status = 'kept'").fetchall()
    assert kept == [(manifest.counts()["kept"],)]


def test_summary_agrees_with_the_manifest(archive: Path, tmp_path: Path) -> None:
    manifest = ctprune.reduce(archive, out=tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    counts = manifest.counts()
    assert (summary["kept"], summary["dropped"]) == (counts["kept"], counts["dropped"])
    assert total(summary["skipped"]) == counts["skipped"]
    assert summary["volumes"] == max(row["volume"] for row in slices(manifest)) + 1
    assert summary["volumes_with"]["gantry_tilt"] >= 1
    assert summary["config"]["threshold"] == summary["threshold"] == 6


def test_no_patient_name_leaves_the_archive(archive: Path, tmp_path: Path) -> None:
    names = {
        str(pydicom.dcmread(path, stop_before_pixels=True).PatientName).encode() for path in archive.rglob("*.dcm")
    }
    assert names
    ctprune.reduce(archive, out=tmp_path)
    for file in tmp_path.iterdir():
        content = ctprune.Manifest.load(tmp_path).to_pandas().to_csv().encode() + file.read_bytes()
        assert not any(name in content for name in names)


def test_interrupted_run_goes_on_where_it_stopped(copy: Path, tmp_path: Path) -> None:
    out, reads = tmp_path / "run", Reads()

    def stop(progress: ctprune.Progress) -> None:
        if progress.stage == "selecting":
            raise KeyboardInterrupt

    # The second call reads no file, but what the first one read is still saved.
    for _ in range(2):
        with pytest.raises(ctprune.Interrupted, match=r"^interrupted while selecting; rerun to resume$"):
            ctprune.reduce(copy, out=out, progress=stop)
    assert not (out / "manifest.parquet").exists()
    again = ctprune.reduce(copy, out=out, progress=reads)
    assert reads.read == 0
    assert again.rows == ctprune.reduce(copy).rows
    assert sorted(path.name for path in out.iterdir()) == ["config.yaml", "manifest.parquet", "summary.json"]


def test_several_sources_and_single_files(copy: Path, ct_file: Path) -> None:
    folders = sorted(path for path in copy.iterdir() if path.is_dir())
    rows = slices(ctprune.reduce([folders[0], ct_file]))
    assert {row["source"] for row in rows} == {str(folders[0]), str(ct_file.parent)}


def test_multi_frame_and_nifti_and_pictures_mix(archive: Path, tmp_path: Path) -> None:
    import nibabel

    folder = tmp_path / "mixed"
    folder.mkdir()
    random = np.random.default_rng(1)
    hu = random.integers(-1000, 1000, (20, 30, 4)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(hu, np.diag([0.5, 0.5, 2.0, 1.0])), folder / "volume.nii.gz")
    nibabel.save(nibabel.Nifti1Image(hu, np.eye(4)), folder / "volume.nii")
    Image.fromarray(random.integers(0, 256, (9, 9, 3), np.uint8)).save(folder / "color.jpg", quality=90)
    Image.fromarray(random.integers(0, 65536, (9, 9), np.uint16)).save(folder / "deep.png")
    Image.fromarray(random.integers(0, 256, (9, 9), np.uint8)).save(folder / "gray.tif")
    rows = slices(ctprune.reduce(folder, method="all"))
    assert [row["path"] for row in rows].count("volume.nii.gz") == 4
    nifti = [row for row in rows if row["path"] == "volume.nii.gz"]
    for row in nifti:
        expected = reference.dhash(reference.gray_by_minmax(hu[:, :, row["frame"]].T))
        assert row["fingerprint"] == expected
    gray = np.asarray(Image.open(folder / "color.jpg").convert("L"))
    by_path = {row["path"]: row for row in rows}
    assert by_path["color.jpg"]["fingerprint"] == reference.dhash(gray)
    deep = np.asarray(Image.open(folder / "deep.png"))
    assert by_path["deep.png"]["fingerprint"] == reference.dhash(reference.gray_by_minmax(deep))


def test_a_run_is_written_without_its_table_in_memory(
    archive: Path, manifest: ctprune.Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the whole table is read")

    run = Reduction(archive, ReduceConfig(), out=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(_core.Rows, "concat", refuse)
        patched.setattr(ctprune.Manifest, "load", refuse)
        run.write()
    assert ctprune.Manifest.load(tmp_path).rows == manifest.rows
    counts = manifest.counts()
    assert (run.summary["kept"], run.summary["dropped"]) == (counts["kept"], counts["dropped"])
    reasons = manifest.with_status("skipped")["reason"]
    found = lines(run.summary["skipped"])
    assert {reason: count for _, reason, count in found} == {reason: reasons.count(reason) for reason in reasons}
    counts_by_code = [total(run.summary["skipped"], code) for code in run.summary["skipped"]]
    assert counts_by_code == sorted(counts_by_code, reverse=True)
