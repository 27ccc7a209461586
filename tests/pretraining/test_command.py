from __future__ import annotations

import sys
from pathlib import Path

import pytest

import ctprune
from ctprune.cli import main
from tests.conftest import Cli
from tests.printed import result_of


@pytest.mark.slow
def test_command_and_config_file_repeat_a_run(run: Path, tmp_path: Path, cli: Cli) -> None:
    arguments = ["pretrain", run, "--preset", "smoke", "--side", "32", "--batch-size", "8", "--epochs", "1"]
    arguments += ["--backbone", "test_resnet"]
    first = cli(*arguments, "--out", "first", "--json")
    assert first.returncode == 0, first.stderr
    second = cli("pretrain", run, "--config", "first/config.yaml", "--out", "second", "--json")
    assert second.returncode == 0, second.stderr
    one, two = (result_of("pretrain", done.stdout) for done in (first, second))
    assert one["final_loss"] == two["final_loss"]
    views = cli("pretrain", run, "--show-views", "views.png", "--preset", "smoke", "--side", "32", "--json")
    assert result_of("pretrain", views.stdout) == {"path": "views.png"}
    assert one["settings"] == two["settings"]
    assert one["use"] == "kept"
    assert one["slices"] == ctprune.Manifest.load(run).counts()["kept"]


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["nothing", "--out", "pre"], 1, "found none"),
        (["RUN"], 2, "--out is missing"),
        (["RUN", "--out", "pre", "--method", "simsiam"], 2, "expected one of swav"),
        (["RUN", "--out", "pre", "--preset", "smoke", "--backbone", "vgg"], 2, "--backbone vgg"),
        (["RUN", "--out", "pre", "--preset", "smoke", "--batch-size", "5000"], 2, "take a smaller batch"),
        (["RUN", "--out", "RUN", "--preset", "smoke"], 1, "is not empty"),
        (["RUN", "--out", "pre", "--preset", "smoke", "--exclude", "none"], 1, "none: no such file or folder"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str],
    code: int,
    expected: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [str(run) if word == "RUN" else word for word in arguments]
    monkeypatch.setattr(sys, "argv", ["ctprune", "pretrain", *words])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == code
    said = capsys.readouterr().err
    assert expected in said
    # Mistakes show before slices are packed, except that their number is known only then.
    assert ("packing" in said) == ("--batch-size" in arguments)


def test_a_summary_of_another_result_is_no_finished_pretraining(run: Path, tmp_path: Path) -> None:
    (tmp_path / "backbone.safetensors").touch()
    (tmp_path / "summary.json").write_text('{"kept": 3}')
    with pytest.raises(ctprune.ManifestError, match="expected the folder of a pre-training"):
        ctprune.pretrain(run, out=tmp_path, preset="smoke")
