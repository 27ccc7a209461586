"""Tasks of every layout, their splits, and the guard between splits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

import ctprune
from ctprune.finetuning.images import gray_of, read_images
from ctprune.finetuning.overlaps import NEAR, find_overlaps, without_overlap
from ctprune.finetuning.sampling import sample_part
from ctprune.tasks import list_task
from tests.labeled import picture
from tests.tasks.labeled_images import PATTERN, covid, patients, read, split


def test_a_folder_per_class_is_split_by_patient(folders: Path) -> None:
    images = read(list_task(folders, patient_pattern=PATTERN))
    assert images.classes == ("healthy", "ill")
    assert [entry.name for entry in images.entries][:2] == ["healthy/p00_0.png", "healthy/p00_1.png"]
    splits = split(images)
    assert (splits.evaluated, splits.selection, splits.seeded) == ("val", "select", ("val", "select"))
    assert splits.counts(images)["val"] == {"healthy": 6, "ill": 6}
    sets = [patients(images, splits, name) for name in ("train", "select", "val")]
    assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]
    assert "there is no test split" in splits.sentence()


def test_a_folder_per_split_and_class(folders: Path, tmp_path: Path) -> None:
    root = tmp_path / "split"
    for label in ("healthy", "ill"):
        for index, file in enumerate(sorted((folders / label).iterdir())):
            part = ("Training", "valid", "test")[min(index // 8, 2)]
            (root / part / label).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, root / part / label)
    images = read(list_task(root))
    splits = split(images)
    assert (splits.evaluated, splits.selection, splits.seeded) == ("test", "val", ())
    assert splits.counts(images) == {
        "train": {"healthy": 8, "ill": 8},
        "val": {"healthy": 8, "ill": 8},
        "test": {"healthy": 4, "ill": 4},
    }
    shutil.rmtree(root / "valid")
    images = read(list_task(root))
    assert split(images).seeded == ("val",)
    (root / "other").mkdir()
    with pytest.raises(ctprune.TaskError, match="expected folders train, val and test only, also found other"):
        list_task(root)


def test_lists_of_names_as_published(folders: Path) -> None:
    lists = covid(folders)
    images = read(list_task(folders, split=lists))
    splits = split(images)
    assert splits.counts(images)["test"] == {"healthy": 4, "ill": 4}
    names = (lists / "ill" / "valill.txt").read_text().split()
    assert sorted(Path(images.entries[row].name).name for row in splits.rows("val") if images.labels[row]) == names


@pytest.mark.parametrize(
    ("suffix", "compression"), [(".csv", ""), (".parquet", "none"), (".parquet", "snappy"), (".parquet", "gzip")]
)
def test_a_table_of_labels(folders: Path, suffix: str, compression: str) -> None:
    files = sorted(folders.rglob("*.png"))
    rows = [
        {"path": f"data/{file.parent.name}/{file.name}", "label": 10 if file.parent.name == "ill" else 9}
        | {"patient": file.name[:3], "split": ("train", "test")[index % 20 >= 16]}
        for index, file in enumerate(files)
    ]
    table = folders.parent / f"labels{suffix}"
    if suffix == ".csv":
        pa.csv.write_csv(pa.Table.from_pylist(rows), table)
    else:
        pq.write_table(pa.Table.from_pylist(rows), table, compression=compression)
    images = read(list_task(table))
    assert images.classes == ("9", "10")
    assert images.entries[0].patient == "p00"
    splits = split(images)
    assert (splits.evaluated, splits.seeded) == ("test", ("val",))
    assert splits.counts(images)["test"] == {"9": 4, "10": 4}


@pytest.mark.parametrize(("compression", "named"), [("zstd", "Zstandard"), ("brotli", "Brotli")])
def test_a_table_in_a_compression_that_is_not_read(tmp_path: Path, compression: str, named: str) -> None:
    table = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"path": ["a.png"], "label": ["ill"]}), table, compression=compression)
    with pytest.raises(ctprune.TaskError) as refused:
        list_task(table)
    assert str(refused.value) == (
        f"{table}: expected a CSV or Parquet table: compressed with {named}, which ctprune does not read: write "
        "it again with Snappy or gzip"
    )


@pytest.mark.parametrize("colors", [False, True])
def test_medmnist(tmp_path: Path, colors: bool) -> None:
    random = np.random.default_rng(0)
    shape = (28, 28, 3) if colors else (28, 28)
    arrays = {}
    for name in ("train", "val", "test"):
        arrays[f"{name}_images"] = random.integers(0, 256, (12, *shape), dtype=np.uint8)
        arrays[f"{name}_labels"] = (np.arange(12, dtype=np.uint8) % 3)[:, None]
    np.savez(tmp_path / "organs.npz", **arrays)
    images = read_images(list_task(tmp_path / "organs.npz"), side=28)
    assert images.classes == ("0", "1", "2")
    assert split(images).evaluated == "test"
    # Squares of this side are the gray values themselves, as Pillow makes them.
    for pixels, array in zip(images.pixels[:12], arrays["train_images"], strict=True):
        np.testing.assert_array_equal(pixels, np.asarray(Image.fromarray(array).convert("L")))
    larger = read_images(list_task(tmp_path / "organs.npz"), side=56)
    resized = Image.fromarray(gray_of(arrays["train_images"][0])).resize((56, 56), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(larger.pixels[0], np.asarray(resized))
    bad = tmp_path / "bad.npz"
    for change, sentence in (
        ({"train_labels": None}, "expected an array train_labels"),
        ({"val_labels": arrays["val_labels"][:5]}, r"val_labels as one whole number per image \(12\)"),
        ({"test_images": arrays["test_images"].astype(float)}, "test_images as uint8"),
        ({"test_labels": arrays["test_labels"] + 7}, "class 7 is in test, but has no image in train"),
    ):
        np.savez(bad, **{key: array for key, array in (arrays | change).items() if array is not None})
        with pytest.raises(ctprune.TaskError, match=sentence):
            split(read(list_task(bad)))


def test_slices_of_a_run_by_path_series_and_instance(archive: Path, tmp_path: Path) -> None:
    manifest = ctprune.reduce(archive, out=tmp_path / "run")
    images = read(list_task(tmp_path / "run", labels=archive / "labels.csv"))
    slices = [row for row in manifest.rows.to_dicts() if row["status"] in ("kept", "dropped")]
    assert len(images) == len(slices)
    assert images.classes == ("0", "1")
    assert None not in {entry.patient for entry in images.entries}
    for key in ("series_instance_uid", "sop_instance_uid"):
        rows = {row[key]: {key: row[key]} for row in slices}
        half = len(rows) // 2
        labeled = [row | {"label": str(index < half)} for index, row in enumerate(rows.values())]
        pq.write_table(pa.Table.from_pylist([*labeled, labeled[0]]), tmp_path / "twice.parquet")
        with pytest.raises(ctprune.TaskError, match="is listed twice"):
            list_task(tmp_path / "run", labels=tmp_path / "twice.parquet")
        pq.write_table(pa.Table.from_pylist(labeled), tmp_path / f"{key}.parquet")
        listed = list_task(tmp_path / "run", labels=tmp_path / f"{key}.parquet")
        assert len(listed.entries) == len(slices)
        # Without a column, the study stands for the patient.
        assert {entry.patient for entry in listed.entries} == {row["study_instance_uid"] for row in slices}
    # The table of the archive is a task by itself, too.
    assert len(read(list_task(archive / "labels.csv"))) == len(slices)


def test_the_guard_finds_planted_overlaps(folders: Path) -> None:
    lists = covid(folders)
    copied = folders / "ill" / "p01_0.png"
    shutil.copy(copied, folders / "ill" / "q99_0.png")
    noisy = np.asarray(Image.open(folders / "healthy" / "p00_0.png")).copy()
    noisy[0, 0] ^= 1
    Image.fromarray(noisy).save(folders / "healthy" / "q98_0.png")
    for label, name in (("ill", "q99_0.png"), ("healthy", "q98_0.png"), ("ill", "p01_0.png")):
        where = "train" if name == "p01_0.png" else "test"
        file = lists / label / f"{where}{label}.txt"
        file.write_text(file.read_text() + ("" if name in file.read_text() else f"{name}\n"))
    images = read(list_task(folders, split=lists, patient_pattern=PATTERN))
    splits = split(images)
    found = {overlap.splits: overlap for overlap in find_overlaps(images, splits)}
    assert (found["train", "test"].near_duplicates, found["train", "test"].identical) == (2, 1)
    assert found["train", "test"].patients == 0
    assert not found["train", "val"]
    assert not found["val", "test"]
    left = without_overlap(images, splits)
    assert (left.rows("test") == splits.rows("test")).all()
    gone = set(splits.rows("train")) - set(left.rows("train"))
    assert {images.entries[row].name for row in gone} == {"healthy/p00_0.png", "ill/p01_0.png"}
    # Against a plain loop over the bits.
    bits = np.unpackbits(images.fingerprints, axis=1).astype(int)
    distances = np.abs(bits[splits.rows("train"), None] - bits[None, splits.rows("test")]).sum(2)
    assert (distances <= NEAR).any(0).sum() == 2


def test_a_patient_in_two_splits_is_found_and_left_out(folders: Path) -> None:
    lists = covid(folders)
    file = lists / "ill" / "trainill.txt"
    names = file.read_text().split()
    # One picture of the last patient of train goes to test.
    file.write_text("\n".join(names[:-1]))
    other = lists / "ill" / "testill.txt"
    other.write_text(other.read_text() + names[-1])
    images = read(list_task(folders, split=lists, patient_pattern=PATTERN))
    splits = split(images)
    found = {overlap.splits: overlap for overlap in find_overlaps(images, splits)}
    assert found["train", "test"].patients == 1
    left = without_overlap(images, splits)
    assert not patients(images, left, "train") & patients(images, left, "test")


def test_a_sample_is_stratified_seeded_and_by_patient() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    for fraction in (0.1, 0.15, 0.5):
        part = sample_part(labels, [None] * 100, fraction=fraction, seed=1, leave_some=True)
        assert np.bincount(labels[part]).tolist() == [round(fraction * n) for n in (60, 30, 10)]
        again = sample_part(labels, [None] * 100, fraction=fraction, seed=1, leave_some=True)
        np.testing.assert_array_equal(part, again)
        assert (part != sample_part(labels, [None] * 100, fraction=fraction, seed=2, leave_some=True)).any()
    groups = [f"patient {index // 4}" for index in range(100)]
    for seed in range(20):
        part = sample_part(labels, groups, fraction=0.2, seed=seed, leave_some=True)
        assert all(len(set(part[start : start + 4])) == 1 for start in range(0, 100, 4))
        assert all(0 < part[labels == label].sum() < (labels == label).sum() for label in range(3))
        assert abs(part.sum() - 20) <= 4
    # One patient alone has the class: it stays where the class would be lost, and is taken where it is needed.
    alone = ["a"] * 5 + [None] * 20
    classes = np.repeat([0, 1], [5, 20])
    assert not sample_part(classes, alone, fraction=0.2, seed=0, leave_some=True)[:5].any()
    assert sample_part(classes, alone, fraction=0.2, seed=0, leave_some=False)[:5].all()


def test_pictures_are_no_near_duplicates() -> None:
    """What the other tests stand on."""
    prints = ctprune.dhash(np.stack([picture(ill, number) for ill in (False, True) for number in range(40)]))
    distances = ctprune.hamming(prints, prints, all_to_all=True)
    assert (distances[~np.eye(len(prints), dtype=bool)] > NEAR).all()
