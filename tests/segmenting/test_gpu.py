"""A segmentation on a GPU, against the same on a CPU; without a GPU, in 16 bits against 32 on the CPU."""

from __future__ import annotations

import csv
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch

import ctprune
from ctprune.exporting.nifti import save_nifti
from ctprune.segmenting import training
from ctprune.segmenting.network import Segmenter
from ctprune.segmenting.prediction import predict_volume
from ctprune.segmenting.saved_model import SavedModel
from tests.segmenting.bodies import AFFINE, SMALL, body
from tests.switches import PLAIN, watch_switches

GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]

WAYS = [("cpu", "bf16"), *(pytest.param("cuda", precision, marks=GPU) for precision in ("32", "bf16", "fp16"))]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five volumes with masks, written without nibabel, which a machine with a GPU may not have."""
    folder = tmp_path_factory.mktemp("volumes")
    for number in range(5):
        for name, values in zip(("", "_mask"), body(number), strict=True):
            save_nifti(folder / f"case{number}{name}.nii.gz", values.transpose(2, 1, 0), AFFINE)
    return folder


def segmented(data: Path, out: Path, device: str, precision: str, *, epochs: int = 10) -> Path:
    """The folder of a segmentation of random weights."""
    options = {"epochs": epochs, "learning_rate": 0.01, "device": device, "precision": precision}
    ctprune.segment(data, out=out, **SMALL | options)
    return out


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return segmented(data, tmp_path_factory.mktemp("expected") / "out", "cpu", "32")


def losses(out: Path) -> np.ndarray:
    with (out / "history.csv").open(newline="") as stream:
        return np.array([float(row["train_loss"]) for row in csv.DictReader(stream)])


@pytest.mark.parametrize(("device", "precision"), WAYS)
def test_a_segmentation_learns_the_same(
    device: str, precision: str, expected: Path, data: Path, tmp_path: Path
) -> None:
    found = losses(segmented(data, tmp_path / "out", device, precision))
    np.testing.assert_allclose(found, losses(expected), rtol=0.05)


@pytest.mark.parametrize(("device", "precision"), WAYS)
def test_masks_are_the_same_but_for_borders(device: str, precision: str, expected: Path) -> None:
    hu, _ = body(7, (32, 32, 6))
    pixels = np.clip((hu.transpose(2, 1, 0) + 200.0) / 500 * 255, 0, 255).astype(np.uint8)
    here, there = (
        predict_volume(
            SavedModel.load(expected).networks(torch.device(where)),
            pixels,
            24,
            32,
            batch=4,
            device=torch.device(where),
            precision=bits,
        )
        for where, bits in (("cpu", "32"), (device, precision))
    )
    assert len(np.unique(here)) > 1
    assert (there == here).mean() > 0.99


def test_weights_are_trained_with_the_fastest_algorithms_and_masks_are_not(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch_switches(monkeypatch, Segmenter, training)
    for precision, products in (("bf16", "high"), ("32", "highest")):
        seen.clear()
        segmented(data, tmp_path / precision, "cpu", precision, epochs=1)
        # Training first, then what is measured or saved.
        assert [key for key, _ in groupby(seen)] == [(True, products), PLAIN]
