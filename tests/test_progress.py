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
from ctprune.cli import finetune, pretrain, reduce, sweep
from ctprune.cli.progress import SECONDS_PER_LINE, Lines, ProgressDisplay
from ctprune.finetuning.progress import FinetuneProgress
from ctprune.reduction.reduction import Progress
from tests.conftest import Cli


def test_a_line_at_each_change_of_stage_and_then_one_in_half_a_minute() -> None:
    now = 0.0
    lines: list[str] = []
    shown = Lines(lines.append, clock=lambda: now)
    for second in range(100):
        now = float(second)
        shown.show("reading", (f"{second} files",), done=second, total=400, stage="reading")
    shown.show("writing", (), 0, 0, "writing")
    assert SECONDS_PER_LINE == 30
    assert lines == [
        "reading: 0 files",
        "reading: 30 files, 6 min 10 s left",
        "reading: 60 files, 5 min 40 s left",
        "reading: 90 files, 5 min 10 s left",
        "writing",
    ]


def test_what_an_earlier_run_did_does_not_count_as_speed() -> None:
    now = 0.0
    lines: list[str] = []
    shown = Lines(lines.append, clock=lambda: now)
    shown.show("epoch 9/10", ("step 900/1,000",), 900, 1000, "training")
    now = 30.0
    shown.show("epoch 10/10", ("step 950/1,000",), 950, 1000, "training")
    assert lines == ["epoch 9/10: step 900/1,000", "epoch 10/10: step 950/1,000, 30 s left"]


def states() -> list[tuple[type[ProgressDisplay], list[tuple[object, ...]], str]]:
    # As the training gives it before its first line of the log; torch need not be loaded for this.
    first = SimpleNamespace(
        stage="training", done=1, total=30, epoch=1, epochs=3, loss=math.nan, images_per_second=0.0
    )
    return [
        (pretrain._Display, [(first,)], "step 1/30"),
        (
            reduce._Display,
            [(Progress(stage="finding"),), (Progress(stage="reading", files_to_read=9),)],
            "0/9 files",
        ),
        (reduce._Display, [(Progress(stage="embedding", slices=9, slices_embedded=1),)], "1/9 slices"),
        (finetune._Display, [(FinetuneProgress("reading", 1, 9),)], "1/9"),
        (sweep._Display, [("ssim", 1, 9)], "1/9"),
    ]


@pytest.mark.parametrize("place", range(5))
def test_the_first_state_claims_no_speed_and_no_loss(place: int, capsys: pytest.CaptureFixture[str]) -> None:
    kind, updates, counts = states()[place]
    with kind(hidden=False) as display:
        for update in updates:
            display.update(*update)  # type: ignore[attr-defined]
    line = capsys.readouterr().err.splitlines()[-1]
    assert counts in line
    assert "nan" not in line
    assert "–" in line
    assert " 0 " not in line


def test_reduce_sweep_and_report_write_their_stages_and_quiet_hides_them(
    cli: Cli, archive: Path, tmp_path: Path
) -> None:
    loud = cli("reduce", archive, "--out", "run").stderr
    stages = [line.split(":")[0] for line in loud.splitlines()]
    assert stages == ["finding files", "reading", "selecting", "writing"]
    files = len([file for file in archive.rglob("*") if file.is_file()])
    assert f"/{files} files" in loud
    # Nothing is read again, so that nothing is said of reading.
    again = [line.split(":")[0] for line in cli("reduce", archive, "--out", "run").stderr.splitlines()]
    assert again == ["finding files", "selecting", "writing"]
    assert cli("sweep", "run", "--method", "hash").stderr.startswith("hash: 1/65")
    assert cli("report", "run").stderr.startswith("reading pictures: ")
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
    from ctprune.cli.run import _Display

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
