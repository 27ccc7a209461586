"""Numbers as targets: training and probes against plain loops, all modes from table to prediction, refusals."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from jsonschema import Draft202012Validator
from sklearn.metrics import mean_absolute_error, r2_score

import ctprune
from ctprune.cli.schemas import json_schema
from ctprune.comparison.result import load_result
from ctprune.finetuning import training
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.heads import load_head, save_head
from ctprune.finetuning.images import read_images
from ctprune.finetuning.result import FinetuneResult
from ctprune.finetuning.target_heads import NeighborMeanHead
from ctprune.finetuning.target_probes import STRENGTHS, ridge_probe
from ctprune.finetuning.target_training import TargetTraining
from ctprune.finetuning.training import TrainingSet
from ctprune.networks.gray_backbone import GrayBackbone, Normalization
from ctprune.tasks import list_task
from ctprune.tasks.targets import targets_of
from tests.finetuning.small import SMALL
from tests.labeled import write

NUMBERS: dict[str, Any] = SMALL | {"positive": None, "target": "regression"}


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 20 patients with two pictures each, labeled with a volume in ml."""
    folder = tmp_path_factory.mktemp("numbers")
    rows = [["path", "label", "patient", "sex"]]
    for patient in range(20):
        for side in range(2):
            name = f"{patient:02d}_{side}.png"
            write(folder / name, patient % 2 == 1, 2 * patient + side)
            rows.append([name, f"{3 + 20 * (patient % 2) + patient / 4}", f"p{patient}", "fm"[patient % 4 // 2]])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "labels.csv"


@pytest.mark.parametrize("mode", ["finetune", "linear", "knn"])
def test_from_table_to_prediction(numbers: Path, weights: Path, tmp_path: Path, mode: str) -> None:
    options = {"epochs": 2, "frozen_epochs": 1} if mode == "finetune" else {}
    if mode == "linear":
        options = {"subgroup_columns": ["sex"]}
    out = tmp_path / mode
    result = ctprune.finetune(
        numbers, out=out, mode=mode, weights=weights, seeds=2, val_fraction=0.4, **(NUMBERS | options)
    )
    about = json.loads((out / "metrics.json").read_text())
    assert about == FinetuneResult.load(out).to_dict()
    Draft202012Validator(json_schema("finetune")["properties"]["result"]).validate(about)
    assert (about["classes"], about["positive"], about["calibrated"]) == ([], None, None)
    rows = [row for row in pq.read_table(out / "predictions.parquet").to_pylist() if row["split"] == "val"]
    for seed in about["per_seed"]:
        mine = [row for row in rows if row["seed"] == seed["seed"]]
        truth, guess = [row["label"] for row in mine], [row["prediction"] for row in mine]
        assert seed["metrics"]["mae"] == pytest.approx(mean_absolute_error(truth, guess))
        assert seed["metrics"]["r2"] == pytest.approx(r2_score(truth, guess))
        assert seed["select_loss"] > 0
    pooled = result.pooled["mae"]
    assert pooled["low"] < pooled["mean"] < pooled["high"]
    assert [one["value"] for column in result.subgroups for one in column["groups"]] == (
        ["f", "m"] if mode == "linear" else []
    )
    card = (out / "README.md").read_text()
    assert card.startswith("# Regression\n")
    assert "mean absolute error" in card
    assert sorted(path.name for path in (out / "plots").glob("*.svg")) == ["differences.svg", "predicted.svg"]
    check_prediction(out, numbers.parent, rows)


def check_prediction(out: Path, folder: Path, rows: list[dict[str, Any]]) -> None:
    names = sorted({row["image"] for row in rows})
    found = ctprune.predict(out, [folder / name for name in names], out=out.parent / "p.csv", device="cpu")
    assert (found.classes, found.labels, found.target) == ((), [], "regression")
    for path, numbers in zip(found.images, found.probabilities, strict=True):
        mine = [row["prediction"] for row in rows if path.endswith(row["image"])]
        assert numbers[0] == pytest.approx(np.mean(mine), rel=1e-5)
    with (out.parent / "p.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["image", "frame", "prediction"]
    with pytest.raises(ctprune.ConfigError, match="calibrated belongs to models of classes"):
        ctprune.predict(out, folder / names[0], calibrated=True)
    read = load_result(out, name="a")
    mine = sorted((row for row in rows if row["seed"] == read.seeds[1]), key=lambda row: row["image"])
    assert read.labels[:, 0].tolist() == [row["label"] for row in mine]
    assert read.probabilities[1, :, 0].tolist() == [row["prediction"] for row in mine]


def test_training_equals_a_plain_loop(numbers: Path, weights: Path, tmp_path: Path) -> None:
    images = read_images(list_task(numbers, target="regression"), side=32)
    targets = targets_of(images.entries, "regression")
    data = TrainingSet(images.pixels, images.labels, np.arange(20), np.arange(20, 40), 1)
    config = FinetuneConfig(target="regression", epochs=3, frozen_epochs=2, batch_size=20, flip=False, side=32)
    network = GrayBackbone(ctprune.load_backbone(weights), Normalization((0.3,), (0.2,)))
    cpu = torch.device("cpu")
    inputs = (network, data, config, 5, cpu, "32", tmp_path / "no.ckpt", lambda epoch: None)
    run = TargetTraining(*inputs, targets=targets, outputs=1)
    head = run.run()

    backbone = ctprune.load_backbone(weights)
    torch.manual_seed(5)
    linear = torch.nn.Linear(512, 1)
    optimizer = torch.optim.Adam([*backbone.parameters(), *linear.parameters()], lr=1e-4, weight_decay=5e-4)
    pictures = (torch.from_numpy(images.pixels).float() / 255 - 0.3)[:, None].expand(-1, 3, -1, -1) / 0.2
    mean, std = targets[:20].mean(), targets[:20].std()
    weights_of, predicted = [], []
    # One step of all weights: Adam makes much of what rounding leaves of a gradient of zero.
    for epoch in (1, 2, 3):
        backbone.train(epoch == 3)
        order = torch.randperm(20, generator=torch.Generator().manual_seed(training.mixed(5, epoch)))
        total = 0.0
        for batch in order.split(20):
            features = backbone(pictures[batch])
            outputs = linear(features.detach() if epoch < 3 else features)
            loss = torch.zeros(())
            for output, image in zip(outputs, batch.tolist(), strict=True):
                loss = loss + (output[0] - (targets[image, 0] - mean) / std) ** 2 / len(batch)
            optimizer.zero_grad()
            loss.backward()
            if epoch < 3:
                for parameter in backbone.parameters():
                    parameter.grad = None
            optimizer.step()
            total += loss.item() * len(batch)
        assert run.history[epoch - 1].train_loss == pytest.approx(total / 20, rel=1e-5)
        assert run.history[epoch - 1].select_accuracy is None
        backbone.eval()
        with torch.no_grad():
            outputs = linear(backbone(pictures[20:]))[:, 0].double().numpy()
        predicted.append(outputs * std + mean)
        weights_of.append(linear.weight.detach().numpy() * std)
        loss_there = float(((outputs - (targets[20:, 0] - mean) / std) ** 2).mean())
        assert run.history[epoch - 1].select_loss == pytest.approx(loss_there, rel=1e-2)
    assert run.best_epoch == int(np.argmin([epoch.select_loss for epoch in run.history])) + 1
    np.testing.assert_allclose(head.tensors()["number_weight"], weights_of[run.best_epoch - 1], atol=2e-3)
    with torch.no_grad():
        features = network(torch.from_numpy(images.pixels[20:])).numpy()
    np.testing.assert_allclose(head.probabilities(features)[:, 0], predicted[run.best_epoch - 1], rtol=0.02)


def test_ridge_equals_its_normal_equations() -> None:
    random = np.random.default_rng(0)
    features = random.normal(3, 2, (60, 5)).astype(np.float32)
    numbers = features[:, :2].sum(axis=1, keepdims=True) * 100 + random.normal(0, 30, (60, 1)) + 1000
    found = ridge_probe((features[:40], numbers[:40]), (features[40:], numbers[40:]))
    x = (features[:40] - features[:40].mean(0)) / features[:40].std(0)
    y = (numbers[:40, 0] - numbers[:40].mean()) / numbers[:40].std()
    losses = []
    for strength in STRENGTHS:
        slope = np.linalg.solve(x.T @ x + np.eye(5) / strength, x.T @ y)
        guess = ((features[40:] - features[:40].mean(0)) / features[:40].std(0)) @ slope
        losses.append(float(((guess - (numbers[40:, 0] - numbers[:40].mean()) / numbers[:40].std()) ** 2).mean()))
    assert found.strength == STRENGTHS[int(np.argmin(losses))]
    assert found.loss == pytest.approx(min(losses), rel=1e-4)


def test_neighbors_are_averaged_as_a_plain_loop_says(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(30, 4)).astype(np.float32)
    targets, asked = random.normal(size=(30, 2)), random.normal(size=(3, 4)).astype(np.float32)
    head = NeighborMeanHead(features, targets, 5)
    save_head(head, tmp_path / "head.safetensors")
    found = load_head(tmp_path / "head.safetensors").probabilities(asked)
    for one, means in zip(asked, found, strict=True):
        cosines = [float(one @ f / math.sqrt((one @ one) * (f @ f))) for f in features]
        nearest = sorted(range(30), key=lambda index: -cosines[index])[:5]
        shares = [math.exp(cosines[index] / 0.07) for index in nearest]
        expected = sum(share * targets[index] for share, index in zip(shares, nearest, strict=True)) / sum(shares)
        np.testing.assert_allclose(means, expected, rtol=1e-4)


def test_mistakes_with_numbers(numbers: Path, folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ctprune.TaskError, match="expected numbers as labels for `target` regression") as refused:
        list_task(folders, target="regression")
    assert "healthy" not in str(refused.value)
    table = tmp_path / "labels.csv"
    for second, error in (
        ("nan", "found other text as the label of image 2"),
        ("2", "expected at least 3 different numbers"),
    ):
        lines = ["path,label", f"{numbers.parent}/00_0.png,1", f"{numbers.parent}/01_0.png,{second}"]
        table.write_text("\n".join(lines))
        with pytest.raises(ctprune.TaskError, match=error):
            list_task(table, target="regression")
    for options, error in (
        ({"positive": "1"}, "positive belongs to `target` classes, not to regression"),
        (
            {"class_weights": True},
            "class_weights belongs to `target` classes, multi-label or ordinal, not to regr",
        ),
        ({"preset": "reference"}, "preset reference belongs to `target` classes"),
        ({"target": "numbers"}, "target numbers: expected"),
    ):
        with pytest.raises(ctprune.ConfigError, match=error):
            FinetuneConfig(**({"target": "regression"} | options))
