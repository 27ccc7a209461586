"""The tests that need a GPU, each one's outcome written as soon as it is known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benches.gpu.box import Box

#: Of the project's folder.
_TESTS = Path(__file__).parents[2] / "tests"


class Outcomes:
    """A plugin of pytest that writes a line for each test."""

    def __init__(self, box: Box) -> None:
        self._box = box

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A test that is skipped, or whose fixtures fail, has no call.
        if report.when != "call" and report.passed:
            return
        why = {} if report.passed else {"why": str(report.longrepr)[-1500:]}
        self._box.write(
            "test", test=report.nodeid, outcome=report.outcome, seconds=round(report.duration, 2), **why
        )


def run(box: Box) -> None:
    files = [str(file) for file in sorted(_TESTS.rglob("test_*.py")) if "mark.gpu" in file.read_text()]
    # Another version of torch warns of other things, which is no failure here.
    options = f"-m gpu -p no:cacheprovider -o filterwarnings=default --basetemp {box.work}/tests".split()
    # Nor are that machine's plugins needed.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    code = pytest.main([*options, f"--rootdir={_TESTS.parent}", *files], plugins=[Outcomes(box)])
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"pytest ended with {pytest.ExitCode(code).name.lower().replace('_', ' ')}")
