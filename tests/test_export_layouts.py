"""Exports as other programs read them: read with those programs where they are installed, else by their format."""

from __future__ import annotations

import csv
import io
import json
import mmap
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ctprune


@pytest.fixture(scope="module")
def plain(manifest: ctprune.Manifest, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Any]:
    """The pixels of each kept slice, by volume and slice, as the layout `folders` has them."""
    folder = tmp_path_factory.mktemp("plain") / "kept"
    ctprune.export_kept(manifest, folder=folder)
    return {
        (int(file.parent.name), int(file.stem)): np.asarray(Image.open(file)) for file in folder.rglob("*.png")
    }


def key_of(name: str) -> tuple[int, int]:
    volume, index = name.split("_")
    return int(volume), int(index)


def samples(shard: Path) -> dict[str, dict[str, bytes]]:
    """Members by base name and suffix: all up to the first point, and what follows it."""
    found: dict[str, dict[str, bytes]] = {}
    order: list[str] = []
    with tarfile.open(shard) as opened:
        for member in opened:
            base, _, suffix = member.name.partition(".")
            file = opened.extractfile(member)
            assert file is not None
            found.setdefault(base, {})[suffix] = file.read()
            order.append(base)
    # What belongs together lies together.
    assert order == [base for base, parts in found.items() for _ in parts]
    return found


def lines_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_webdataset(manifest: ctprune.Manifest, plain: dict[tuple[int, int], Any], tmp_path: Path) -> None:
    exported = ctprune.export_kept(manifest, layout="webdataset", folder=tmp_path / "wds")
    assert exported.written == len(plain)
    assert sorted(path.name for path in (tmp_path / "wds").iterdir()) == ["index.csv", "shard-000000.tar"]
    found = samples(tmp_path / "wds" / "shard-000000.tar")
    rows = manifest.rows.to_dicts()
    assert {key_of(base) for base in found} == plain.keys()
    for base, parts in found.items():
        assert parts.keys() == {"png", "json"}
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(parts["png"]))), plain[key_of(base)])
        facts = json.loads(parts["json"])
        row = rows[facts["row"]]
        assert (row["volume"], row["slice_index"]) == key_of(base) == (facts["volume"], facts["slice_index"])
    names = [line["path"] for line in lines_of(tmp_path / "wds" / "index.csv")]
    assert names == [f"shard-000000.tar/{base}.png" for base in found]


def test_webdataset_of_copies_has_the_files(manifest: ctprune.Manifest, tmp_path: Path) -> None:
    ctprune.export_kept(manifest, layout="webdataset", mode="copy", folder=tmp_path / "wds")
    rows = manifest.rows.to_dicts()
    found = samples(tmp_path / "wds" / "shard-000000.tar")
    assert found
    for parts in found.values():
        row = rows[json.loads(parts["json"])["row"]]
        assert parts["dcm"] == Path(row["source"], row["path"]).read_bytes()


def test_a_full_shard_is_followed_by_the_next(manifest: ctprune.Manifest, tmp_path: Path) -> None:
    from ctprune.exporting.tar_shards import Shards

    (tmp_path / "some").mkdir()
    with Shards(tmp_path / "some", 2000) as shards:
        spans = []
        for number in range(5):
            name = shards.begin_sample()
            spans.append((name, *shards.add(f"{number}.bin", io.BytesIO(bytes([number]) * 700), 700)))
    assert [name for name, *_ in spans] == ["shard-000000"] * 2 + ["shard-000001"] * 2 + ["shard-000002"]
    for number, (name, start, _) in enumerate(spans):
        content = (tmp_path / "some" / f"{name}.tar").read_bytes()
        assert content[start + 512 : start + 1212] == bytes([number]) * 700


def test_the_same_slices_give_the_same_bytes(manifest: ctprune.Manifest, tmp_path: Path) -> None:
    for layout in ("webdataset", "dinov2", "monai"):
        trees = []
        for name, threads in (("a", 1), ("b", 2)):
            folder = tmp_path / f"{layout}-{name}"
            ctprune.export_kept(manifest, layout=layout, folder=folder, threads=threads)
            trees.append({file.relative_to(folder): file.read_bytes() for file in folder.rglob("*.*")})
        assert trees[0] == trees[1]


def test_dinov2_reads_what_its_entries_say(
    manifest: ctprune.Manifest, plain: dict[tuple[int, int], Any], tmp_path: Path
) -> None:
    folder = tmp_path / "dinov2"
    ctprune.export_kept(manifest, layout="dinov2", folder=folder)
    # As its ImageNet22k does: a tar file by the class, from one offset to the other, without the first block.
    entries = np.load(folder / "entries.npy", mmap_mode="r")
    classes = np.load(folder / "class-ids.npy")
    assert len(entries) == len(plain)
    for entry in entries:
        assert str(classes[entry["class_index"]]) == str(entry["class_id"])
        with (folder / f"{entry['class_id']}.tar").open() as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            content = mapped[entry["start_offset"] : entry["end_offset"]][512:]
            mapped.close()
        image = Image.open(io.BytesIO(content)).convert("RGB")
        gray = plain[key_of(str(entry["filename"]).removesuffix(".png"))]
        assert np.array_equal(np.asarray(image), np.repeat(gray[..., None], 3, axis=2))


def test_imagefolder(manifest: ctprune.Manifest, plain: dict[tuple[int, int], Any], tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    ctprune.export_kept(manifest, layout="imagefolder", folder=folder)
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["metadata.csv"]
    lines = lines_of(folder / "metadata.csv")
    assert len(lines) == len(plain)
    for line in lines:
        image = np.asarray(Image.open(folder / line["file_name"]))
        assert np.array_equal(image, plain[int(line["volume"]), int(line["slice_index"])])


@pytest.mark.parametrize("mode", ["png", "nifti"])
def test_monai(manifest: ctprune.Manifest, tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "monai"
    ctprune.export_kept(manifest, layout="monai", mode=mode, folder=folder)
    found = json.loads((folder / "datalist.json").read_text())
    assert found.keys() == {"training"}
    files = {path for path in folder.rglob("*") if path.name.endswith((".png", ".nii.gz"))}
    assert {folder / entry["image"] for entry in found["training"]} == files
    assert len(found["training"]) == len(files)
    assert all(isinstance(value, (str, int)) for entry in found["training"] for value in entry.values())


#: What the other program warns of is its own affair.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_monai_itself_reads_it(
    manifest: ctprune.Manifest, plain: dict[tuple[int, int], Any], tmp_path: Path
) -> None:
    monai = pytest.importorskip("monai")
    ctprune.export_kept(manifest, layout="monai", folder=tmp_path / "monai")
    entries = monai.data.load_decathlon_datalist(tmp_path / "monai" / "datalist.json", is_segmentation=False)
    load = monai.transforms.LoadImaged(keys="image", image_only=True)
    assert len(entries) == len(plain)
    for entry in entries:
        # MONAI puts columns first.
        assert np.array_equal(load(entry)["image"].numpy().T, plain[entry["volume"], entry["slice_index"]])


@pytest.mark.filterwarnings("ignore")
def test_webdataset_itself_reads_it(
    manifest: ctprune.Manifest, plain: dict[tuple[int, int], Any], tmp_path: Path
) -> None:
    webdataset = pytest.importorskip("webdataset")
    ctprune.export_kept(manifest, layout="webdataset", folder=tmp_path / "wds")
    found = webdataset.WebDataset(str(tmp_path / "wds" / "shard-000000.tar"), shardshuffle=False).decode("l8")
    count = 0
    for sample in found:
        image = (np.asarray(sample["png"])).astype(np.uint8)
        assert np.array_equal(image, plain[key_of(sample["__key__"])])
        assert (sample["json"]["volume"], sample["json"]["slice_index"]) == key_of(sample["__key__"])
        count += 1
    assert count == len(plain)


def test_nnssl(manifest: ctprune.Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "Dataset042_Phantom"
    ctprune.export_kept(manifest, layout="nnssl", mode="nifti", folder=folder)
    about = json.loads((folder / "pretrain_data.json").read_text())
    assert (about["collection_index"], about["collection_name"]) == (42, "Dataset042_Phantom")
    [(name, data)] = about["datasets"].items()
    # nnssl looks it up by its index.
    assert data["dataset_index"] == name
    images = {}
    for subject_id, subject in data["subjects"].items():
        assert subject["subject_id"] == subject_id
        for session_id, session in subject["sessions"].items():
            assert session["session_id"] == session_id
            names = [image["name"] for image in session["images"]]
            assert len(names) == len(set(names))
            for image in session["images"]:
                assert image.keys() == {"name", "image_path", "modality", "image_info", "associated_masks"}
                assert image["modality"] == "CT"
                images[Path(image["image_path"].replace("$nnssl_raw", str(tmp_path)))] = subject_id
    assert images.keys() == set(folder.glob("*.nii.gz"))
    # Volumes of a study are of one subject, of different studies of different ones.
    study = {
        row["volume"]: row["study_instance_uid"] for row in manifest.rows.to_dicts() if row["volume"] is not None
    }
    for file, subject in images.items():
        for other, of_other in images.items():
            same = study[int(file.name[:5])] == study[int(other.name[:5])]
            assert (subject == of_other) == same


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_hugging_face_itself_reads_it(
    manifest: ctprune.Manifest,
    plain: dict[tuple[int, int], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    ctprune.export_kept(manifest, layout="imagefolder", folder=tmp_path / "hf")
    found = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "hf"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert len(found) == len(plain)
    for sample in found:
        gray = plain[sample["volume"], sample["slice_index"]]
        assert np.array_equal(np.asarray(sample["image"]), gray)
        assert (sample["rows"], sample["columns"]) == gray.shape


#: Why the next two programs may be missing: their repositories' `src` and root belong on PYTHONPATH.
_NO_PACKAGE = "is in no package index: put its repository on PYTHONPATH"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_nnssl_itself_reads_it(
    manifest: ctprune.Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nnssl_raw", "nnssl_preprocessed", "nnssl_results"):
        monkeypatch.setenv(name, str(tmp_path))
    raw_dataset = pytest.importorskip("nnssl.data.raw_dataset", reason=_NO_PACKAGE)
    folder = tmp_path / "Dataset042_Phantom"
    ctprune.export_kept(manifest, layout="nnssl", mode="nifti", folder=folder)
    found = raw_dataset.Collection.from_dict(json.loads((folder / "pretrain_data.json").read_text()))
    assert {Path(file) for file in found.get_all_image_paths()} == set(folder.glob("*.nii.gz"))
    assert found.get_file_ending() == ".nii.gz"
    # One image each, whose subject and session it can name.
    images = found.to_independent_images()
    assert len({one.get_unique_id() for one in images}) == len(images) == len(list(folder.glob("*.nii.gz")))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_dinov2_itself_reads_it(
    manifest: ctprune.Manifest, plain: dict[tuple[int, int], Any], tmp_path: Path
) -> None:
    of_dinov2 = pytest.importorskip("dinov2.data.datasets", reason=_NO_PACKAGE)
    folder = tmp_path / "dinov2"
    ctprune.export_kept(manifest, layout="dinov2", folder=folder)
    found = of_dinov2.ImageNet22k(root=str(folder), extra=str(folder))
    entries = np.load(folder / "entries.npy")
    assert len(found) == len(plain)
    for index, entry in enumerate(entries):
        image, _ = found[index]
        gray = plain[key_of(str(entry["filename"]).removesuffix(".png"))]
        assert np.array_equal(np.asarray(image), np.repeat(gray[..., None], 3, axis=2))
