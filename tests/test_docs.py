"""What README and docs show runs: every shell and Python block, in order, and every docstring's example."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import ctprune
from ctprune.phantom.config import PhantomConfig
from tests.commands import Commands
from tests.results import predictions, write_result
from tests.stand_ins import write_stand_ins

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)

#: Set up the project itself, which the tests cannot do once more.
NOT_RUN = ("pip install", "make ", "git clone")


def three_fine_tunings(folder: Path) -> None:
    labels = np.arange(40) % 2
    for seed, name in enumerate(("ft-all", "ft-hash6", "ft-random")):
        write_result(folder / name, labels, predictions(labels, skill=1.5, seeds=2, seed=seed))


def experiments_of_the_project(folder: Path) -> None:
    shutil.copytree(ROOT / "experiments", folder / "experiments")


#: Pages whose blocks run, and what must be there before.
PAGES: dict[str, Callable[[Path], None]] = {
    "README.md": lambda folder: None,
    "docs/tutorial.md": lambda folder: None,
    "docs/sweep.md": lambda folder: None,
    "docs/duplicates.md": lambda folder: None,
    "docs/overlap.md": lambda folder: None,
    "docs/export.md": lambda folder: None,
    "docs/report.md": lambda folder: None,
    "docs/check.md": lambda folder: None,
    "docs/codes.md": lambda folder: None,
    "docs/privacy.md": lambda folder: None,
    "docs/pretrain.md": lambda folder: None,
    "docs/views.md": lambda folder: None,
    "docs/finetune.md": lambda folder: None,
    "docs/segment.md": lambda folder: None,
    "docs/compare.md": three_fine_tunings,
    "docs/experiment.md": experiments_of_the_project,
    "docs/large-archives.md": lambda folder: None,
}


#: What only a shell can do: then bash runs the block.
NEEDS_A_SHELL = re.compile(r"[|<>&;$*~`?()]")


def plain_commands(block: list[str]) -> list[list[str]] | None:
    """The words of each command of ctprune, if a block has nothing else."""
    lines = [line for line in "\n".join(block).replace("\\\n", " ").splitlines() if line and line[0] != "#"]
    words = [shlex.split(line, comments=True) for line in lines]
    if any(line[0] != "ctprune" for line in words) or any(map(NEEDS_A_SHELL.search, lines)):
        return None
    return [line[1:] for line in words]


class Phantoms:
    """Runs commands, but makes each phantom once: the next page that asks for the same one gets a copy of it."""

    def __init__(self, commands: Commands, folder: Path) -> None:
        self._commands = commands
        self._folder = folder

    def run(self, words: list[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        """Run `ctprune WORDS`, which must end well."""
        if words[0] != "phantom":
            self._run(words, cwd, env)
            return
        out, options = words[1], words[2:]
        numbers = [word for word in options if word != "--masks"]
        given = {n[2:]: int(v) for n, v in zip(numbers[::2], numbers[1::2], strict=True)}
        config = PhantomConfig(masks="--masks" in options, **given)
        made = self._folder / "-".join(map(str, astuple(config)))
        self._folder.mkdir(exist_ok=True)
        with FileLock(made.with_suffix(".lock")):
            if not made.exists():
                self._run(["phantom", str(made), *options], cwd, env)
        shutil.copytree(made, cwd / out, copy_function=os.link)

    def _run(self, words: list[str], cwd: Path, env: Mapping[str, str]) -> None:
        done = self._commands.run(words, cwd=cwd, env=env, timeout=600)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="session")
def phantoms(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    mine = tmp_path_factory.getbasetemp()
    return Phantoms(commands, (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "phantoms")


@pytest.mark.parametrize("page", PAGES)
def test_blocks_run_in_order(page: str, tmp_path: Path, phantoms: Phantoms) -> None:
    PAGES[page](tmp_path)
    blocks = BLOCK.findall((ROOT / page).read_text())
    assert blocks
    # `ctprune` is the installed command of the Python that runs the tests.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path}
    with session(tmp_path, environment) as run_python:
        for language, code in blocks:
            if language == "python":
                run_python(code)
                continue
            lines = [line for line in code.splitlines() if not line.startswith(NOT_RUN)]
            plain = plain_commands(lines)
            if plain is not None:
                for words in plain:
                    phantoms.run(words, cwd=tmp_path, env=environment)
                continue
            command = ["bash", "-e", "-c", "\n".join(lines)]
            result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert result.returncode == 0, f"{code}\n{result.stdout}\n{result.stderr}"


#: Indented commands that ask a server, and cannot here.
ASK_A_SERVER = ("--download", "idc_manifest")


@pytest.mark.parametrize("page", ["docs/how-to.md", "docs/datasets.md"])
def test_commands_of_how_tos_run_on_small_archives(page: str, tmp_path: Path, commands: Commands) -> None:
    write_stand_ins(tmp_path)
    lines = re.findall(r"^    (ctprune .*)$", (ROOT / page).read_text(), re.MULTILINE)
    assert len(lines) > 8
    for line in lines:
        if any(word in line for word in ASK_A_SERVER):
            continue
        done = commands.run(shlex.split(line)[1:], cwd=tmp_path, env=os.environ, timeout=600)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


#: Runs blocks of Python that it gets as JSON, a line each, in one session; says what went wrong, if anything did.
_SESSION = """
import json, sys, traceback
answers, sys.stdout = sys.stdout, sys.stderr
names = {"__name__": "__main__"}
for line in sys.stdin:
    said = ""
    try:
        exec(json.loads(line), names)
    except BaseException:
        said = traceback.format_exc()
    print(json.dumps(said), file=answers, flush=True)
"""


@contextmanager
def session(folder: Path, environment: dict[str, str]) -> Iterator[Callable[[str], None]]:
    """What runs a page's Python blocks: they belong together."""
    with (folder.parent / f"{folder.name}-stderr.txt").open("w+") as stderr:
        python = subprocess.Popen(
            [sys.executable, "-c", _SESSION],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert python.stdin is not None
        assert python.stdout is not None

        def run(code: str) -> None:
            python.stdin.write(json.dumps(code) + "\n")
            python.stdin.flush()
            said = json.loads(python.stdout.readline() or '"the session ended"')
            stderr.seek(0)
            assert not said, f"{code}\n{said}\n{stderr.read()}"

        try:
            yield run
        finally:
            python.communicate()


@pytest.mark.skipif(os.name == "nt", reason="job scripts are bash's")
def test_job_scripts_are_bash() -> None:
    scripts = [
        script
        for page in ("docs/pretrain.md", "docs/experiment.md", "docs/large-archives.md")
        for script in re.findall(r"^```bash\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    ]
    assert len(scripts) == 6
    for script in scripts:
        checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, ""), script


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


def shell_lines(page: str, *names: str) -> list[str]:
    """The lines of a page's shell blocks that run these commands of ctprune."""
    blocks = [code for language, code in BLOCK.findall((ROOT / page).read_text()) if language == "sh"]
    commands = tuple(f"ctprune {name} " for name in names)
    return [line for code in blocks for line in code.splitlines() if line.startswith(commands)]


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_what_is_exported_is_what_was_selected_before(page: str, tmp_path: Path, phantoms: Phantoms) -> None:
    lines = shell_lines(page, "phantom", "reduce", "export")
    index = next(number for number, line in enumerate(lines) if line.startswith("ctprune export"))
    kept = []
    for line in lines[: index + 1]:
        phantoms.run(line.split()[1:], cwd=tmp_path, env=os.environ)
        if " --out reduction" in line:
            name = line.split("--out ")[1].split()[0]
            kept.append((name, json.loads((tmp_path / name / "summary.json").read_text())["kept"]))
    counts = dict(kept)
    assert len(list((tmp_path / "kept").rglob("*.png"))) == counts["reduction"]
    # The sample to compare with has the size of the reduction before it.
    assert counts.get("reduction-random", counts["reduction"]) == counts["reduction"]
