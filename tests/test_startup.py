"""What a command loads before it works: a user waits for nothing that the command does not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: Each takes from 10 ms to seconds to load.
HEAVY = frozenset(
    {"numpy", "pydicom", "torch", "matplotlib", "jinja2", "PIL", "rich", "pydantic", "yaml", "pyarrow"}
    | {"concurrent.futures", "logging", "html", "decimal", "csv", "ray", "obstore", "requests"}
    | {"hashlib", "secrets", "queue"}
)

#: The program; at the end it writes the names of the modules that it has loaded to stderr.
LOADED = """
import sys
sys.argv[0] = "ctprune"
from ctprune.__main__ import main
try:
    main()
finally:
    sys.stderr.write("loaded " + " ".join(sys.modules))
"""


def loaded(*arguments: str, cwd: Path) -> set[str]:
    """The modules that a call loads."""
    result = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in result.stderr
    return set(result.stderr.rpartition("loaded ")[2].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["reduce", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    found = loaded(*arguments, cwd=tmp_path)
    assert "ctprune.cli" in found
    assert HEAVY & found == set()


@pytest.mark.parametrize("arguments", [["redcue"], ["reduce"]])
def test_mistakes_load_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert HEAVY & loaded(*arguments, cwd=tmp_path) == set()


def test_help_loads_no_stage_of_the_work(tmp_path: Path) -> None:
    names = loaded("--help", cwd=tmp_path)
    stages = {name.split(".")[1] for name in names if name.startswith("ctprune.")}
    assert stages <= {"cli", "environment", "errors", "options", "__main__"}


def test_an_empty_reduction_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    found = loaded("reduce", "in", "--out", "run", cwd=tmp_path)
    assert "ctprune.reduction.reduction" in found
    assert HEAVY & found == set()
    assert (tmp_path / "run" / "config.yaml").is_file()
