"""What docs/terminal.md says of the command line: exit codes, completion, color."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctprune.cli.output import EXIT_CODES
from ctprune.cli.styles import styled
from tests.conftest import Cli

PAGE = (Path(__file__).parents[1] / "docs" / "terminal.md").read_text(encoding="utf-8")


def test_the_page_lists_the_exit_codes() -> None:
    table = PAGE.split("<!-- table of exit codes -->\n")[1].split("<!-- end of table -->")[0]
    rows = [f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items()]
    assert table == "".join(["| code | meaning |\n", "|---|---|\n", *rows])


def completed(words: str, cwd: Path) -> list[str]:
    """What bash is offered for the last of these words."""
    asked = {"_CTPRUNE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    code = "import sys; sys.argv = ['ctprune']; from ctprune.__main__ import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=os.environ | asked, capture_output=True, text=True
    ).stdout
    return [line.split(",")[1] for line in shown.splitlines()]


def test_a_shell_completes_commands_options_and_choices(tmp_path: Path) -> None:
    assert completed("ctprune re", tmp_path) == ["reduce", "report"]
    assert "--threshold" in completed("ctprune reduce --th", tmp_path)
    assert completed("ctprune reduce --method a", tmp_path) == ["ahash", "all"]
    assert completed("ctprune completion z", tmp_path) == ["zsh"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_calls_the_program(shell: str, cli: Cli) -> None:
    result = cli("completion", shell)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"_CTPRUNE_COMPLETE={shell}_complete" in result.stdout


def test_another_shell_gets_one_sentence(cli: Cli) -> None:
    result = cli("completion", "tcsh")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "tcsh: expected one of bash, zsh, fish" in result.stderr


class Terminal:
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        return True


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert styled("kept", "bold", stream=Terminal()) == "\x1b[1mkept\x1b[0m"  # type: ignore[arg-type]
    monkeypatch.setenv("NO_COLOR", "1")
    assert styled("kept", "bold", stream=Terminal()) == "kept"  # type: ignore[arg-type]
