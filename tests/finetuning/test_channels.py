"""Backbones that see a slice between its neighbors: images by a slow loop, predictions as in the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import ctprune
from ctprune.finetuning import channels as under_test
from ctprune.finetuning.images import LabeledImages, read_images
from ctprune.finetuning.saved_model import SavedModel
from ctprune.networks.backbone import backbone_metadata, create_backbone, save_backbone
from ctprune.tasks import list_task
from ctprune.tasks.listing import Entry
from tests.finetuning.small import SMALL
from tests.labeled import write
from tests.pretraining.test_channels import shown
from tests.segmenting.bodies import write_pair

CHANNELS = "neighbors:5"


@pytest.fixture(scope="module")
def between(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone as if pre-trained with neighboring slices."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("between") / "backbone.safetensors"
    metadata = {"method": "swav", "mean": 0.3, "std": 0.2, "intensity": "minmax", "channels": CHANNELS}
    save_backbone(create_backbone("resnet18"), file, name="resnet18", metadata=metadata)
    return file


@pytest.fixture(scope="module")
def run(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reduced")
    ctprune.reduce(archive, out=folder)
    return folder


def sparse_labels(run: Path, file: Path) -> Path:
    """Labels of every third slice only."""
    rows = [row for row in ctprune.Manifest.load(run).rows.to_dicts() if row["status"] in ("kept", "dropped")]
    lines = [f"{row['path']},{row['frame']},{'ab'[number % 2]}" for number, row in enumerate(rows[::3])]
    file.write_text("path,frame,label\n" + "\n".join(lines) + "\n")
    return file


def expected_pixels(run: Path, side: int, entries: list[Entry]) -> np.ndarray:
    """Channels of these slices, each looked up in its volume."""
    slices = ctprune.Manifest.load(run).slices()
    store = ctprune.build_store(run, use="all", side=side)
    places = [(row["path"], row["frame"]) for row in slices.rows.to_dicts()]
    of_all = shown(slices.volume, slices.position_mm, 5.0)
    return store.pixels[[of_all[places.index((one.name.partition("#")[0], one.frame))] for one in entries]]


def read(run: Path, labels: Path, channels: str = CHANNELS) -> LabeledImages:
    return read_images(list_task(run, labels=labels), side=32, fit="crop", channels=channels)


def test_images_of_a_reduction_show_neighbors_without_labels(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Several blocks.
    monkeypatch.setattr(under_test, "_TOGETHER", 7)
    labels = sparse_labels(run, tmp_path / "labels.csv")
    images, gray = read(run, labels), read(run, labels, "gray")
    assert images.pixels.shape == (len(gray), 3, 32, 32)
    expected = expected_pixels(run, 32, images.entries)
    np.testing.assert_array_equal(images.pixels, expected)
    np.testing.assert_array_equal(images.squares, gray.pixels)
    assert gray.squares is gray.pixels
    assert (images.digest(), gray.notes()) == (gray.digest(), [])
    of_slices = [[square.tobytes() for square in image] for image in expected]
    repeated = sum(one[0] == one[1] or one[2] == one[1] for one in of_slices)
    assert 0 < images.repeated == repeated < len(images)
    assert images.notes()[0].startswith(
        f"{repeated} of {len(images)} images have no slice at one of the distances"
    )


def test_neighbors_that_cannot_be_read_are_replaced(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = sparse_labels(run, tmp_path / "labels.csv")
    whole, plain = read(run, labels), under_test.read_fitted
    labeled = {Path(entry.file or "").resolve() for entry in whole.entries}

    def some(lines: list[dict[str, Any]], out: Any, *rest: Any, **options: Any) -> list[str]:
        plain(lines, out, *rest, **options)
        beside = [Path(line["source"], line["path"]).resolve() not in labeled for line in lines]
        return ["the file is damaged" if one and number % 2 else "" for number, one in enumerate(beside)]

    monkeypatch.setattr(under_test, "read_fitted", some)
    damaged = read(run, labels)
    assert len(damaged) == len(whole)
    same = (damaged.pixels == whole.pixels).all(axis=(2, 3))
    replaced = (damaged.pixels == damaged.pixels[:, 1:2]).all(axis=(2, 3))
    assert (same | replaced).all()
    assert not same.all()


@pytest.mark.parametrize("mode", ["linear", pytest.param("finetune", marks=pytest.mark.slow)])
def test_a_fine_tuning_and_its_predictions_see_the_same_channels(
    archive: Path, between: Path, tmp_path: Path, mode: str
) -> None:
    epochs = {"epochs": 1, "frozen_epochs": 0} if mode == "finetune" else {}
    options = {**SMALL, **epochs, "positive": None, "weights": between, "mode": mode, "seeds": 1}
    result = ctprune.finetune(archive / "labels.csv", out=tmp_path / "ft", **options)
    assert any("that channel repeats the image" in note for note in result.notes)
    found = ctprune.predict(tmp_path / "ft", archive)
    there = {
        (Path(image).resolve(), frame): row
        for image, frame, row in zip(found.images, found.frames, found.probabilities, strict=True)
    }
    rows = pq.read_table(tmp_path / "ft" / "predictions.parquet").to_pylist()
    assert len(rows) > 10
    for row in rows:
        name, _, frame = row["image"].partition("#")
        own = there[(archive / name).resolve(), int(frame or 0)]
        np.testing.assert_allclose(own, row["probabilities"], rtol=0, atol=1e-4)
    write(tmp_path / "picture.png", True, 1)
    with pytest.raises(
        ctprune.TaskError, match=r"neighboring slices as channels \(`channels` neighbors:5\), but none"
    ):
        ctprune.predict(tmp_path / "ft", tmp_path / "picture.png")


def test_a_fine_tuned_backbone_still_sees_neighbors(archive: Path, tmp_path: Path) -> None:
    metadata = {"method": "swav", "mean": 0.3, "std": 0.2, "intensity": "minmax", "channels": CHANNELS}
    save_backbone(
        create_backbone("test_resnet"), tmp_path / "pre.safetensors", name="test_resnet", metadata=metadata
    )
    options = {**SMALL, "backbone": None, "positive": None, "seeds": 1}
    weights, epochs = tmp_path / "pre.safetensors", {"epochs": 1, "frozen_epochs": 0}
    ctprune.finetune(archive / "labels.csv", out=tmp_path / "ft", weights=weights, **options, **epochs)
    tuned = tmp_path / "ft" / "model" / "seed-0" / "backbone.safetensors"
    ctprune.convert_backbone(tuned, tmp_path / "timm", to="timm", side=32)
    for number, file in enumerate((tuned, tmp_path / "timm")):
        assert backbone_metadata(file)["channels"] == CHANNELS
        out = tmp_path / f"again-{number}"
        again = ctprune.finetune(archive / "labels.csv", out=out, weights=file, mode="linear", **options)
        assert any("that channel repeats the image" in note for note in again.notes)
        assert SavedModel.load(out).channels == CHANNELS
        with pytest.raises(ctprune.WeightsError, match="expected a backbone for single gray slices"):
            ctprune.reduce(archive, method="deep", threshold=0.9, weights=file)
        write_pair(tmp_path / f"pairs-{number}", "body", 1)
        with pytest.raises(ctprune.WeightsError, match="expected a backbone for single gray slices"):
            ctprune.segment(tmp_path / f"pairs-{number}", out=tmp_path / "segmented", weights=file)


def test_numbers_are_learned_from_channels_and_reported_by_subgroup(
    archive: Path, run: Path, between: Path, tmp_path: Path
) -> None:
    slices = [row for row in ctprune.Manifest.load(run).rows.to_dicts() if row["status"] in ("kept", "dropped")]
    lines = [
        f"{row['path']},{row['frame']},{number % 7},{'ab'[number % 2]}" for number, row in enumerate(slices[::3])
    ]
    table = tmp_path / "labels.csv"
    table.write_text("path,frame,label,arm\n" + "\n".join(lines) + "\n")
    options = {**SMALL, "epochs": 1, "frozen_epochs": 0, "positive": None, "weights": between, "seeds": 1}
    targets: dict[str, Any] = {"target": "regression", "subgroup_columns": ["arm"]}
    result = ctprune.finetune(run, labels=table, out=tmp_path / "ft", **options, **targets)
    assert any("that channel repeats the image" in note for note in result.notes)
    assert [group["value"] for group in result.subgroups[0]["groups"]] == ["a", "b"]
    found = ctprune.predict(tmp_path / "ft", archive)
    there = {
        (Path(image).resolve(), frame): row
        for image, frame, row in zip(found.images, found.frames, found.probabilities, strict=True)
    }
    # Here each slice has its neighbors, as in the training.
    for row in pq.read_table(tmp_path / "ft" / "predictions.parquet").to_pylist():
        name, _, frame = row["image"].partition("#")
        own = there[(archive / name).resolve(), int(frame or 0)]
        assert own.item() == pytest.approx(row["prediction"], abs=1e-4)


def test_pictures_without_volumes_are_refused(folders: Path, between: Path, tmp_path: Path) -> None:
    with pytest.raises(ctprune.TaskError, match="none of the images has a position in a volume: give DICOM"):
        ctprune.finetune(folders, out=tmp_path / "ft", weights=between, mode="linear", **SMALL)
    arrays = {f"{split}_images": np.zeros((4, 28, 28), np.uint8) for split in ("train", "val", "test")}
    arrays |= {f"{split}_labels": np.array([[0], [1], [0], [1]]) for split in ("train", "val", "test")}
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(ctprune.TaskError, match=r"mnist\.npz: the backbone was pre-trained with neighboring"):
        read_images(list_task(tmp_path / "mnist.npz"), side=32, channels=CHANNELS)
