"""Fine-tuning and prediction on a GPU, against the same on a CPU; without a GPU, against the CPU itself."""

from __future__ import annotations

import csv
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ctprune
from ctprune.finetuning import measured, training
from ctprune.networks.gray_backbone import GrayBackbone
from tests.finetuning.small import SMALL
from tests.switches import PLAIN, watch_switches

GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]

DEVICES = ["cpu", pytest.param("cuda", marks=GPU)]

#: All weights of a small network, on changed images.
WHOLE: dict[str, Any] = {"epochs": 3, "frozen_epochs": 1, "learning_rate": 1e-3, "augment": "standard"}

#: Attention over the images of a patient, on frozen features.
ATTENTION: dict[str, Any] = {"mode": "linear", "unit": "patient", "pool": "attention"}


@pytest.fixture(autouse=True, scope="module")
def _no_plots() -> Any:
    """They take longer than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured, "save_plots", lambda *arguments, **options: None)
        yield


def tuned(folders: Path, out: Path, **options: Any) -> Path:
    """The folder of a fine-tuning of random weights."""
    small = SMALL | {"backbone": "test_resnet", "weights": "none", "patient_pattern": r"(p\d+)_", "seeds": 1}
    ctprune.finetune(folders, out=out, **small | {"precision": "32", "val_fraction": 0.3} | options)
    return out


@pytest.fixture(scope="module")
def whole(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tuned(folders, tmp_path_factory.mktemp("whole") / "out", **WHOLE)


@pytest.fixture(scope="module")
def attention(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tuned(folders, tmp_path_factory.mktemp("attention") / "out", **ATTENTION)


def losses(out: Path) -> np.ndarray:
    """Losses of training and of selection, for each epoch."""
    with (out / "history.csv").open(newline="") as stream:
        return np.array([[float(row["train_loss"]), float(row["select_loss"])] for row in csv.DictReader(stream)])


@pytest.mark.parametrize(
    ("device", "precision"),
    [("cpu", "bf16"), pytest.param("cuda", "bf16", marks=GPU), pytest.param("cuda", "fp16", marks=GPU)],
)
def test_16_bits_on_changed_images_learn_as_32_do(
    device: str, precision: str, whole: Path, folders: Path, tmp_path: Path
) -> None:
    found = losses(tuned(folders, tmp_path / "out", device=device, precision=precision, **WHOLE))
    assert not np.array_equal(found, losses(whole))
    np.testing.assert_allclose(found, losses(whole), rtol=0.05)


@pytest.mark.parametrize("device", DEVICES)
def test_attention_learns_the_same(device: str, attention: Path, folders: Path, tmp_path: Path) -> None:
    found = losses(tuned(folders, tmp_path / "out", device=device, **ATTENTION))
    # cuDNN's convolutions have the 10 bits of TF32, also where 32 bits are asked for.
    np.testing.assert_allclose(found, losses(attention), rtol=0.03, atol=0.005)


@pytest.mark.parametrize("device", DEVICES)
def test_predictions_are_the_same(device: str, whole: Path, attention: Path, folders: Path) -> None:
    for model in (whole, attention):
        here, there = (ctprune.predict(model, folders, device=name) for name in ("cpu", device))
        assert there.images == here.images
        np.testing.assert_allclose(there.probabilities, here.probabilities, atol=0.01)


def test_weights_are_trained_with_the_fastest_algorithms_and_features_are_not(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch_switches(monkeypatch, GrayBackbone, training)
    for precision, products in (("bf16", "high"), ("32", "highest")):
        seen.clear()
        tuned(folders, tmp_path / precision, precision=precision, epochs=1, frozen_epochs=1)
        # Training first, then what is measured or saved.
        assert [key for key, _ in groupby(seen)] == [(True, products), PLAIN]
