"""Fine-tuning: every kind of task, the three modes, resuming, the result folder, and mistakes in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import ctprune

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402
from sklearn import metrics as sk  # noqa: E402

from ctprune.backbone import create_backbone, save_backbone  # noqa: E402
from ctprune.finetuning.result import FinetuneResult  # noqa: E402

SMALL: dict[str, Any] = {"backbone": "resnet18", "side": 32, "batch_size": 8, "device": "cpu"}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def picture(ill: bool, number: int) -> np.ndarray:
    """A noisy disk, brighter for the ill, that no other picture is a near-duplicate of."""
    random = np.random.default_rng([ill, number])
    rows, columns = np.mgrid[:40, :40]
    disk = (rows - 20) ** 2 + (columns - 20) ** 2 < (14 if ill else 8) ** 2
    return np.clip(random.normal(60, 40, (40, 40)) + disk * 120, 0, 255).astype(np.uint8)


def write(file: Path, ill: bool, number: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(ill, number)).save(file)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class: 20 patients with two pictures each."""
    root = tmp_path_factory.mktemp("classes") / "data"
    for number in range(20):
        ill = number % 2 == 1
        for side in range(2):
            write(root / ("ill" if ill else "healthy") / f"p{number:02d}_{side}.png", ill, 2 * number + side)
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "backbone.safetensors"
    metadata = {"method": "swav", "mean": 0.3, "std": 0.2, "intensity": "minmax"}
    save_backbone(create_backbone("resnet18"), file, name="resnet18", metadata=metadata)
    return file


def test_a_folder_per_class_in_three_modes_and_prediction(folders: Path, weights: Path, tmp_path: Path) -> None:
    for mode in ("finetune", "linear", "knn"):
        options = {"epochs": 2, "frozen_epochs": 1} if mode == "finetune" else {}
        result = ctprune.finetune(
            folders, out=tmp_path / mode, mode=mode, weights=weights, seeds=2, val_fraction=0.3, **SMALL, **options
        )
        check_result(tmp_path / mode, result)
        check_prediction(tmp_path / mode, folders)


def check_result(out: Path, result: FinetuneResult) -> None:
    about = json.loads((out / "metrics.json").read_text())
    assert about == result.to_dict()
    assert FinetuneResult.load(out).to_dict() == about
    table = pq.read_table(out / "predictions.parquet")
    assert json.loads(table.schema.metadata[b"ctprune"])["classes"] == ["healthy", "ill"]
    rows = [row for row in table.to_pylist() if row["split"] == about["evaluated_split"]]
    assert {row["seed"] for row in rows} == {0, 1}
    for seed in about["per_seed"]:
        mine = [row for row in rows if row["seed"] == seed["seed"]]
        truth = [row["label"] == "ill" for row in mine]
        score = [row["probabilities"][1] for row in mine]
        assert seed["metrics"]["auc"] == pytest.approx(sk.roc_auc_score(truth, score))
        assert seed["metrics"]["accuracy"] == pytest.approx(sk.accuracy_score(truth, np.array(score) > 0.5))
    means = [seed["metrics"]["auc"] for seed in about["per_seed"]]
    assert about["pooled"]["auc"]["mean"] == pytest.approx(np.mean(means))
    assert "Classifier of healthy, ill" in (out / "README.md").read_text()
    assert sorted(path.name for path in (out / "plots").iterdir())[0] == "calibration.png"
    assert not (out / "progress").exists()


def check_prediction(out: Path, folders: Path) -> None:
    """`predict` gives the mean of what stands in the table."""
    rows = [row for row in pq.read_table(out / "predictions.parquet").to_pylist() if row["split"] == "val"]
    names = sorted({row["image"] for row in rows})
    found = ctprune.predict(out, [folders / name for name in names], out=out.parent / "p.csv", device="cpu")
    assert found.classes == ("healthy", "ill")
    for path, probabilities in zip(found.images, found.probabilities, strict=True):
        mine = [row["probabilities"] for row in rows if path.endswith(row["image"])]
        np.testing.assert_allclose(np.mean(mine, axis=0), probabilities, atol=1e-6)
    assert len((out.parent / "p.csv").read_text().splitlines()) == len(names) + 1
