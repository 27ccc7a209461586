"""What `--log-level` shows on stderr, and that nothing is shown without it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ctprune.environment.log import Log
from tests.conftest import Cli

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (ERROR|WARNING|INFO|DEBUG) ctprune\.[a-z.]+: \S.*")


def logged(stderr: str) -> list[tuple[str, str]]:
    """Level and message of each line that is logged."""
    return [(found[1], line.partition(": ")[2]) for line in stderr.splitlines() if (found := LINE.fullmatch(line))]


def test_levels(cli: Cli, ct_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in" / "Mustermann"
    source.mkdir(parents=True)
    (source / "good.dcm").write_bytes(ct_file.read_bytes())
    (source / "cut.dcm").write_bytes(ct_file.read_bytes()[:300])
    plain = cli("reduce", "in", "--out", "run")
    assert (plain.returncode, logged(plain.stderr)) == (3, [])

    found = cli("--log-level", "info", "reduce", "in", "--out", "run", "--quiet")
    lines = logged(found.stderr)
    # Nothing else is on stderr.
    assert len(lines) == len(found.stderr.splitlines())
    said = "\n".join(message for _, message in lines)
    assert "2 files: 1 to read (0.0 MB), 1 taken over from an earlier reduction, 0 vanished" in said
    assert re.search(r"^finding begins$", said, re.MULTILINE)
    assert re.search(r"^finding took \d+\.\d{3} s$", said, re.MULTILINE)
    assert ("WARNING", "E-TRUNCATED: 1 file could not be read") in lines
    assert re.fullmatch(r"ended with exit code 3 after \d+\.\d{3} s", lines[-1][1])
    assert "DEBUG" not in {level for level, _ in lines}

    monkeypatch.setenv("CTPRUNE_LOG_LEVEL", "warning")
    assert [level for level, _ in logged(cli("reduce", "in", "--out", "run").stderr)] == ["WARNING"]
    monkeypatch.setenv("CTPRUNE_LOG_LEVEL", "error")
    ended = cli("reduce", "nothing", "--out", "run")
    assert [message[:25] for _, message in logged(ended.stderr)] == ["ended with exit code 1 af"]

    # The option stands above the variable.
    most = cli("--log-level", "DEBUG", "reduce", "nothing", "in", "--out", "run")
    said = "\n".join(message for _, message in logged(most.stderr))
    assert re.search(r"^ctprune \d.*, Python 3\.\d+\.\d+, ", said, re.MULTILINE)
    assert re.search(r"^numpy \d", said, re.MULTILINE)
    assert re.search(
        r"^SourceError was raised at ctprune\.sources\.\w+:\d+, called by ctprune\.", said, re.MULTILINE
    )
    assert "Mustermann" not in most.stderr
    assert str(tmp_path) not in said


def test_an_unknown_level_is_refused(cli: Cli) -> None:
    done = cli("--log-level", "loud", "info", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: --log-level loud: expected one of error, warning, info, debug\n"


def test_a_stage_within_another_operation_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    from ctprune.environment.progress import Operation

    outer = Operation()
    inner = Operation(lambda now: outer.pass_on(now, part="hash"))
    with caplog.at_level("INFO", "ctprune"):
        for done in range(3):
            inner.report("reading", done)
        inner.report("writing")
    messages = [record.getMessage() for record in caplog.records]
    assert [messages[0], messages[2]] == ["reading begins", "writing begins"]
    assert re.fullmatch(r"reading took \d+\.\d{3} s", messages[1])
    assert len(messages) == 3


def test_without_logging_nothing_is_loaded_and_nothing_printed() -> None:
    program = (
        "import sys; from ctprune.environment.log import Log; Log('ctprune.x').warning('%d', 1); "
        "print('logging' in sys.modules); import logging; Log('ctprune.x').warning('%d', 2)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_levels_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    log = Log("ctprune.tried")
    with caplog.at_level("DEBUG", "ctprune"):
        for say in (log.debug, log.info, log.warning, log.error):
            say("%s", say.__name__)
    assert [(one.levelname.lower(), one.getMessage()) for one in caplog.records] == [
        (name, name) for name in ("debug", "info", "warning", "error")
    ]
