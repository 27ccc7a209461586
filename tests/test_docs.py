"""What README and docs show runs: every shell and Python block, in order, and every docstring's example."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ctprune

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)

#: Set up the project itself, which the tests cannot do once more.
NOT_RUN = ("pip install", "make ", "git clone")


PAGES = (
    "README.md",
    "docs/tutorial.md",
    "docs/sweep.md",
    "docs/report.md",
    "docs/finetune.md",
    "docs/views.md",
)


@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/tutorial.md", "docs/sweep.md", "docs/report.md", "docs/finetune.md", "docs/views.md"],
)
def test_blocks_run_in_order(page: str, tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / page).read_text())
    assert blocks
    # `ctprune` is the installed command of the Python that runs the tests.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    # A page's Python blocks belong together, as in one session.
    session = ""
    for language, code in blocks:
        if language == "sh":
            commands = [line for line in code.splitlines() if not line.startswith(NOT_RUN)]
            command = ["bash", "-e", "-c", "\n".join(commands)]
        else:
            session += code
            command = [sys.executable, "-c", session]
        result = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True
        )
        assert result.returncode == 0, f"{code}\n{result.stdout}\n{result.stderr}"


def modules() -> list[str]:
    found = pkgutil.walk_packages(ctprune.__path__, "ctprune.")
    return [module.name for module in found if not module.name.endswith(("__main__", "_core"))]


@pytest.mark.parametrize("name", modules())
def test_examples_of_docstrings_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
