"""Whole segmentations: what is written, resumed, and learned."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import ctprune
from ctprune.environment.progress import Progress
from ctprune.errors import Interrupted, OutputError
from ctprune.networks.backbone import create_backbone, save_backbone
from ctprune.segmenting import training
from ctprune.segmenting.dice import count_voxels, measures_of
from ctprune.segmenting.result import SegmentResult
from tests.segmenting.bodies import AFFINE, SMALL, body


def files_of(folder: Path) -> dict[str, Any]:
    """What all files of a result hold but those with times; safetensors writes its metadata in any order."""
    timed = {"metrics.json", "history.csv", "README.md", ".ctprune.lock"}
    found: dict[str, Any] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.suffix == ".safetensors":
            with safe_open(file, framework="np") as opened:
                weights = {key: opened.get_tensor(key).tobytes() for key in opened.keys()}  # noqa: SIM118
                found[name] = opened.metadata(), weights
        elif file.is_file() and file.name not in timed:
            found[name] = file.read_bytes()
    return found


def untimed(result: SegmentResult) -> dict[str, Any]:
    found = result.to_dict() | {"seconds": 0}
    return found | {"per_seed": [one | {"seconds": 0} for one in found["per_seed"]]}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "backbone.safetensors"
    metadata = {"method": "dino", "mean": 0.3, "std": 0.2, "intensity": "hu:-200,300"}
    save_backbone(create_backbone("test_resnet"), file, name="test_resnet", metadata=metadata)
    return file


@pytest.fixture(scope="module")
def frozen(pairs: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> SegmentResult:
    """Two seeds on frozen weights, with masks."""
    options = {name: value for name, value in SMALL.items() if name not in ("backbone", "intensity")}
    out = tmp_path_factory.mktemp("frozen") / "out"
    options |= {"mode": "frozen", "seeds": 2, "epochs": 3, "save_masks": True, "learning_rate": 0.01}
    return ctprune.segment(pairs, out=out, weights=weights, **options)


def test_a_frozen_backbone_stays_and_both_seeds_share_it(frozen: SegmentResult, weights: Path) -> None:
    before = load_file(weights)
    after = load_file(frozen.out / "model" / "backbone.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    decoders = [load_file(frozen.out / "model" / f"seed-{seed}" / "decoder.safetensors") for seed in (0, 1)]
    assert not torch.equal(decoders[0]["last.weight"], decoders[1]["last.weight"])
    assert frozen.weights is not None
    assert frozen.weights["metadata"]["method"] == "dino"
    about = json.loads((frozen.out / "model" / "model.json").read_text())
    assert (about["classes"], about["labels"], about["mean"]) == (["1", "2"], [1, 2], [0.3])
    assert about["intensity"] == "hu:-200,300"


def test_the_masks_are_those_that_the_measures_are_of(frozen: SegmentResult) -> None:
    masks = sorted((frozen.out / "masks").iterdir())
    assert len(masks) == frozen.splits["val"]["volumes"] == 1
    mask = nibabel.load(masks[0])
    number = int(masks[0].name[7:11]) - 1
    np.testing.assert_allclose(mask.affine, AFFINE)
    predicted, reference = np.asarray(mask.dataobj), body(number)[1]
    assert predicted.dtype == np.uint8
    dice = measures_of(count_voxels(predicted, reference, 2))["dice"]
    found = [frozen.ensemble["by_class"][name]["dice"]["mean"] for name in ("1", "2")]
    assert found == pytest.approx(dice.tolist(), nan_ok=True)
    with (frozen.out / "patients.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["seed"] for row in rows} == {"0", "1", "ensemble"}
    assert {row["patient"] for row in rows} == {f"patient-{number + 1:04d}"}
    [row] = [row for row in rows if row["seed"] == "ensemble" and row["class"] == "1"]
    assert float(row["dice"]) == pytest.approx(dice[0], abs=1e-6)
    assert float(row["reference_ml"]) == pytest.approx((reference == 1).sum() * 2 * 1.5 * 4 / 1000, abs=1e-3)


def test_a_finished_segmentation_is_read_and_another_one_is_refused(frozen: SegmentResult, pairs: Path) -> None:
    options = frozen.config | {"weights": None, "backbone": "test_resnet", "device": "cpu"}
    with pytest.raises(OutputError, match="holds a segmentation of other data, weights or options"):
        ctprune.segment(pairs, out=frozen.out, **options)
    assert SegmentResult.load(frozen.out).to_dict() == frozen.to_dict()


def test_masks_of_a_finished_segmentation_are_written_without_training(
    frozen: SegmentResult, pairs: Path, tmp_path: Path
) -> None:
    shutil.copytree(frozen.out, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "masks")
    stages = set()
    options = frozen.config | {"device": "cpu", "save_masks": True}
    again = ctprune.segment(pairs, out=tmp_path / "out", progress=lambda now: stages.add(now.stage), **options)
    assert again.to_dict() == frozen.to_dict()
    assert "training" not in stages
    for file in (frozen.out / "masks").iterdir():
        assert (tmp_path / "out" / "masks" / file.name).read_bytes() == file.read_bytes()


def test_a_stopped_training_goes_on_to_the_same_bytes(pairs: Path, tmp_path: Path) -> None:
    options = SMALL | {"seeds": 2, "epochs": 2, "flip": True}
    whole = ctprune.segment(pairs, out=tmp_path / "whole", **options)
    for stop_at in (("seed 1/2", 1), ("seed 2/2", 1)):

        def stop(now: Progress, at: tuple[str, int] = stop_at) -> None:
            if now.stage == "training" and (now.part, now.done) == at:
                now.stop()

        with pytest.raises(Interrupted, match=r"what is trained is saved: rerun to resume$"):
            ctprune.segment(pairs, out=tmp_path / "stopped", progress=stop, **options)
        assert not (tmp_path / "stopped" / "metrics.json").exists()
    resumed = ctprune.segment(pairs, out=tmp_path / "stopped", **options)
    assert untimed(resumed) == untimed(whole)
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "whole")


def test_a_damaged_checkpoint_gets_one_sentence(pairs: Path, tmp_path: Path) -> None:
    options = SMALL | {"epochs": 2}

    def stop(now: Progress) -> None:
        if now.stage == "training" and now.done == 1:
            now.stop()

    with pytest.raises(Interrupted):
        ctprune.segment(pairs, out=tmp_path / "out", progress=stop, **options)
    [checkpoint] = (tmp_path / "out" / "progress").glob("*.ckpt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000])
    with pytest.raises(ctprune.WeightsError, match=r"seed-0.ckpt: the checkpoint is damaged: delete it"):
        ctprune.segment(pairs, out=tmp_path / "out", **options)


def test_a_loss_that_is_not_finite_gets_one_sentence(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "segmentation_loss", lambda logits, labels: logits.mean() * torch.nan)
    with pytest.raises(ctprune.TrainingError, match=r"^seed 0, epoch 1: the loss is not finite: try a smaller"):
        ctprune.segment(pairs, out=tmp_path / "out", **SMALL)


def test_lungs_of_phantoms_are_learned_from_dicom(tmp_path: Path) -> None:
    """Better than the best that any constant prediction reaches."""
    archive = tmp_path / "dicoms"
    scans = {"length_mm": 160, "spacing_mm": 40, "reconstructions": 1, "reports": False}
    ctprune.phantom.write_archive(
        archive, patients=4, size=64, masks=True, test_patients=1, val_patients=1, **scans
    )
    options = SMALL | {"epochs": 15, "learning_rate": 0.003, "batch_size": 4, "mode": "frozen"}
    options |= {"intensity": "hu:-1000,400", "classes": "1=lung"}
    result = ctprune.segment(archive / "masks.csv", out=tmp_path / "out", **options)
    assert result.evaluated_split == "test"
    assert {name: counts["patients"] for name, counts in result.splits.items()} == {
        "train": 2,
        "val": 1,
        "test": 1,
    }
    reference = np.asarray(nibabel.load(next((archive / "P0004").glob("*.nii.gz"))).dataobj) == 1
    share = reference.mean()
    everywhere = 2 * share / (1 + share)
    assert everywhere < 0.4
    dice = result.by_class["lung"]["dice"]["mean"]
    assert dice is not None
    assert dice > 0.6
