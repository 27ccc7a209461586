"""What docs/terminal.md says of the command line: exit codes, completion, color."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctprune.cli.output import EXIT_CODES, print_error

PAGE = (Path(__file__).parents[1] / "docs" / "terminal.md").read_text(encoding="utf-8")


def test_the_page_lists_the_exit_codes() -> None:
    table = PAGE.split("<!-- table of exit codes -->\n")[1].split("<!-- end of table -->")[0]
    rows = [f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items()]
    assert table == "".join(["| code | meaning |\n", "|---|---|\n", *rows])


def completed(words: str, cwd: Path) -> list[str]:
    """What bash is offered for the last of these words."""
    asked = {"_CTPRUNE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    code = "import sys; sys.argv = ['ctprune']; from ctprune.__main__ import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=os.environ | asked, capture_output=True, text=True
    ).stdout
    return shown.split()


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    assert completed("ctprune re", tmp_path) == ["reduce", "report"]
    assert completed("ctprune reduce --th", tmp_path) == ["--threshold", "--thickness", "--threads"]


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "colored"), [("1", False), (None, True)])
def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch, no_color: str | None, colored: bool) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    print_error("wrong")
    assert ("\x1b[1;31m" in terminal.getvalue()) == colored
