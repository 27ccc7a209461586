from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import ctprune
from ctprune.environment.ending import ending_like_ctrl_c
from ctprune.environment.progress import Operation
from ctprune.files.run_lock import sole_writer
from ctprune.pretraining.checkpoints import (
    checkpoint_files,
    newest_checkpoint,
    write_checkpoint,
)
from ctprune.pretraining.run import PretrainingRun
from ctprune.pretraining.training import TrainingLoop
from tests.conftest import Cli
from tests.pretraining.tiny import stopped_after, tiny, without


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "stop_at", "weighted"),
    [("swav", 3, False), ("mocov2", 3, False), ("swav", 2, True), ("lejepa", 3, False)],
)
def test_resumed_equals_uninterrupted(
    method: str, stop_at: int, weighted: bool, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A queue must come back, too.
    settings = {"queue": 8, "queue_epochs": 1} if method == "swav" else {}
    # What LeJEPA draws for a batch depends on which one of a step's it is.
    batches = {"accumulate": 2, "batch_size": 4} if method == "lejepa" else {}
    config = tiny(method, epochs=2, settings=settings, sample_weights=weighted, **batches)
    whole = ctprune.pretrain(run, config, out=tmp_path / "whole")

    interrupted = pytest.raises(ctprune.Interrupted, match=f"interrupted at step {stop_at} of")
    with stopped_after(stop_at, monkeypatch), interrupted:
        # There is nothing to go on from yet, so it begins.
        PretrainingRun(run, tmp_path / "parts", config, resume=True).carry_out()
    with pytest.raises(ctprune.OutputError, match="unfinished pre-training: give `resume` to continue it"):
        ctprune.pretrain(run, config, out=tmp_path / "parts")
    # What chance has done in between must not matter.
    torch.manual_seed(123)
    parts = PretrainingRun(run, tmp_path / "parts", config, resume=True).carry_out()
    own, other = (ctprune.load_backbone(result.backbone).state_dict() for result in (whole, parts))
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert parts.summary["final_loss"] == whole.summary["final_loss"]
    full, other_full = (
        newest_checkpoint(tmp_path / name / "checkpoints", print)[1]["module"] for name in ("whole", "parts")
    )
    assert all(torch.equal(full[name], other_full[name]) for name in full)
    names, *lines = (tmp_path / "whole/logs/metrics.csv").read_text().splitlines()
    _, *other_lines = (tmp_path / "parts/logs/metrics.csv").read_text().splitlines()
    speed = names.split(",").index("slices_per_second")
    assert [without(line, speed) for line in lines] == [without(line, speed) for line in other_lines]
    # What is finished is not done again, and not with other options, whether it is asked to resume or not.
    for resume in (True, False):
        again = PretrainingRun(run, tmp_path / "parts", config, resume=resume).carry_out()
        assert again.summary == parts.summary
        with pytest.raises(ctprune.ConfigError, match="other options"):
            PretrainingRun(run, tmp_path / "parts", tiny(method, epochs=3), resume=resume).carry_out()


def test_other_options_are_refused_before_slices_are_packed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "pre"
    with stopped_after(2, monkeypatch), pytest.raises(ctprune.Interrupted):
        ctprune.pretrain(run, tiny(steps=4), out=out)
    with pytest.raises(
        ctprune.ConfigError, match=r"^side was 32 when .*config\.yaml was written, now it is 45: res"
    ):
        ctprune.pretrain(run, tiny(steps=4, side=45), out=out, resume=True)
    assert not list(run.glob("store-*45*"))
    # Where that file is damaged, the checkpoint knows.
    whole = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text("[")
    with pytest.raises(
        ctprune.ConfigError, match=r"^learning_rate was .*\.ckpt was written, now it is 0\.5: resume"
    ):
        ctprune.pretrain(run, tiny(steps=4, learning_rate=0.5), out=out, resume=True)
    (out / "config.yaml").write_text(whole)
    # What does not decide the result may change.
    assert ctprune.pretrain(run, tiny(steps=4, threads=1), out=out, resume=True).summary["steps"] == 4


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends a process at once on Windows")
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
    assert process.returncode == 128 + signal.SIGTERM
    assert "rerun with --resume to continue from there" in error
    assert "Traceback" not in error
    assert newest_checkpoint(tmp_path / "pre/checkpoints", print)[1]["step"] >= 1
    wrong = cli(*arguments[:8], "--batch-size", "2", "--out", tmp_path / "pre", "--resume")
    assert wrong.returncode == 2
    assert "was" in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.slow
def test_a_kill_at_the_end_of_an_epoch_loses_nothing_of_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A checkpoint with every line of the log, and the process ends right before an epoch's own line.
    config = tiny("simclr", epochs=3, checkpoint_minutes=0)
    whole = ctprune.pretrain(run, config, out=tmp_path / "whole")
    finish = TrainingLoop._finish_epoch

    def killed(training: TrainingLoop, epoch: int) -> None:
        if epoch == 1:
            raise SystemExit
        finish(training, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_finish_epoch", killed)
        with pytest.raises(SystemExit):
            ctprune.pretrain(run, config, out=tmp_path / "parts")
    parts = PretrainingRun(run, tmp_path / "parts", config, resume=True).carry_out()
    assert parts.summary["rankme"] == whole.summary["rankme"]
    names, *lines = (tmp_path / "whole/logs/metrics.csv").read_text().splitlines()
    _, *other_lines = (tmp_path / "parts/logs/metrics.csv").read_text().splitlines()
    speed = names.split(",").index("slices_per_second")
    assert [without(line, speed) for line in other_lines] == [without(line, speed) for line in lines]
    assert len(checkpoint_files(tmp_path / "parts/checkpoints")) == 2


CONTENT = {"module": {"weight": torch.arange(3.0)}, "lines": [{"loss": 0.5}], "config": "{}"}


def test_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    for step in (5, 10, 20, 30):
        write_checkpoint(tmp_path, CONTENT | {"step": step}, keep=2)
    assert list(checkpoint_files(tmp_path)) == [30, 20]
    # Gone on from 20, as 30 is damaged.
    write_checkpoint(tmp_path, CONTENT | {"step": 25}, keep=2)
    assert list(checkpoint_files(tmp_path)) == [25, 20]
    write_checkpoint(tmp_path, CONTENT | {"step": 26}, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000026.ckpt"]


def test_every_flipped_bit_of_a_checkpoint_is_told_or_changes_nothing(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path, CONTENT | {"step": 7}, keep=2)
    expected = newest_checkpoint(tmp_path, print)[1]
    whole = file.read_bytes()
    refused = []
    for bit in range(0, 8 * len(whole), 13):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        try:
            found = newest_checkpoint(tmp_path, print)[1]
        except ctprune.WeightsError as error:
            refused.append(str(error))
        else:
            assert torch.equal(found.pop("module")["weight"], CONTENT["module"]["weight"])  # type: ignore[index]
            assert found == {name: value for name, value in expected.items() if name != "module"}
    assert set(refused) == {
        f"{file}: the checkpoint of step 7 is damaged, and there is no other: start again in another folder"
    }
    # Filling between the parts of the archive carries nothing.
    assert len(refused) > 20


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(tmp_path: Path) -> None:
    for step in (5, 10, 20):
        file = write_checkpoint(tmp_path, CONTENT | {"step": step}, keep=3)
    tensor = file.read_bytes().index(torch.arange(3.0).numpy().tobytes())
    damaged = bytearray(file.read_bytes())
    damaged[tensor + 9] ^= 2
    file.write_bytes(damaged)
    assert torch.load(file, weights_only=True)["step"] == 20, "torch does not look at the checksums"
    notes: list[str] = []
    used, content = newest_checkpoint(tmp_path, notes.append)
    assert (used.name, content["step"]) == ("step-00000010.ckpt", 10)
    assert notes == [f"{file}: the checkpoint of step 20 is damaged: continuing from the one of step 10"]
    used.write_bytes(used.read_bytes()[:-100])
    notes.clear()
    assert newest_checkpoint(tmp_path, notes.append)[1]["step"] == 5
    assert len(notes) == 2


def test_a_run_without_a_whole_checkpoint_is_refused(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pre"
    (out / "checkpoints").mkdir(parents=True)
    (out / "config.yaml").write_text("{}")
    (out / "checkpoints/step-00000003.ckpt").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ctprune.WeightsError, match="step 3 is damaged, and there is no other"):
        PretrainingRun(run, out, tiny(), resume=True).carry_out()


def test_a_full_disk_at_a_checkpoint_is_one_sentence_that_names_it(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="Windows has no limits of this kind")
    program = (
        "import resource, sys, torch; from pathlib import Path;"
        "from ctprune.pretraining.checkpoints import write_checkpoint;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "write_checkpoint(Path(sys.argv[1]), {'step': 9, 'x': torch.zeros(100_000)}, keep=2)"
    )
    write_checkpoint(tmp_path, CONTENT | {"step": 5}, keep=2)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    file = tmp_path / "step-00000009.ckpt"
    sentence = f"ctprune.errors.OutputError: {file}: cannot be written: File too large"
    assert done.stderr.strip().splitlines()[-1] == sentence
    assert list(checkpoint_files(tmp_path)) == [5]


def test_two_into_one_folder_is_one_sentence(run: Path, tmp_path: Path) -> None:
    (tmp_path / "pre").mkdir()
    sentence = f"{tmp_path}/pre is in use by another ctprune: wait until it is done or choose another folder"
    with sole_writer(tmp_path / "pre"):
        for resume in (False, True):
            with pytest.raises(ctprune.InUseError, match=f"^{sentence}$"):
                ctprune.pretrain(run, tiny(), out=tmp_path / "pre", resume=resume)
    assert list((tmp_path / "pre").iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="these signals end a process at once on Windows")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_while_packing_leaves_nothing_behind(
    name: str, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctprune.reduce(archive, out=tmp_path / "run")
    held: list[bool] = []

    def interrupted(*_: object, **__: object) -> None:
        held.extend((folder / ".lock").exists() for folder in tmp_path.iterdir())
        os.kill(os.getpid(), getattr(signal, name))

    monkeypatch.setattr("ctprune.store.store.read_resized", interrupted)
    with pytest.raises(ctprune.Interrupted, match=r"interrupted after 0 of .*; nothing was written"):
        ctprune.pretrain(tmp_path / "run", tiny(), out=tmp_path / "pre")
    assert held == [True, True]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "config.yaml",
        "manifest.parquet",
        "summary.json",
    ]
    assert list((tmp_path / "pre").iterdir()) == []


@pytest.mark.slow
def test_a_training_that_was_killed_in_its_first_minutes_begins_again(run: Path, tmp_path: Path) -> None:
    (tmp_path / "pre").mkdir()
    (tmp_path / "pre/.lock").touch()
    (tmp_path / "pre/.config.yaml.12-0123abcd.part").mkdir()
    result = ctprune.pretrain(run, tiny("simclr", steps=1), out=tmp_path / "pre")
    assert result.summary["steps"] == 1
    assert not [path.name for path in (tmp_path / "pre").iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(os.name == "nt", reason="these signals end a process at once on Windows")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_training_asks_to_stop(name: str) -> None:
    number = getattr(signal, name)
    # What a shell starts in the background ignores Ctrl-C.
    before = signal.signal(number, signal.default_int_handler)
    try:
        operation = Operation()
        with ending_like_ctrl_c(), operation.finishing_steps():
            os.kill(os.getpid(), number)
            assert operation.stop_requested
    finally:
        signal.signal(number, before)


def test_what_ignores_a_signal_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        operation = Operation()
        with ending_like_ctrl_c(), operation.finishing_steps():
            os.kill(os.getpid(), signal.SIGHUP)
            assert not operation.stop_requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_is_like_ctrl_c_once_and_then_not_heard() -> None:
    def interrupted() -> None:
        with ending_like_ctrl_c():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                # While it is cleaned up, the second one must not disturb.
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert signal.getsignal(signal.SIGTERM) == before


def test_trainings_that_start_together_wait_for_the_store(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    shutil.copytree(run, tmp_path / "run")
    one = PretrainingRun(tmp_path / "run", tmp_path / "pre", tiny(side=40), note=notes.append)
    monkeypatch.setattr("ctprune.pretraining.run.time.sleep", _end)
    with sole_writer(tmp_path / "run"), pytest.raises(KeyboardInterrupt):
        one.carry_out()
    assert notes == [f"{tmp_path}/run is in use by another ctprune: waiting until it is done"]


def test_a_run_that_is_reduced_again_in_the_meantime_is_not_trained_on(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctprune.reduce(archive, out=tmp_path / "run")

    def reduce_again(*_: object) -> None:
        ctprune.reduce(archive, out=tmp_path / "run", threshold=1)

    monkeypatch.setattr(PretrainingRun, "_close_to_others", reduce_again)
    with pytest.raises(ctprune.ManifestError, match="was reduced again in the meantime"):
        ctprune.pretrain(tmp_path / "run", tiny(), out=tmp_path / "pre")


def _end(_: float) -> None:
    raise KeyboardInterrupt
