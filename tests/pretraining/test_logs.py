from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ctprune
from ctprune.pretraining.records import COLUMNS, Records
from tests.labeled import write
from tests.pretraining.tiny import tiny


class FakeWandb:
    """Stands in for the library of Weights & Biases: remembers how it was called."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = 0

    def init(self, **options: Any) -> Any:
        self.started.append(options)
        return SimpleNamespace(log=self.log, finish=self.finish)

    def log(self, numbers: dict[str, float], step: int) -> None:
        assert self.finished == 0
        self.logged.append((step, numbers))

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return fake


def read_csv(folder: Path) -> list[dict[str, str]]:
    with (folder / "logs/metrics.csv").open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.slow
def test_weights_and_biases_gets_every_line_and_stays_offline(run: Path, tmp_path: Path, wandb: FakeWandb) -> None:
    probe = tmp_path / "Meier, Anna"
    for name in ("a", "b"):
        write(probe / name / "slice.png", ill=name == "a", number=0)
    config = tiny(wandb=True, steps=3, probe=str(probe))
    ctprune.pretrain(run, config, out=tmp_path / "pre")
    (started,) = wandb.started
    assert started["mode"] == "offline"
    assert started["dir"] == str(tmp_path / "pre/logs")
    assert started["config"]["method"] == "swav"
    assert "Meier" not in str(started["config"])
    lines = read_csv(tmp_path / "pre")
    assert [int(line["step"]) for line in lines] == [step for step, _ in wandb.logged]
    for line, (_, numbers) in zip(lines, wandb.logged, strict=True):
        assert {name: float(line[name]) for name in COLUMNS[1:] if line[name]} == numbers
    assert wandb.finished == 1


def test_nobody_asked_for_weights_and_biases(tmp_path: Path, wandb: FakeWandb) -> None:
    Records(tmp_path, []).close()
    assert not wandb.started


def test_what_an_interrupted_run_logged_is_logged_again(
    tmp_path: Path, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    earlier = [{"step": 1, "loss": 3.5}, {"step": 2, "loss": 3.0}]
    records = Records(tmp_path, earlier, wandb={"method": "byol"})
    records.add({"step": 3, "loss": 2.5})
    records.close()
    assert wandb.started[0]["mode"] == "online"
    assert wandb.logged == [(1, {"loss": 3.5}), (2, {"loss": 3.0}), (3, {"loss": 2.5})]
    assert [float(line["loss"]) for line in read_csv(tmp_path)] == [3.5, 3.0, 2.5]


def test_weights_and_biases_is_not_installed(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ctprune.ConfigError, match=r"wandb needs Weights & Biases.*pip install wandb"):
        ctprune.pretrain(run, tiny(wandb=True), out=tmp_path / "pre")
    assert not (tmp_path / "pre").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_sentence_that_names_the_log(tmp_path: Path) -> None:
    records = Records(tmp_path, [])
    file = tmp_path / "logs/metrics.csv"
    file.unlink()
    file.symlink_to("/dev/full")
    with pytest.raises(ctprune.OutputError, match=r"metrics\.csv: cannot be written: No space left on device"):
        records.add({"step": 1, "loss": 0.5})
    records.close()
