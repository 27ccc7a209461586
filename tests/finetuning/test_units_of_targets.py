"""Volumes with several labels, a level or a number each: from table to prediction, against plain loops."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import average_precision_score, cohen_kappa_score, log_loss, mean_absolute_error

import ctprune
from ctprune.finetuning import target_measured
from ctprune.finetuning.attention import Attention
from ctprune.finetuning.bags import units_of
from ctprune.finetuning.heads import load_head
from ctprune.finetuning.images import read_images
from ctprune.networks.backbone import backbone_metadata, load_backbone
from ctprune.networks.gray_backbone import GrayBackbone, Normalization, features_of
from ctprune.tasks import list_task
from ctprune.tasks.columns import Columns
from tests.finetuning.small import SMALL
from tests.nifti_volumes import write_volume

LABELS, LEVELS = ["", "nodule", "edema", "edema;nodule"], ["none", "mild", "severe"]
LAYERS = ("number_weight", "label_weight", "level_weight")
COLUMNS = {"multi-label": "found", "ordinal": "grade", "regression": "ml"}

WAYS: list[tuple[str, str, dict[str, Any]]] = [
    ("multi-label", "linear", {}),
    ("multi-label", "linear", {"pool": "top-k", "top_k": 2}),
    ("multi-label", "knn", {"pool": "top-k", "top_k": 2, "neighbors": 5}),
    ("multi-label", "finetune", {"pool": "top-k", "top_k": 2}),
    ("multi-label", "linear", {"pool": "attention", "class_weights": True}),
    ("ordinal", "linear", {"class_weights": True}),
    ("ordinal", "linear", {"pool": "attention"}),
    ("ordinal", "knn", {"neighbors": 9}),
    ("ordinal", "finetune", {"class_weights": True}),
    ("regression", "linear", {}),
    ("regression", "linear", {"pool": "attention"}),
    ("regression", "knn", {"neighbors": 3}),
    ("regression", "finetune", {}),
]


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all else here, and is the same for images."""
    for name in ("save_label_plots", "save_level_plots", "save_number_plots"):
        monkeypatch.setattr(target_measured, name, lambda *arguments: None)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 volumes of three or four slices, each its own patient: 9 in train, 3 in val, 6 in test."""
    root = tmp_path_factory.mktemp("volumes")
    rows = [["path", "found", "grade", "ml", "split"]]
    for number in range(18):
        name = f"v{number:02d}.nii.gz"
        write_volume(root / name, number % 4 in (1, 3), number, 3 + number % 2)
        split = "train" if number < 9 else "val" if number < 12 else "test"
        rows.append([name, LABELS[number % 4], LEVELS[(0, 1, 0, 2)[number % 4]], str(number * 1.5), split])
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root / "labels.csv"


def options_of(target: str, mode: str, others: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = SMALL | {"positive": None, "target": target, "mode": mode, "seeds": 1}
    options |= {"label_column": COLUMNS[target], "levels": LEVELS if target == "ordinal" else ()}
    return options | ({"epochs": 2, "frozen_epochs": 1} if mode == "finetune" else {}) | others


def truth_of(target: str, rows: list[dict[str, Any]]) -> np.ndarray:
    if target == "multi-label":
        return np.array([[name in row["label"].split(";") for name in ("edema", "nodule")] for row in rows])
    if target == "ordinal":
        return np.array([LEVELS.index(row["label"]) for row in rows])
    return np.array([row["label"] for row in rows])


def weights_of(target: str, truth: np.ndarray, weigh: bool) -> list[np.ndarray | None]:
    """How much each volume counts for each label or threshold.

    Of nine in train, four have edema, four have a nodule, and five, two and two are of the three levels.
    """
    if not weigh:
        return [None, None]
    if target == "ordinal":
        return [np.array([9 / (3 * (5, 2, 2)[level]) for level in truth])] * 2
    return [np.array([9 / (2 * (4 if has else 5)) for has in column]) for column in truth.T]


def loss_of(target: str, truth: np.ndarray, predicted: np.ndarray, weigh: bool) -> float:
    """From scikit-learn and by hand; numbers in units of the spread of train's, 0 to 12 in steps of 1.5."""
    if target == "regression":
        return float(np.mean((truth - predicted[:, 0]) ** 2) / np.var(np.arange(9) * 1.5))
    weights = weights_of(target, truth, weigh)
    if target == "ordinal":
        predicted = np.stack([predicted[:, 1:].sum(1), predicted[:, 2]], axis=1)
        truth = np.stack([truth > 0, truth > 1], axis=1)
    columns = zip(truth.T, predicted.T, weights, strict=True)
    total = sum(log_loss(one, p, labels=[0, 1], sample_weight=w, normalize=False) for one, p, w in columns)
    return float(total) / truth.size


def attended(tensors: dict[str, np.ndarray], weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    """What follows attention, from its weights of a volume's slices."""
    pooled = sum(w * one for w, one in zip(weights, (features - tensors["mean"]) / tensors["scale"], strict=True))
    [kind] = [name.removesuffix("_weight") for name in tensors if name in LAYERS]
    outputs = np.array([row @ pooled for row in tensors[f"{kind}_weight"]]) + tensors[f"{kind}_bias"]
    if kind == "number":
        return outputs
    shares = 1 / (1 + np.exp(-outputs))
    return shares if kind == "label" else np.array([1 - shares[0], shares[0] - shares[1], shares[1]])


def of_slices(out: Path, table: Path, target: str, mode: str, k: int | None) -> dict[str, np.ndarray]:
    """What a loop over the volumes' slices predicts, by file."""
    about = json.loads((out / "model" / "model.json").read_text())
    file = out / "model" / about["backbones"]["0"]
    network = GrayBackbone(load_backbone(file), Normalization.of_weights(backbone_metadata(file))).eval()
    head = load_head(out / "model" / about["heads"]["0"])
    levels = LEVELS if target == "ordinal" else ()
    columns = Columns(label=COLUMNS[target])
    images = read_images(list_task(table, target=target, levels=levels, columns=columns), side=32)
    found = {}
    for name in sorted({entry.name.partition("#")[0] for entry in images.entries}):
        rows = np.array([n for n, entry in enumerate(images.entries) if entry.name.startswith(name)])
        features = features_of(network, images.pixels, rows, batch=8, device=torch.device("cpu"), precision="32")
        if isinstance(head, Attention):
            found[name] = attended(head.tensors(), head.weights(features), features)
        elif k is not None:
            found[name] = np.sort(head.probabilities(features), axis=0)[-k:].mean(axis=0)
        elif mode == "finetune":
            found[name] = head.probabilities(features).mean(axis=0)
        else:
            found[name] = head.probabilities(features.mean(axis=0, keepdims=True))[0]
    return found


@pytest.mark.parametrize(("target", "mode", "others"), WAYS)
def test_each_way_from_volumes_to_prediction(
    table: Path, weights: Path, tmp_path: Path, target: str, mode: str, others: dict[str, Any]
) -> None:
    out = tmp_path / "ft"
    options = options_of(target, mode, others)
    result = ctprune.finetune(table, out=out, unit="volume", weights=weights, **options)
    counts = {split: sum(found.values()) for split, found in result.splits.items()}
    assert counts == {"train": 9, "val": 3, "test": 6}
    [seed] = result.per_seed
    assert (seed["units_used"], seed["images_used"]) == (9, 31)
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    chosen, judged = ([row for row in rows if row["split"] == split] for split in ("val", "test"))
    predicted = [
        np.array([row["prediction"] if target == "regression" else row["probabilities"] for row in part])
        for part in (chosen, judged)
    ]
    of_chosen, of_judged = (one.reshape(len(one), -1) for one in predicted)
    expected = loss_of(target, truth_of(target, chosen), of_chosen, bool(options.get("class_weights")))
    assert seed["select_loss"] == pytest.approx(expected, rel=1e-4)
    truth = truth_of(target, judged)
    if target == "multi-label":
        expected = average_precision_score(truth, of_judged, average="macro")
        assert seed["metrics"]["average_precision"] == pytest.approx(expected)
        assert result.label_counts["test"] == {"edema": 2, "nodule": 3}
        # A file of several slices counts as a patient.
        few = "2 patients with volumes with label edema: no interval can be estimated from fewer than 6"
        assert result.no_interval == few
    elif target == "ordinal":
        guess = [next(k for k in range(3) if one[: k + 1].sum() >= 0.5 - 1e-9) for one in of_judged]
        expected = cohen_kappa_score(truth, guess, weights="quadratic")
        assert seed["metrics"]["quadratic_kappa"] == pytest.approx(expected, nan_ok=True)
    else:
        assert seed["metrics"]["mae"] == pytest.approx(mean_absolute_error(truth, of_judged[:, 0]))
    if options.get("pool") == "attention":
        epochs = [row for row in csv.DictReader((out / "history.csv").read_text().splitlines()) if row["epoch"]]
        assert len(epochs) == 100
        assert min(float(row["select_loss"]) for row in epochs) == pytest.approx(seed["select_loss"])
        assert float(epochs[seed["best_epoch"] - 1]["select_loss"]) == pytest.approx(seed["select_loss"])
    slow = of_slices(out, table, target, mode, options.get("top_k"))
    assert [row["image"] for row in judged] == [f"volume-{number + 1:04d}" for number in range(12, 18)]
    for number, row in enumerate(of_judged):
        np.testing.assert_allclose(row, slow[f"v{12 + number:02d}.nii.gz"], atol=1e-5)
    found = ctprune.predict(out, table.parent, device="cpu")
    assert (found.unit, len(found.units), sum(found.counts)) == ("volume", 18, 63)
    np.testing.assert_allclose(found.probabilities[12:], of_judged, atol=1e-5)
    card = (out / "README.md").read_text()
    assert "Test: 6 volumes" in card
    assert "each volume counts once" in card
    balanced = {"multi-label": "images with and without each label", "ordinal": "all levels"}.get(target)
    said = f"In training, {balanced} weighed the same in total" in card
    assert said == bool(options.get("class_weights"))


def test_labels_of_a_volume_that_contradict_each_other(tmp_path: Path) -> None:
    write_volume(tmp_path / "v.nii.gz", False, 0, 3)

    def units(target: str, *labels: str) -> Any:
        rows = [f"v.nii.gz,{frame},{label}" for frame, label in enumerate(labels)]
        (tmp_path / "labels.csv").write_text("\n".join(["path,frame,label", *rows]))
        return units_of(
            read_images(list_task(tmp_path / "labels.csv", target=target), side=32), "volume", tmp_path
        )

    with pytest.raises(
        ctprune.TaskError, match=r"belong to one volume .* different labels, edema and none: give all"
    ):
        units("multi-label", "edema", "edema", "")
    assert len(units("multi-label", "edema;nodule", "nodule; edema", "nodule;edema")) == 1
    with pytest.raises(
        ctprune.TaskError, match=r"different labels, 1\.0 and 2\.0: give all images of a volume one"
    ):
        units("regression", "1", "2", "3")
