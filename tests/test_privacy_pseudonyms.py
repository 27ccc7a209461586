"""Reductions with pseudonyms: what is easily forgotten names nobody either, nor do mistakes and debug messages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pydicom
import pytest
import yaml
from pydicom.encaps import encapsulate

import ctprune
from ctprune.manifest import pseudonyms
from tests.commands import Commands
from tests.mutations import with_modality_lut
from tests.named_archive import HEADER, PATH, write_named_archive
from tests.searching import words_in
from tests.test_privacy import SMALL, WORDS, Folder, outputs


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The archive, and files for pydicom's process: some that it reads, and one that it cannot decode."""
    source = write_named_archive(tmp_path)
    for number, file in enumerate(sorted((source / f"{PATH}^Erika" / f"{PATH}_0").glob("*.dcm"))[4:6]):
        with_modality_lut(file, source / f"{PATH} table {number}.dcm")
    dataset = pydicom.dcmread(file)
    # A film, which nobody decodes.
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
    dataset.PixelData = encapsulate([HEADER.encode() * 20])
    dataset.save_as(source / f"{PATH} film.dcm")
    return source


@pytest.fixture
def command(tmp_path: Path, commands: Commands) -> Folder:
    found = Folder(tmp_path, commands)
    found("key", "key")
    return found


def check_that_nothing_is_named(command: Folder, source: Path, *others: Path) -> None:
    """The folder that a user names on the command line may be repeated there."""
    sources = (source, command.folder / "plain", *others)
    assert outputs(command, WORDS, sources) == set()
    for name, said in command.said.items():
        assert words_in(said.replace(str(source), "").encode(), WORDS) == set(), f"{name}\n{said}"


def test_findings_and_mistakes_name_nobody(command: Folder, source: Path) -> None:
    names = ("--key", "key", "--source", source)
    for run in ("run", "other"):
        command("reduce", source, "--out", run, "--pseudonymize", "key")
    rows = ctprune.Manifest.load(command.folder / "run").rows.to_dicts()
    assert {"pydicom", "dicom", "image"} <= {row["reader"] for row in rows}
    assert {"E-TRUNCATED", "E-UNSUPPORTED-SYNTAX"} <= {row["code"] for row in rows}
    command("overlap", "run", "other", "--out", "overlap", *names)
    command("overlap", "run", "other", "--json", "--max", 0, codes=(1,))
    command("check", "run", codes=(0, 1))
    command("verify", "run", "--pixels", 1, codes=(1, 2))
    command("report", "run", codes=(1,))
    command("reduce", source, "--out", "third", "--fail-first", "--pseudonymize", "key", codes=(1,))
    check_that_nothing_is_named(command, source)


@pytest.mark.slow
def test_learning_and_experiments_name_nobody(
    command: Folder, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    folder = command.folder
    names = ("--key", "key", "--source", source)
    command("reduce", source, "--out", "run", "--method", "all", "--pseudonymize", "key")
    # A test set that is named after a patient, with a file that cannot be read.
    test_set = folder / f"{PATH} test set"
    test_set.mkdir()
    for name in ("broken", "table 0"):
        shutil.copy(source / f"{PATH} {name}.dcm", test_set)
    uids = sorted(
        {str(row["sop_instance_uid"] or "") for row in ctprune.Manifest.load(folder / "run").kept().to_dicts()}
    )
    splits = ("train", "train", "val", "val", "test", "test")
    (folder / "labels.csv").write_text(
        "sop_instance_uid,label,split\n"
        + "".join(f"{uid},{'ab'[n % 2]},{splits[n % 6]}\n" for n, uid in enumerate(filter(None, uids)))
    )
    training = {"preset": "smoke", "backbone": "test_resnet", "side": 32, "batch_size": 4, "epochs": 1}
    flags = [word for name, value in training.items() for word in (f"--{name.replace('_', '-')}", value)]
    (folder / "training.yaml").write_text(yaml.safe_dump({"exclude": [str(test_set)]}))
    command("pretrain", "run", "--out", "pre", "--config", "training.yaml", *flags, *names)
    (folder / "training.yaml").unlink()
    said = list(command.said.values())[-1]
    assert "1 file of the sets in --exclude cannot be read" in said, said
    task = ("--mode", "knn", "--neighbors", 2, "--seeds", 1, "--positive", "b")
    command("finetune", "run", "--labels", "labels.csv", "--out", "tuned", *SMALL, *task, *names)
    # Options as they were given, and their names, stand in the folder of the pre-training alone.
    for name in ("config.yaml", "summary.json", "checkpoints"):
        given = folder / "pre" / name
        assert words_in(b"".join(file.read_bytes() for file in _files_of(given)), [PATH]), name
        shutil.rmtree(given) if given.is_dir() else given.unlink()
    experiment = {
        "name": "Tried",
        "sources": {"named": str(source)},
        "reductions": {"all": {"method": "all", "pseudonymize": "key"}},
        "pretrainings": {"all": training},
        "baselines": {"none": {"weights": "none", "backbone": "test_resnet"}},
        "tasks": {
            "ill": {
                "data": "run",
                "labels": "labels.csv",
                "mode": "knn",
                "side": 32,
                "neighbors": 2,
                "positive": "b",
            }
        },
        "seeds": {"finetuning": 1},
        "comparison": {"resamples": 100},
    }
    (folder / "tried.yaml").write_text(yaml.safe_dump(experiment))
    monkeypatch.setenv(pseudonyms.KEY, str(folder / "key"))
    monkeypatch.setenv(pseudonyms.SOURCES, str(source))
    command("experiment", "tried.yaml", "--out", "experiment")
    (folder / "tried.yaml").unlink()
    # It repeats what its file says.
    assert words_in((folder / "experiment" / "experiment.json").read_bytes(), [PATH])
    (folder / "experiment" / "experiment.json").unlink()
    for name, said in command.said.items():
        command.said[name] = said.replace(str(test_set), "")
    check_that_nothing_is_named(command, source, test_set)


def _files_of(path: Path) -> list[Path]:
    return [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
