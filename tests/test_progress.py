"""Progress where there is no terminal: plain lines now and then; nothing is claimed before it is measured."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import ctprune
from ctprune.cli.progress import SECONDS_PER_LINE, Lines, ProgressDisplay
from ctprune.environment.progress import Operation, Progress
from tests.conftest import Cli


def test_a_line_at_each_change_of_stage_and_then_one_in_half_a_minute() -> None:
    now = 0.0
    lines: list[str] = []
    shown = ProgressDisplay(write=lines.append, clock=lambda: now)
    for second in range(100):
        now = float(second)
        shown.update(Progress(stage="reading", done=second, total=400, unit="steps"))
    shown.update(Progress(stage="writing"))
    assert SECONDS_PER_LINE == 30
    assert lines == [
        "reading: 0/400 steps",
        "reading: 30/400 steps, 6 min 10 s left",
        "reading: 60/400 steps, 5 min 40 s left",
        "reading: 90/400 steps, 5 min 10 s left",
        "writing",
    ]


def test_what_an_earlier_run_did_does_not_count_as_speed() -> None:
    now = 0.0
    lines: list[str] = []
    shown = ProgressDisplay(write=lines.append, clock=lambda: now)
    shown.update(Progress(stage="packing", done=900, total=1000, unit="slices"))
    now = 30.0
    shown.update(Progress(stage="packing", done=950, total=1000, unit="slices"))
    assert lines == [
        "packing: 900/1,000 slices, – slices/s",
        "packing: 950/1,000 slices, 2 slices/s, 30 s left",
    ]


def test_a_new_epoch_or_a_probe_is_no_new_stage_and_a_new_seed_is_one() -> None:
    lines: list[str] = []
    shown = ProgressDisplay(write=lines.append, clock=lambda: 0.0)
    for epoch, facts in ((1, {}), (1, {"now": "probing"}), (2, {})):
        epochs = {"epoch": epoch, "epochs": 2, "loss": 1.25, "slices_per_second": 1234.0}
        shown.update(Progress(stage="training", done=3, total=6, unit="steps", facts=epochs | facts))
    for seed in (1, 2):
        accuracy = {"accuracy": 0.5 if seed == 2 else None}
        shown.update(
            Progress(stage="training", part=f"seed {seed}/2", done=1, total=9, unit="epochs", facts=accuracy)
        )
    assert lines == [
        "training: 3/6 steps, epoch 1/2, loss 1.2500, 1,234 slices/s",
        "seed 1/2: training: 1/9 epochs",
        "seed 2/2: training: 1/9 epochs, accuracy 0.5000",
    ]


FILES = {"files_to_read": 9, "files_read": 0, "slices_read": 0}


@pytest.mark.parametrize(
    ("report", "shown"),
    [
        # As the training reports before its first line of the log.
        (
            Progress(
                stage="training",
                done=1,
                total=30,
                unit="steps",
                facts={"epoch": 1, "epochs": 3, "loss": math.nan, "slices_per_second": 0.0},
            ),
            "1/30 steps",
        ),
        (Progress(stage="reading", total=9_000_000, unit="bytes", facts=FILES), "0/9 files"),
        (Progress(stage="embedding", done=1, total=9, unit="slices"), "1/9 slices"),
        (Progress(stage="reading", done=1, total=9, unit="images"), "1/9 images"),
        (Progress(stage="ssim", done=1, total=9, unit="slices"), "1/9 slices"),
    ],
)
def test_the_first_state_claims_no_speed_and_no_loss(
    report: Progress, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressDisplay() as display:
        display.update(report)
    line = capsys.readouterr().err.splitlines()[-1]
    assert shown in line
    assert "nan" not in line
    assert "–" in line
    assert " 0 " not in line


def test_a_report_asks_the_operation_to_stop() -> None:
    def stop(now: ctprune.Progress) -> None:
        if now.done == 2:
            now.stop()

    operation = Operation(stop)
    count = operation.counter("reading", 9, "files")
    count(1)
    with pytest.raises(KeyboardInterrupt):
        count(2)
    gentle = Operation(stop)
    with gentle.finishing_steps():
        gentle.report("training", 2, 9, "steps")
    assert gentle.stop_requested


def test_a_request_to_stop_reaches_the_operation_within() -> None:
    outer = Operation(lambda now: now.stop())
    inner = Operation(lambda now: outer.pass_on(now, part="reduce hash"))
    with inner.finishing_steps():
        inner.report("reading", 1, 2, "files")
    assert (outer.stop_requested, inner.stop_requested) == (True, True)
    # It ends the operation within, which keeps its work, and not the report in the middle of it.
    with pytest.raises(KeyboardInterrupt):
        inner.report("reading", 2, 2, "files")


def test_a_callers_stop_keeps_what_a_reduction_has_read(archive: Path, tmp_path: Path) -> None:
    def stop(now: ctprune.Progress) -> None:
        if now.stage == "selecting":
            now.stop()

    with pytest.raises(ctprune.Interrupted, match="rerun to resume"):
        ctprune.reduce(archive, out=tmp_path / "run", progress=stop)
    reports: list[ctprune.Progress] = []
    ctprune.reduce(archive, out=tmp_path / "run", progress=reports.append)
    assert reports[-1].facts["files_read"] == 0
    assert list(reports[-1].seconds) == ["finding", "selecting", "writing"]


def test_reduce_sweep_and_report_write_their_stages_and_quiet_hides_them(
    cli: Cli, archive: Path, tmp_path: Path
) -> None:
    loud = cli("reduce", archive, "--out", "run").stderr
    # Sentences are hints.
    stages = [stage for line in loud.splitlines() if " " not in (stage := line.split(":")[0])]
    assert stages == ["finding", "reading", "selecting", "writing"]
    files = len([file for file in archive.rglob("*") if file.is_file()])
    assert f"/{files} files" in loud
    # Nothing is read again, so that nothing is said of reading.
    quiet = cli("reduce", archive, "--out", "run").stderr
    again = [stage for line in quiet.splitlines() if " " not in (stage := line.split(":")[0])]
    assert again == ["finding", "selecting", "writing"]
    assert cli("sweep", "run", "--method", "hash").stderr.startswith("hash: 1/65")
    assert cli("report", "run").stderr.startswith("reading: ")
    for command in (["reduce", archive, "--out", "run"], ["sweep", "run"], ["report", "run"]):
        assert cli(*command, "--quiet").stderr == ""


#: The program on a terminal of 80 columns; prints what it drew there.
ON_TERMINAL = """
import os, pty, struct, fcntl, termios, sys
child, terminal = pty.fork()
if not child:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.execv(sys.executable, [sys.executable, "-m", "ctprune", *sys.argv[1:]])
drawn = b""
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    drawn += part
os.waitpid(child, 0)
sys.stdout.buffer.write(drawn)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such terminals")
def test_a_terminal_gets_a_bar_and_no_lines(archive: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", ON_TERMINAL, "reduce", str(archive), "--out", "run"]
    environment = os.environ | {"TERM": "xterm"}
    drawn = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True).stdout.decode()
    assert "left" in drawn
    # The bar is wiped when it is done.
    assert "\x1b[2K" in drawn
    assert "selecting\r\n" not in drawn
    assert ctprune.Manifest.load(tmp_path / "run").counts()["kept"]


def test_an_experiment_writes_each_change_and_what_a_long_step_is_at(capsys: pytest.CaptureFixture[str]) -> None:
    from ctprune.cli.experiment import _Display

    def status(state: str, stage: str = "", seconds: float | None = None, text: str = "") -> SimpleNamespace:
        step = SimpleNamespace(kind="reduce", name="hash")
        return SimpleNamespace(step=step, state=state, stage=stage, seconds=seconds, text=text)

    waiting = status("waiting")
    with _Display(hidden=False, steps=True) as display:
        for now in (
            status("running", "", 0.0),
            status("running", "reading", 0.1),
            status("running", "reading", 2.0),
            status("running", "writing", 75.0),
            status("done", text="3 of 9 slices kept"),
            status("done", text="3 of 9 slices kept"),
        ):
            display.update((now, waiting))  # type: ignore[arg-type]
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] reduce hash: running",
        "[1/2] reduce hash: running: reading",
        "[1/2] reduce hash: running: writing: 1 min 15 s",
        "[1/2] reduce hash: done: 3 of 9 slices kept",
    ]
    with _Display(hidden=True, steps=True) as display:
        display.update((status("done"), waiting))  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""


def test_the_time_left_of_seeds_is_that_of_all_of_them() -> None:
    now = 0.0
    lines: list[str] = []
    shown = ProgressDisplay(write=lines.append, clock=lambda: now)
    for number, seed in enumerate((1, 2, 3)):
        for epoch in (0, 10):
            # Ten epochs take 60 seconds, what comes between two seeds 30.
            now = number * 90.0 + epoch * 6
            part = f"seed {seed}/3"
            shown.update(Progress(stage="training", part=part, done=epoch, total=10, unit="epochs"))
        shown.update(Progress(stage="predicting", part=f"seed {seed}/3"))
    assert lines == [
        "seed 1/3: training: 0/10 epochs",
        "seed 1/3: training: 10/10 epochs, 2 min 0 s left",
        "seed 1/3: predicting",
        "seed 2/3: training: 0/10 epochs, 3 min 0 s left",
        "seed 2/3: training: 10/10 epochs, 1 min 15 s left",
        "seed 2/3: predicting",
        "seed 3/3: training: 0/10 epochs, 1 min 30 s left",
        "seed 3/3: training: 10/10 epochs",
        "seed 3/3: predicting",
    ]


def test_an_experiment_says_how_long_its_other_steps_take(capsys: pytest.CaptureFixture[str]) -> None:
    from ctprune.cli.experiment import _Display

    def status(name: str, kind: str, state: str, seconds: float | None = None) -> SimpleNamespace:
        step = SimpleNamespace(kind=kind, name=name)
        return SimpleNamespace(step=step, state=state, stage="", seconds=seconds, text="")

    with _Display(hidden=False, steps=True) as display:
        first = status("a", "reduce", "done", 60.0)
        display.update((first, status("b", "reduce", "waiting")))  # type: ignore[arg-type]
        # Nothing is known of a kind of which no step is done.
        other = status("b", "reduce", "done", 90.0)
        display.update((first, other, status("a", "pretrain", "waiting")))  # type: ignore[arg-type]
        last = status("c", "reduce", "done", 30.0)
        display.update((first, other, last, status("d", "reduce", "running", 20.0)))  # type: ignore[arg-type]
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] reduce a: done; about 1 min 0 s left for all steps",
        "[2/3] reduce b: done",
        "[3/4] reduce c: done; about 40 s left for all steps",
        "[4/4] reduce d: running: 20 s",
    ]


def test_an_experiment_says_how_long_its_step_takes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ctprune.cli import experiment

    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    step = SimpleNamespace(kind="pretrain", name="hash")
    with experiment._Display(hidden=False, steps=True) as display:
        display._lines = Lines(clock=lambda: now)
        for second in (0, 60):
            now = float(second)
            display.report(Progress(stage="training", part="pretrain hash", done=second, total=600, unit="steps"))
            running = SimpleNamespace(step=step, state="running", stage="training", seconds=now, text="")
            display.update((running,))  # type: ignore[arg-type]
    assert capsys.readouterr().err.splitlines() == [
        "[1/1] pretrain hash: running: training: 0/600 steps",
        "[1/1] pretrain hash: running: training: 60/600 steps, 1 min 0 s, 9 min 0 s left",
    ]
