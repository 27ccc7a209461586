"""Probes during a pre-training, the moving average of its weights, and the backbones that it keeps on the way."""

from __future__ import annotations

import copy
import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import ctprune
from ctprune.pretraining.linear_probe import deal_out, linear_measures
from ctprune.pretraining.moving_average import MovingAverage
from tests.pretraining.tiny import stopped_after, tiny


@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_probe_equals_a_loop_that_leaves_patients_out(classes: int) -> None:
    rng = np.random.default_rng(3)
    patients = rng.permutation(np.repeat(np.arange(24), 3))
    labels = patients % classes
    features = (rng.normal(size=(72, 10)) + labels[:, None] * np.linspace(0, 1, 10)).astype(np.float32)
    # What never changes must not divide by zero.
    features[:, 4] = 7
    found = linear_measures(features, labels, patients)
    # Patients of class 0 first, in the order of their numbers, dealt out to five.
    order = sorted(set(patients.tolist()), key=lambda patient: (patient % classes, patient))
    group = {patient: number % 5 for number, patient in enumerate(order)}
    probabilities = np.zeros((72, classes))
    for left_out in range(5):
        test = np.array([group[patient] == left_out for patient in patients.tolist()])
        train = features[~test].astype(float)
        spread = np.where(train.std(0) > 0, train.std(0), 1)
        model = LogisticRegression(C=0.01, class_weight="balanced").fit(
            (train - train.mean(0)) / spread, labels[~test]
        )
        probabilities[test] = model.predict_proba((features[test] - train.mean(0)) / spread)
    assert found.accuracy == (probabilities.argmax(1) == labels).mean()
    areas = [roc_auc_score(labels == number, probabilities[:, number]) for number in range(classes)]
    assert found.auc == pytest.approx(np.mean(areas))
    assert 0.7 < found.auc < 1


def test_patients_stay_together_and_classes_are_spread() -> None:
    patients = np.repeat(np.arange(10), 4)
    labels = np.repeat([0, 1], 20)
    groups = deal_out(labels, patients, 5)
    for patient in range(10):
        assert len(set(groups[patients == patient].tolist())) == 1
    for group in range(5):
        assert np.bincount(labels[groups == group]).tolist() == [4, 4]
    # Fewer patients than groups: each is left out by itself. A class that is never fitted gets no probability.
    few = linear_measures(np.eye(4, dtype=np.float32), np.array([0, 0, 1, 2]), np.array([5, 6, 7, 8]))
    assert (few.accuracy <= 0.5, 0 <= few.auc <= 1) == (True, True)
    alone = linear_measures(np.eye(2, dtype=np.float32), np.array([0, 1]), np.array([0, 1]))
    assert alone == (0.0, 0.0)


def test_the_average_equals_a_loop() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 2), torch.nn.BatchNorm2d(3))
    average = MovingAverage(network, momentum=0.6)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    for step in range(1, 8):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += torch.randn_like(parameter)
        network(torch.randn(4, 1, 5, 5))
        average.follow(network, step)
        momentum = min(0.6, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                expected[name] = momentum * expected[name] + (1 - momentum) * value
    for name, value in average.network.state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-6), name
    assert not any(parameter.requires_grad for parameter in average.network.parameters())


@pytest.mark.slow
def test_both_are_probed_kept_and_resumed_to_the_bit(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ctprune.Manifest.load(run).kept().to_dicts()
    for number, row in enumerate(rows[:24]):
        folder = tmp_path / "probe" / ("upper" if number % 2 else "lower")
        folder.mkdir(parents=True, exist_ok=True)
        os.link(Path(row["source"], row["path"]), folder / f"{number}.dcm")
    options: dict[str, Any] = {"probe": str(tmp_path / "probe"), "average_momentum": 0.5, "backbone_every": 1}
    config = tiny("simclr", epochs=3, **options)
    whole = ctprune.pretrain(run, config, out=tmp_path / "whole")
    kept = sorted(file.name for file in (tmp_path / "whole" / "backbones").iterdir())
    # The last is backbone.safetensors.
    assert kept == ["epoch-0001.safetensors", "epoch-0002.safetensors"]
    steps = whole.summary["steps"]
    with stopped_after(steps - 1, monkeypatch), pytest.raises(ctprune.Interrupted):
        ctprune.pretrain(run, config, out=tmp_path / "parts")
    parts = ctprune.pretrain(run, config, out=tmp_path / "parts", resume=True)
    for name in ("backbone.safetensors", "backbone-average.safetensors", *(f"backbones/{name}" for name in kept)):
        own, other = (ctprune.load_backbone(tmp_path / to / name).state_dict() for to in ("whole", "parts"))
        assert all(torch.equal(own[key], other[key]) for key in own), name
    last, average, first = (
        ctprune.load_backbone(tmp_path / "whole" / name).state_dict()["conv1.0.weight"]
        for name in ("backbone.safetensors", "backbone-average.safetensors", "backbones/epoch-0001.safetensors")
    )
    assert not torch.equal(last, average)
    assert not torch.equal(last, first)
    with (tmp_path / "whole" / "logs" / "metrics.csv").open(newline="") as stream:
        ends = [row for row in csv.DictReader(stream) if row["rankme"]]
    assert len(ends) == 3
    for name in ("knn_accuracy", "linear_accuracy", "linear_auc"):
        for column in (name, f"average_{name}"):
            assert all(0 <= float(row[column]) <= 1 for row in ends)
            assert whole.summary[column] == parts.summary[column] == pytest.approx(float(ends[-1][column]))
    card = (tmp_path / "whole" / "README.md").read_text()
    assert "| moving average of the weights (0.5), kNN probe, accuracy | 0." in card


def test_an_average_of_an_average_is_refused() -> None:
    with pytest.raises(ctprune.ConfigError, match="`method` dino saves its teacher, which is a moving average"):
        tiny("dino", average_momentum=0.99)


def test_the_first_steps_forget_the_beginning() -> None:
    network = torch.nn.Linear(1, 1)
    average = MovingAverage(copy.deepcopy(network), momentum=0.999)
    with torch.no_grad():
        network.weight.fill_(100.0)
    for step in range(1, 11):
        average.follow(network, step)
    assert float(average.network.weight) > 99
