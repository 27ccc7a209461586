from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import ctprune
from ctprune.pretraining.run import Pretraining
from tests.conftest import Cli
from tests.pretraining.tiny import stopped_after, tiny, without


@pytest.mark.slow
@pytest.mark.parametrize(("method", "stop_at"), [("swav", 3), ("mocov2", 3), ("swav", 2)])
def test_resumed_equals_uninterrupted(
    method: str, stop_at: int, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(method, epochs=2, accumulate=1)
    whole = ctprune.pretrain(run, out=tmp_path / "whole", config=config)

    interrupted = pytest.raises(ctprune.Interrupted, match=f"interrupted at step {stop_at} of")
    with stopped_after(stop_at, monkeypatch), interrupted:
        # There is nothing to go on from yet, so it begins.
        Pretraining(run, tmp_path / "parts", config, resume=True).carry_out()
    # What chance has done in between must not matter.
    torch.manual_seed(123)
    parts = Pretraining(run, tmp_path / "parts", config, resume=True).carry_out()
    own, other = (ctprune.load_backbone(result.backbone).state_dict() for result in (whole, parts))
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert parts.summary["final_loss"] == whole.summary["final_loss"]
    full, other_full = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["module"]
        for name in ("whole", "parts")
    )
    assert all(torch.equal(full[name], other_full[name]) for name in full)
    names, *lines = (tmp_path / "whole/logs/metrics.csv").read_text().splitlines()
    _, *other_lines = (tmp_path / "parts/logs/metrics.csv").read_text().splitlines()
    speed = names.split(",").index("images_per_second")
    assert [without(line, speed) for line in lines] == [without(line, speed) for line in other_lines]
    # What is finished is not done again, and not with other options.
    assert Pretraining(run, tmp_path / "parts", config, resume=True).carry_out().summary == parts.summary
    with pytest.raises(ctprune.ConfigError, match="other options"):
        Pretraining(run, tmp_path / "parts", tiny(method, epochs=3), resume=True).carry_out()


@pytest.mark.slow
def test_sigterm_saves_and_the_command_goes_on(run: Path, tmp_path: Path, cli: Cli) -> None:
    arguments = ["pretrain", run, "--preset", "smoke", "--side", "32", "--batch-size", "4", "--epochs", "30"]
    arguments += ["--out", tmp_path / "pre", "--log-every", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ctprune", *map(str, arguments)], env=environment, stderr=subprocess.PIPE, text=True
    )
    log = tmp_path / "pre/logs/metrics.csv"
    for _ in range(600):
        if log.exists() and len(log.read_text().splitlines()) > 2:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume goes on from there" in error
    assert "Traceback" not in error
    step = torch.load(tmp_path / "pre/checkpoints/last.ckpt", weights_only=True)["step"]
    assert step >= 1
    wrong = cli(*arguments[:8], "--batch-size", "2", "--out", tmp_path / "pre", "--resume")
    assert wrong.returncode == 2
    assert "was" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_a_damaged_checkpoint_is_refused(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pre"
    (out / "checkpoints").mkdir(parents=True)
    (out / "config.yaml").write_text("{}")
    (out / "checkpoints/last.ckpt").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ctprune.WeightsError, match="damaged"):
        Pretraining(run, out, tiny(), resume=True).carry_out()
