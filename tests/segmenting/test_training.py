"""Whole segmentations: what is written, resumed, and learned."""

from __future__ import annotations

import copy
import csv
import json
import math
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
from ctprune.finetuning.training import mixed
from ctprune.networks.backbone import backbone_metadata, create_backbone, save_backbone
from ctprune.networks.gray_backbone import IMAGENET_NORMALIZATION
from ctprune.segmenting import training
from ctprune.segmenting.cases import list_cases
from ctprune.segmenting.config import SegmentConfig
from ctprune.segmenting.dice import count_voxels, measures_of
from ctprune.segmenting.loss import segmentation_loss
from ctprune.segmenting.network import Encoder, Segmenter
from ctprune.segmenting.prediction import save_mask
from ctprune.segmenting.result import SegmentResult
from ctprune.segmenting.training import SeedTraining, TrainingSet
from ctprune.segmenting.volumes import read_volumes
from tests.segmenting.bodies import AFFINE, SMALL, body, save


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
    metadata = {"method": "dino", "mean": 0.3, "std": 0.2, "intensity": "hu:-200,300", "reduced": {"kept": 5}}
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
    facts = backbone_metadata(frozen.out / "model" / "backbone.safetensors")
    assert (facts["method"], facts["channels"], facts["finetuned"]) == ("dino", "gray", False)
    assert facts["pretraining"] == backbone_metadata(weights)


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


@pytest.mark.parametrize("frozen", [False, True])
def test_training_equals_a_plain_loop(frozen: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, (7, 32, 32)).astype(np.uint8)
    pixels = (80 * labels + random.integers(0, 40, labels.shape)).astype(np.uint8)
    torch.manual_seed(0)
    encoder = Encoder(create_backbone("test_resnet"), IMAGENET_NORMALIZATION, 32)
    network = Segmenter(encoder, 3, frozen=frozen)
    plain = copy.deepcopy(network)
    config = SegmentConfig(
        mode="frozen" if frozen else "finetune", epochs=3, batch_size=2, learning_rate=0.01, weight_decay=0.1
    )
    data = TrainingSet(pixels, labels, np.array([0, 2, 3, 5, 6]), np.array([1, 4]))
    found = SeedTraining(
        network, data, config, 7, torch.device("cpu"), "32", tmp_path / "checkpoint", lambda epoch: None
    )
    found.run()

    parameters = plain.decoder.parameters() if frozen else plain.parameters()
    optimizer = torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)
    states, dices, done = [], [], 0
    for epoch in (1, 2, 3):
        plain.train()
        generator = torch.Generator().manual_seed(mixed(7, epoch))
        order = data.train[torch.randperm(5, generator=generator).numpy()]
        # The last slice would be alone in its batch.
        for batch in (order[:2], order[2:]):
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * 0.5 * (1 + math.cos(math.pi * done / 6))
            optimizer.zero_grad()
            logits = plain(torch.from_numpy(pixels[batch]))
            segmentation_loss(logits, torch.from_numpy(labels[batch]).long()).backward()
            optimizer.step()
            done += 1
        plain.eval()
        with torch.no_grad():
            predicted = plain(torch.from_numpy(pixels[data.select])).argmax(1).numpy()
        truth = labels[data.select]
        pairs = [((predicted == c), (truth == c)) for c in (1, 2)]
        dices.append(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs]))
        states.append(copy.deepcopy(plain.state_dict()))
    assert [epoch.select_dice for epoch in found.history] == pytest.approx(dices)
    assert found.best_epoch == 1 + int(np.argmax(dices))
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, states[found.best_epoch - 1][name], rtol=1e-5, atol=1e-6)


def test_mixed_precision_trains_to_nearly_the_same(pairs: Path, tmp_path: Path) -> None:
    losses = {}
    for precision in ("32", "bf16"):
        ctprune.segment(pairs, out=tmp_path / precision, **(SMALL | {"precision": precision}))
        with (tmp_path / precision / "history.csv").open(newline="") as stream:
            [row] = csv.DictReader(stream)
        losses[precision] = float(row["train_loss"])
    assert losses["bf16"] != losses["32"]
    assert losses["bf16"] == pytest.approx(losses["32"], rel=0.02)


@pytest.mark.parametrize(
    ("labels", "kind"), [((1, 255), np.uint8), ((7, 500), np.int16), ((1, 65535), np.float32)]
)
def test_saved_masks_have_the_datas_own_labels(
    labels: tuple[int, int], kind: type[np.generic], tmp_path: Path
) -> None:
    hu, mask = body(0)
    save(tmp_path / "a.nii.gz", hu)
    save(tmp_path / "a_mask.nii.gz", np.array([0, *labels], np.uint16)[mask])
    volumes = read_volumes(list_cases(tmp_path), side=16, intensity="hu:-200,300", modality="CT", threads=1)
    assert volumes.values == labels
    classes = volumes.classes_of(volumes.volumes[0])
    np.testing.assert_array_equal(classes, mask.transpose(2, 1, 0))
    for _ in range(2):
        # Another one takes its place.
        save_mask(tmp_path / "out", volumes.volumes[0], classes, volumes.values)
    written = nibabel.load(tmp_path / "out" / "volume-0001.nii.gz")
    assert written.get_data_dtype() == kind
    np.testing.assert_allclose(written.affine, AFFINE)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.array([0, *labels])[mask])
