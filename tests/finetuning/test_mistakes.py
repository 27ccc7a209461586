"""What a first user gets wrong in fine-tuning, and what a disk or file of weights does: a clear sentence each."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import ctprune
from ctprune.cli import main
from ctprune.finetuning import checkpoint
from ctprune.finetuning.heads import LinearHead, save_head
from ctprune.finetuning.result import FinetuneResult
from ctprune.networks.backbone import create_backbone, save_backbone
from ctprune.tasks import list_task
from tests.labeled import write
from tests.printed import result_of
from tests.results import predictions, write_result

SMALL: dict[str, Any] = {"side": 32, "batch_size": 8, "device": "cpu", "seeds": 1}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "backbone.safetensors"
    save_backbone(create_backbone("resnet18"), file, name="resnet18", metadata={})
    return file


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process, which has torch already: exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ctprune", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), *capsys.readouterr()

    return run


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def table(folder: Path, patients: list[str | None], *, labels: tuple[str, str] = ("0", "1")) -> Path:
    """A table of pictures, two of each patient: one of each class in val, one class in train."""
    rows = ["path,label,split,patient"]
    for split in ("train", "val"):
        for number in range(24 if split == "train" else 2 * len(patients)):
            ill = number % 2 == 1
            file = folder / split / f"{number:03d}.png"
            write(file, ill, number + (1000 if split == "val" else 0))
            patient = f"t{number}" if split == "train" else patients[number // 2] or ""
            rows.append(f"{split}/{file.name},{labels[ill]},{split},{patient if any(patients) else ''}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def test_one_patient_carries_no_interval(command: Command, weights: Path, tmp_path: Path) -> None:
    labels = table(tmp_path / "data", ["a"] * 8)
    options = ["--mode", "linear", "--seeds", 2, "--side", 32, "--weights", weights]
    code, stdout, stderr = command("finetune", labels, "--out", "ft", *options)
    assert code == 0, stderr
    reason = "1 patient: no interval can be estimated"
    assert reason in stdout
    about = json.loads((tmp_path / "ft" / "metrics.json").read_text())
    assert about["no_interval"] == reason
    assert {(one["low"], one["high"]) for one in about["pooled"].values()} == {(None, None)}
    assert about["pooled"]["auc"]["mean"] is not None
    card = (tmp_path / "ft" / "README.md").read_text()
    assert f"no 95 % interval ({reason})" in card
    assert "Val: 16 images from 1 patient (class 0: 8; class 1: 8)" in card
    assert "if you tuned on this split, these values are optimistic" in card
    assert FinetuneResult.load(tmp_path / "ft").no_interval == reason


def test_the_positive_class_is_asked_for_and_named(command: Command, weights: Path, tmp_path: Path) -> None:
    labels = table(tmp_path / "data", [f"p{n}" for n in range(8)], labels=("healthy", "ill"))
    options = ["--mode", "linear", "--seeds", 1, "--side", 32, "--weights", weights]
    code, _, stderr = command("finetune", labels, "--out", "ft", *options)
    assert code == 2
    for part in ("the classes are healthy and ill", "--positive healthy or --positive ill"):
        assert part in stderr
    assert not (tmp_path / "ft").exists()
    code, stdout, stderr = command("finetune", labels, "--out", "ft", *options, "--positive", "healthy")
    assert code == 0, stderr
    assert "The positive class is healthy" in stdout
    about = json.loads((tmp_path / "ft" / "metrics.json").read_text())
    assert (about["positive"], about["no_interval"]) == ("healthy", None)
    assert about["pooled"]["sensitivity"]["low"] is not None
    assert "The positive class is healthy" in (tmp_path / "ft" / "README.md").read_text()
    metadata = pq.read_schema(tmp_path / "ft" / "predictions.parquet").metadata
    assert json.loads(metadata[b"ctprune"])["positive"] == "healthy"
    assert "positive: healthy" in (tmp_path / "ft" / "plots" / "roc.svg").read_text()
    predicted = command("predict", "ft", tmp_path / "data" / "val", "--json")
    assert result_of("predict", predicted[1])["positive"] == "healthy"


def test_a_table_may_name_its_columns_as_it_likes(command: Command, weights: Path, tmp_path: Path) -> None:
    labels = table(tmp_path / "data", [f"p{n}" for n in range(8)])
    labels.write_text(labels.read_text().replace("path,label,split,patient", "file,class,set,who", 1))
    options = ["--mode", "knn", "--seeds", 1, "--side", 32, "--weights", weights]
    code, _, stderr = command("finetune", labels, "--out", "ft", *options, "--path-column", "file")
    assert code == 1
    assert "expected a column label, found file, class, set, who" in stderr
    names = [
        "--path-column",
        "{file}",
        "--label-column",
        "class",
        "--split-column",
        "set",
        "--patient-column",
        "who",
    ]
    code, _, stderr = command("finetune", labels, "--out", "ft", *options, *names)
    assert code == 0, stderr
    assert "patients not known" not in stderr
    code, _, stderr = command("finetune", labels, "--out", "ft2", *options, "--path-column", "{file")
    assert code == 2
    assert "--path-column {file: expected" in stderr


def test_classes_0_and_1_need_no_positive(weights: Path, tmp_path: Path) -> None:
    labels = table(tmp_path / "data", [f"p{n}" for n in range(8)])
    result = ctprune.finetune(labels, out=tmp_path / "ft", mode="knn", weights=weights, **SMALL)
    assert (result.positive, result.config["positive"]) == ("1", "1")


def test_patients_that_nobody_named_are_not_known(command: Command, weights: Path, tmp_path: Path) -> None:
    labels = table(tmp_path / "data", [None] * 8)
    shutil.copy(tmp_path / "data" / "train" / "000.png", tmp_path / "data" / "val" / "000.png")
    options = ["--mode", "knn", "--seeds", 1, "--side", 32, "--weights", weights]
    code, stdout, stderr = command("finetune", labels, "--out", "ft", *options)
    assert code == 0, stderr
    assert "share 0 patients" not in stdout + stderr
    assert "train and val: patients not known, and 1 image of val has a near-duplicate in train" in stderr
    assert "name the patients with --patient-pattern or a column patient" in stderr
    about = json.loads((tmp_path / "ft" / "metrics.json").read_text())
    assert {one["patients"] for one in about["overlaps"]} == {None}
    assert "patients not known" in (tmp_path / "ft" / "README.md").read_text()


def test_patients_of_an_archive_are_not_taken_for_classes(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ctprune.TaskError, match="of a single patient each") as refused:
        list_task(archive)
    assert f"give its table of labels instead: {archive / 'labels.csv'}" in str(refused.value)
    # Not a word about who they are.
    assert "P0001" not in str(refused.value)
    without = tmp_path / "without"
    shutil.copytree(archive, without)
    (without / "labels.csv").unlink()
    with pytest.raises(ctprune.TaskError, match="give a table with the columns path and label instead"):
        list_task(without)


def test_classes_of_several_patients_in_dicom_are_classes(archive: Path, tmp_path: Path) -> None:
    patients = sorted(path for path in archive.iterdir() if path.is_dir())
    for number, patient in enumerate(patients):
        shutil.copytree(patient, tmp_path / "data" / ("ill" if number % 2 else "healthy") / patient.name)
    listed = list_task(tmp_path / "data")
    assert (listed.classes, listed.notes) == (("healthy", "ill"), ())
    shutil.copy(archive / "labels.csv", tmp_path / "data")
    assert "labels.csv is beside the class folders and is not used" in list_task(tmp_path / "data").notes[0]
    shutil.rmtree(tmp_path / "data" / "ill" / patients[1].name)
    assert "class ill has one patient only" in list_task(tmp_path / "data").notes[1]


def test_studies_stand_for_patients_of_dicom_that_nobody_named(
    archive: Path, weights: Path, tmp_path: Path
) -> None:
    rows = rows_of(archive / "labels.csv")
    for row in rows:
        row["path"] = str(archive / row["path"])
        del row["patient"]
    with (tmp_path / "labels.csv").open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    options = SMALL | {"mode": "knn", "weights": weights, "val_fraction": 0.3}
    result = ctprune.finetune(tmp_path / "labels.csv", out=tmp_path / "ft", **options)
    assert result.interval_unit == "patient"
    assert sum(split["patients"] for split in result.patients.values()) == 4


def test_the_folder_of_the_classes_is_looked_for(tmp_path: Path) -> None:
    for label in ("CT_COVID", "CT_NonCOVID"):
        write(tmp_path / "covid-ct" / "Images" / label / "a.png", True, 1)
        (tmp_path / "split").mkdir(exist_ok=True)
        (tmp_path / "split" / f"train{label}.txt").write_text("a.png\n")
    with pytest.raises(ctprune.TaskError) as refused:
        list_task(tmp_path / "covid-ct", split=tmp_path / "split")
    images = tmp_path / "covid-ct" / "Images"
    assert str(refused.value).endswith(
        f"CT_COVID is not a folder of {tmp_path / 'covid-ct'}; did you mean {images}?"
    )
    assert len(list_task(images, split=tmp_path / "split").entries) == 2


def test_a_table_is_refused_before_torch_is_there(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("path,diagnosis\na.png,1\n")
    code = (
        "import sys, ctprune\n"
        "try: ctprune.finetune('bad.csv', out='ft')\n"
        "except ctprune.TaskError as error: print(error, 'torch' in sys.modules, 'sklearn' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout == "bad.csv: expected a column label, found path, diagnosis False False\n"


def test_progress_counts_each_file_once(weights: Path, tmp_path: Path) -> None:
    labels = table(tmp_path / "data", [f"p{n}" for n in range(8)])
    seen: list[tuple[int, int]] = []
    ctprune.finetune(
        labels,
        out=tmp_path / "ft",
        mode="knn",
        weights=weights,
        progress=lambda now: seen.append((now.done, now.total)) if now.stage == "reading" else None,
        **SMALL,
    )
    assert {total for _, total in seen} <= {0, 40}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (40, 40)


@pytest.mark.parametrize("mode", ["linear", "knn", "finetune"])
def test_weights_that_are_not_finite(weights: Path, tmp_path: Path, mode: str) -> None:
    network = ctprune.load_backbone(weights)
    with torch.no_grad():
        network.get_parameter("layer2.0.conv1.weight")[0, 0, 0, 0] = float("nan")
    save_backbone(network, tmp_path / "nan.safetensors", name="resnet18", metadata={})
    labels = table(tmp_path / "data", [f"p{n}" for n in range(8)])
    with pytest.raises(ctprune.WeightsError, match=r"nan.safetensors: layer2.0.conv1.weight holds values"):
        ctprune.finetune(labels, out=tmp_path / "ft", mode=mode, weights=tmp_path / "nan.safetensors", **SMALL)


def test_finite_weights_whose_features_are_not(weights: Path, tmp_path: Path) -> None:
    network = ctprune.load_backbone(weights)
    with torch.no_grad():
        # Two finite biases whose sum is none.
        for name in ("layer4.0.bn2.bias", "layer4.1.bn2.bias"):
            network.get_parameter(name).fill_(3e38)
    save_backbone(network, tmp_path / "large.safetensors", name="resnet18", metadata={})
    labels = table(tmp_path / "data", [f"p{n}" for n in range(8)])
    with pytest.raises(ctprune.WeightsError, match=r"large.safetensors: the network's features of .* not finite"):
        ctprune.finetune(
            labels, out=tmp_path / "ft", mode="linear", weights=tmp_path / "large.safetensors", **SMALL
        )


def test_a_training_that_diverges(weights: Path, tmp_path: Path) -> None:
    labels = table(tmp_path / "data", [f"p{n}" for n in range(8)])
    options = SMALL | {"learning_rate": 10.0, "weight_decay": 10.0, "epochs": 30, "frozen_epochs": 0}
    network = ctprune.load_backbone(weights)
    with torch.no_grad():
        network.get_parameter("layer4.1.bn2.weight").fill_(1e37)
    save_backbone(network, tmp_path / "large.safetensors", name="resnet18", metadata={})
    with pytest.raises(ctprune.TrainingError, match="seed 0, epoch 1: the loss is not finite"):
        ctprune.finetune(labels, out=tmp_path / "ft", weights=tmp_path / "large.safetensors", **options)


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the system then refuses to write, as on a full disk."""
    resource = pytest.importorskip("resource", reason="Windows has no limits of this kind")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_names_the_file_that_was_wanted(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = ctprune.load_backbone(weights)
    file = tmp_path / "backbone.safetensors"
    with full_disk(1 << 20), pytest.raises(ctprune.OutputError, match=r"backbone.safetensors: cannot be written"):
        save_backbone(network, file, name="resnet18", metadata={})
    head = LinearHead(np.zeros((2, 1 << 18), np.float32), np.zeros(2, np.float32))
    with full_disk(1 << 20), pytest.raises(ctprune.OutputError, match=r"head.safetensors: cannot be written"):
        save_head(head, tmp_path / "head.safetensors")
    labels = table(tmp_path / "data", [f"p{n}" for n in range(8)])
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    options = SMALL | {"epochs": 2, "frozen_epochs": 1, "weights": weights}
    with (
        full_disk(1 << 20),
        pytest.raises(ctprune.OutputError, match=r"seed-0.ckpt: cannot be written") as refused,
    ):
        ctprune.finetune(labels, out=tmp_path / "ft", **options)
    wanted = tmp_path / "ft" / "progress" / "seed-0.ckpt"
    assert str(refused.value).startswith(f"{wanted}: cannot be written: is the disk full? ")
    assert ".part" not in str(refused.value)
    assert not [path for path in tmp_path.rglob("*.part")]


def test_names_of_classes_are_no_formulas(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for the figures, nor for a spreadsheet that opens the table of predictions."""
    broken = r"$\frac{x}^{$"
    labels = table(tmp_path / "data", [f"p{n}" for n in range(8)], labels=(broken, "=1+1"))
    ctprune.finetune(
        labels, out=tmp_path / "ft", mode="knn", weights=weights, positive="=1+1", neighbors=1, **SMALL
    )
    assert broken in (tmp_path / "ft" / "plots" / "confusion.svg").read_text()
    (tmp_path / "in").mkdir()
    for name in ("@a.png", "-b.png", "c.png"):
        shutil.copy(tmp_path / "data" / "val" / "001.png", tmp_path / "in" / name)
    found = ctprune.predict(tmp_path / "ft", tmp_path / "in", out=tmp_path / "p.csv", device="cpu")
    rows = rows_of(tmp_path / "p.csv")
    assert not [cell for row in rows for cell in row.values() if cell[0] in "=+-@"]
    assert {row["label"].lstrip("'") for row in rows} == set(found.labels)
    assert "'=1+1" in {row["label"] for row in rows}
    monkeypatch.chdir(tmp_path / "in")
    ctprune.predict(tmp_path / "ft", ["@a.png", "-b.png", "c.png"], out=tmp_path / "q.csv", device="cpu")
    names = {row["image"] for row in rows_of(tmp_path / "q.csv")}
    assert names == {"'@a.png", "'-b.png", "c.png"}


def test_results_of_different_positive_classes_are_told_apart(tmp_path: Path) -> None:
    labels = np.arange(40) % 2
    for name, positive in (("last", None), ("named", "COVID"), ("other", "NonCOVID")):
        model = predictions(labels, skill=1.0, seeds=2, seed=0)
        write_result(tmp_path / name, labels, model, config={"mode": "linear", "positive": positive})
    # Where none was named it is the last.
    ctprune.compare([tmp_path / "last", tmp_path / "named"], resamples=100)
    with pytest.raises(ctprune.EvaluationError, match="positive one, COVID and NonCOVID: fine-tune one of them"):
        ctprune.compare([tmp_path / "last", tmp_path / "other"], resamples=100)
    write_result(
        tmp_path / "patients", labels, model, patients=[f"p{n}" for n in range(40)], config={"positive": "COVID"}
    )
    with pytest.raises(ctprune.EvaluationError, match="different patients; use the same `patient_pattern`"):
        ctprune.compare([tmp_path / "named", tmp_path / "patients"], resamples=100)


def test_a_split_that_nothing_is_left_for(tmp_path: Path) -> None:
    lines = [("path", "label", "split", "patient")]
    for number in range(8):
        write(tmp_path / f"{number}.png", number % 2 == 1, number)
        split = "test" if number > 5 else "train"
        # One patient of each class in train: none can be spared.
        lines.append((f"{number}.png", str(number % 2), split, f"{split}-{number % 2}"))
    with (tmp_path / "labels.csv").open("w", newline="") as table:
        csv.writer(table).writerows(lines)
    with pytest.raises(
        ctprune.TaskError, match=r"`val_fraction` 0\.15 of the train split: expected at least one patient"
    ):
        ctprune.finetune(tmp_path / "labels.csv", out=tmp_path / "ft", mode="knn", neighbors=1, **SMALL)
