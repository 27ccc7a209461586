"""The command line, slices of a reduction, and inputs that are not there or not the same."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import ctprune
from ctprune.files.run_lock import sole_writer
from ctprune.networks.backbone import create_backbone, save_backbone
from tests.conftest import Cli
from tests.finetuning.small import SMALL
from tests.printed import result_of


def order(folders: Path, image: str) -> int:
    patients = list(dict.fromkeys(file.name[:3] for file in sorted(folders.rglob("*.png"))))
    return patients.index(Path(image).name[:3]) + 1


def test_command_line_from_training_to_prediction(cli: Cli, folders: Path, weights: Path, tmp_path: Path) -> None:
    shutil.copytree(folders, tmp_path / "data")
    cut = (folders / "ill" / "p01_0.png").read_bytes()[:100]
    (tmp_path / "data" / "ill" / "cut.png").write_bytes(cut)
    (tmp_path / "data" / "ill" / "notes.txt").write_text("nothing")
    common = ["--weights", weights, "--side", "32", "--mode", "linear", "--seeds", "1"]
    trained = cli("finetune", "data", "--out", "ft", *common, "--positive", "healthy")
    assert trained.returncode == 3, trained.stderr
    assert "AUC" in trained.stdout
    assert "1 file could not be read, such as ill/cut.png" in trained.stderr
    assert "notes.txt" in trained.stderr
    again = cli("finetune", "data", "--out", "ft", *common, "--positive", "healthy", "--json")
    assert result_of("finetune", again.stdout)["config"]["positive"] == "healthy"
    predicted = cli("predict", "ft", "data", "--json")
    assert predicted.returncode == 3
    found = result_of("predict", predicted.stdout)
    assert len(found["images"]) == 40
    assert set(found["images"][0]) == {"image", "frame", "label", "probability_healthy", "probability_ill"}
    assert list(found["unreadable"]) == ["data/ill/cut.png"]
    assert "Traceback" not in predicted.stderr
    ctprune.predict(tmp_path / "ft" / "model", tmp_path / "data" / "ill" / "p01_0.png", out=tmp_path / "p.parquet")
    assert pq.read_table(tmp_path / "p.parquet").num_rows == 1


def test_dicom_by_manifest_and_prediction_of_dicom(archive: Path, weights: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, out=tmp_path / "run", intensity="lung")
    other = tmp_path / "other.safetensors"
    save_backbone(create_backbone("resnet18"), other, name="resnet18", metadata={})
    result = ctprune.finetune(
        tmp_path / "run",
        labels=archive / "labels.csv",
        out=tmp_path / "ft",
        mode="knn",
        seeds=1,
        weights=other,
        val_fraction=0.3,
        **(SMALL | {"positive": None}),
    )
    saved = json.loads((tmp_path / "ft" / "model" / "model.json").read_text())
    assert (saved["intensity"], saved["modality"]) == ("hu:-1350,150", "CT")
    assert result.interval_unit == "patient"
    found = ctprune.predict(tmp_path / "ft", archive, device="cpu")
    assert len(found.images) == sum(sum(counts.values()) for counts in result.splits.values())
    assert found.skipped
    assert not found.unreadable


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mode": "magic"}, "mode magic: expected one of finetune, linear, knn"),
        ({"mode": "knn", "epochs": 3}, "epochs belongs to `mode` finetune, not to knn"),
        ({"mode": "knn", "class_weights": True}, "class_weights belongs to `mode` finetune or linear"),
        ({"neighbors": 3}, "neighbors belongs to `mode` knn"),
        ({"seeds": 0}, "seeds 0: expected a number from 1"),
        ({"seeds": (1, 1)}, "different seeds"),
        ({"fraction": 0}, "fraction 0: expected a number above 0"),
        ({"epochs": 2, "frozen_epochs": 3}, "frozen_epochs 3: expected 0 to 2"),
        ({"batch_size": 1}, "batch_size 1: expected 2 to"),
        ({"side": 4}, "side 4: expected 8 to"),
        ({"weight_decay": -1}, "weight_decay -1"),
        ({"intensity": "dark"}, "intensity dark"),
        ({"patient_pattern": "("}, r"patient_pattern \("),
        ({"patient_pattern": "(x)"}, r"patient_pattern \(x\): matches no file's name, such as p00_0.png"),
        ({"patient_pattern": "abc"}, "expected one group in parentheses, found 0"),
        ({"backbone": "magic"}, "backbone magic: expected one of resnet50"),
        ({"weights": "imagenet", "backbone": "resnet18"}, "weights imagenet is torchvision's resnet50"),
        ({"weights": "nowhere.ckpt"}, "nowhere.ckpt: expected a file of weights, found none"),
        ({"download": True}, "download belongs to `weights` imagenet"),
        ({"device": "tpu"}, "device tpu: expected one of auto, cpu, cuda"),
        ({"precision": "8"}, "precision 8: expected one of auto, bf16, fp16, 32"),
        ({"split": "x"}, "`split` x: expected a folder of text files"),
        (
            {"normalize": "gray"},
            "normalize gray: expected auto, imagenet, train, or a mean and a",
        ),
        ({"normalize": "0.5,0"}, "normalize 0.5,0: expected"),
        ({"positive": "odd"}, "positive odd: expected one of two classes, found healthy, ill"),
    ],
)
def test_a_wrong_option_gets_one_sentence(
    folders: Path, tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ctprune.CtpruneError, match=sentence):
        ctprune.finetune(folders, out=tmp_path / "ft", **(SMALL | options))
    assert not (tmp_path / "ft").exists()


def test_mistakes_with_folders(folders: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for out, sentence in (
        (tmp_path / "full", "is not empty and holds no fine-tuning"),
        (tmp_path / "full" / "x", "expected a folder, found a file"),
        (folders / "ft", "lies inside the data"),
    ):
        with pytest.raises(ctprune.CtpruneError, match=sentence):
            ctprune.finetune(folders, out=out, **SMALL)
    (tmp_path / "pre").mkdir()
    (tmp_path / "pre" / "backbone.safetensors").touch()
    with pytest.raises(ctprune.ConfigError, match="pre is a pre-training: give it as `weights`"):
        ctprune.finetune(tmp_path / "pre", out=tmp_path / "ft", **SMALL)
    (tmp_path / "tuned" / "model" / "seed-0").mkdir(parents=True)
    (tmp_path / "tuned" / "model" / "seed-0" / "backbone.safetensors").touch()
    for weights, sentence in (
        ("full", "found a folder without backbone.safetensors or model.safetensors$"),
        ("tuned", r"name a file, such as .*tuned/model/seed-0/backbone\.safetensors$"),
    ):
        with pytest.raises(ctprune.WeightsError, match=sentence):
            ctprune.finetune(folders, weights=tmp_path / weights, out=tmp_path / "ft", **SMALL)
    for model in ("nowhere", "full"):
        with pytest.raises(ctprune.WeightsError, match="expected the folder of a finished fine-tuning"):
            ctprune.predict(tmp_path / model, folders)
    result = cli("predict", "nowhere", folders)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1


def test_prediction_without_an_image(folders: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "ft"
    ctprune.finetune(folders, out=out, mode="knn", weights=weights, seeds=1, **SMALL)
    (tmp_path / "in").mkdir()
    with pytest.raises(ctprune.SourceError, match="no image can be read: there is no file"):
        ctprune.predict(out, tmp_path / "in", device="cpu")
    (tmp_path / "in" / "notes.txt").touch()
    with pytest.raises(ctprune.SourceError, match="no image can be read: "):
        ctprune.predict(out, tmp_path / "in", device="cpu")
    with pytest.raises(ctprune.ConfigError, match=r"expected a file \.csv or \.parquet"):
        ctprune.predict(out, folders, out=tmp_path / "p.xlsx")
    about = json.loads((out / "model" / "model.json").read_text())
    for change, sentence in (({"model_version": 9}, "model version 9"), ({"mean": None}, "the file is damaged")):
        (out / "model" / "model.json").write_text(json.dumps(about | change))
        with pytest.raises(ctprune.WeightsError, match=sentence):
            ctprune.predict(out, folders)
    (out / "model" / "model.json").write_text(json.dumps(about))
    (out / "model" / "seed-0" / "head.safetensors").write_bytes(b"x")
    with pytest.raises(ctprune.WeightsError, match="expected the head of a classifier"):
        ctprune.predict(out, folders, device="cpu")


def test_other_images_of_equal_size_are_other_data(folders: Path, weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(folders, copy)
    files = sorted(copy.rglob("*.png"))
    length = max(file.stat().st_size for file in files)
    for file in files:
        # PNG ends at its last chunk; what follows is not looked at.
        file.write_bytes(file.read_bytes().ljust(length, b"\0"))
    options: dict[str, Any] = SMALL | {"mode": "knn", "weights": weights, "out": tmp_path / "ft", "seeds": 1}
    first = ctprune.finetune(copy, **options)
    for file in files:
        os.utime(file, (1, 1))
    moved = copy.rename(tmp_path / "moved")
    assert ctprune.finetune(moved, **options).to_dict() == first.to_dict()
    # Each image in another's place, with the old size and time.
    contents = [file.read_bytes() for file in sorted(moved.rglob("*.png"))]
    for file, content in zip(sorted(moved.rglob("*.png")), contents[1:] + contents[:1], strict=True):
        file.write_bytes(content)
        os.utime(file, (1, 1))
    with pytest.raises(ctprune.OutputError, match="holds a fine-tuning of other data, weights or options"):
        ctprune.finetune(moved, **options)


def test_two_fine_tunings_at_once_are_one_sentence(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "ft").mkdir()
    with (
        sole_writer(tmp_path / "ft"),
        pytest.raises(ctprune.InUseError, match=r"ft is in use by another ctprune: wait until it is done"),
    ):
        ctprune.finetune(folders, out=tmp_path / "ft", **SMALL)
    assert list((tmp_path / "ft").iterdir()) == []
