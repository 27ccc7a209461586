"""What docs/terminal.md says of the command line: exit codes, completion, color."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ctprune.cli.output import (
    DONE_WITH_FAILURES,
    FAILED,
    INTERRUPTED,
    NO_SLICES,
    WRONG_USAGE,
    print_error,
    print_hint,
)

PAGE = (Path(__file__).parents[1] / "docs" / "terminal.md").read_text(encoding="utf-8")


def test_the_page_lists_the_exit_codes() -> None:
    table = PAGE.split("<!-- table of exit codes -->\n")[1].split("<!-- end of table -->")[0]
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert codes == [0, FAILED, WRONG_USAGE, DONE_WITH_FAILURES, NO_SLICES, INTERRUPTED]


#: What each shell sets when the Tab key is pressed, and how it takes an answer.
SHELLS = {
    "bash": lambda words: {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))},
    "zsh": lambda words: {"_TYPER_COMPLETE_ARGS": words},
    "fish": lambda words: {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}


def program(*arguments: str, cwd: Path, **environment: str) -> str:
    """What the installed command prints; it knows its name by how it is called."""
    code = "import sys; sys.argv[0] = 'ctprune'; from ctprune.__main__ import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    ).stdout


def completed(shell: str, words: str, cwd: Path) -> list[str]:
    """What a shell is offered for the last of these words."""
    shown = program(cwd=cwd, _CTPRUNE_COMPLETE=f"complete_{shell}", **SHELLS[shell](words))
    # zsh and fish show what each is, too, on lines that may break.
    name = {"bash": r"^(\S+)$", "zsh": r'"([^"]+)":"', "fish": r"^(\S+)\t"}[shell]
    return re.findall(name, shown, re.MULTILINE)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_and_options(shell: str, tmp_path: Path) -> None:
    assert completed(shell, "ctprune re", tmp_path) == ["reduce", "report"]
    assert completed(shell, "ctprune reduce --th", tmp_path) == ["--threshold", "--thickness", "--threads"]


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_is_installed_for_each_shell(shell: str, tmp_path: Path) -> None:
    # Otherwise it asks which shell it was started from.
    alone = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    said = program("--install-completion", shell, cwd=tmp_path, **alone)
    assert f"{shell} completion installed" in said
    written = "".join(file.read_text(encoding="utf-8") for file in tmp_path.rglob("*") if file.is_file())
    assert f"complete_{shell}" in written


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


def test_on_a_terminal_sentences_break_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    print_error("a/long-name/of-a-file.dcm: cannot be read")
    print_hint("two\nlines of a hint, made one")
    assert terminal.getvalue().splitlines() == [
        "Error:",
        "a/long-name/of-a-file.dcm:",
        "cannot be read",
        "two\\nlines of a hint,",
        "made one",
    ]


def test_elsewhere_a_sentence_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    print_error("wrong in [this] and in every other way")
    print_hint("a hint that is longer than that")
    assert capsys.readouterr().err.splitlines() == [
        "Error: wrong in [this] and in every other way",
        "a hint that is longer than that",
    ]
