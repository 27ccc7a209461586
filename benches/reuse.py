"""What a user waits for at the command line: help, and a second run with another threshold."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ctprune
from benches import series
from benches.measure import Contender, compare
from benches.settings import Settings

_HELP_ROUNDS = 10


def run(settings: Settings, threads: int) -> dict[str, Any]:
    folders = series.copies(settings)
    files = sum(len(list(folder.iterdir())) for folder in folders)
    title = f"{files:,} files reduced by the command line, {threads} threads"
    return {
        "input": f"{series.about(settings)}, {len(folders)} copies as series of their own, uncompressed",
        "about": "Goal: help in less than 0.3 s.",
        "tables": [
            compare("Help", _help(), rounds=_HELP_ROUNDS, unit="s"),
            compare(title, _reductions(folders[0].parent, settings), rounds=settings.rounds, unit="s"),
        ],
    }


def _help() -> list[Contender]:
    commands = {
        "ctprune --help": ["-m", "ctprune", "--help"],
        "ctprune reduce --help": ["-m", "ctprune", "reduce", "--help"],
        "python that does nothing": ["-c", "pass"],
    }
    return [
        Contender(name=name, run=lambda command=command: _python(command), items=1, loops=1)
        for name, command in commands.items()
    ]


def _reductions(root: Path, settings: Settings) -> list[Contender]:
    """From nothing, and from a run with threshold 6 to one with 3, which reads no pixel."""
    first, again = Path(settings.work) / "first", Path(settings.work) / "again"

    def reduce_anew() -> None:
        shutil.rmtree(first, ignore_errors=True)
        _python(["-m", "ctprune", "reduce", str(root), "--out", str(first), "--quiet"])

    def reduce_again() -> None:
        _python(["-m", "ctprune", "reduce", str(root), "--out", str(again), "--threshold", "3", "--quiet"])

    ctprune.reduce(root, out=again)
    reduce_again()
    _check(root, again)
    return [
        Contender(name="first run", run=reduce_anew, items=1, loops=1),
        Contender(name="another threshold", run=reduce_again, items=1, loops=1, note="fingerprints reused"),
    ]


def _check(root: Path, again: Path) -> None:
    columns = ["path", "status", "exemplar"]
    reused = ctprune.Manifest.load(again).rows.select(columns)
    if reused != ctprune.reduce(root, threshold=3).rows.select(columns):
        raise AssertionError("a second run with another threshold gives another result than a first one")


def _python(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
