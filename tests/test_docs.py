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
from typing import Any

import numpy as np
import pytest
import typer
from filelock import FileLock

import ctprune
from ctprune.cli import app
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


def small_reduction(folder: Path) -> None:
    ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64, slices=4)
    ctprune.reduce(folder / "dicoms", out=folder / "reduction")


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
    "docs/compare.md": three_fine_tunings,
    "docs/experiment.md": experiments_of_the_project,
    "docs/large-archives.md": lambda folder: None,
    "docs/terminal.md": small_reduction,
    "docs/json.md": small_reduction,
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
        config = PhantomConfig(**{n[2:]: int(v) for n, v in zip(options[::2], options[1::2], strict=True)})
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


#: Commands and blocks of Python of a page whose commands are indented.
STEP = re.compile(r"^    (ctprune [^\n]*)$|^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["docs/how-to.md", "docs/datasets.md"])
def test_how_tos_run_on_small_archives(page: str, tmp_path: Path, commands: Commands) -> None:
    write_stand_ins(tmp_path)
    steps = STEP.findall((ROOT / page).read_text())
    assert len(steps) > 8
    with session(tmp_path, dict(os.environ)) as run_python:
        for line, code in steps:
            if code:
                run_python(code)
            elif not any(word in line for word in ASK_A_SERVER):
                done = commands.run(shlex.split(line)[1:], cwd=tmp_path, env=os.environ, timeout=600)
                assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


#: Languages of blocks that run, by page (`sh`, `python`: see `PAGES`); of other blocks: what looks at them.
LOOKED_AT = {
    "text": "shows what is printed, or a file",
    "json": "shows what is printed; tests/test_json.py and tests/test_codes.py",
    "yaml": "tests/test_experiment_file.py reads experiments; a job of Kubernetes needs a cluster",
    "py": "needs a package that asks a server",
    "bash": "test_job_scripts_are_bash, tests/sources/test_page.py; of docs/terminal.md tests/test_terminal.py",
    "console": "needs a bucket: tests/sources/test_published.py",
    "": "shows what is printed",
}


def test_every_block_runs_or_says_why_it_does_not() -> None:
    run_elsewhere = {"docs/how-to.md"}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        name = page.relative_to(ROOT).as_posix()
        for language in re.findall(r"^```(\w*)\n.*?^```", page.read_text(), re.MULTILINE | re.DOTALL):
            runs = language in ("sh", "python") and name in PAGES.keys() | run_elsewhere
            assert runs or language in LOOKED_AT, (name, language)


def shown_commands(page: Path) -> Iterator[list[str]]:
    """The words of every command of ctprune that a page shows, in blocks, indented or within a sentence."""
    text = page.read_text().replace("\\\n", " ")
    blocks = "\n".join(re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    indented = "\n".join(re.findall(r"^ {4,}.*$", text, re.MULTILINE))
    within = re.findall(r"`(ctprune [^`]+)`", " ".join(text.split()))
    for line in [*f"{blocks}\n{indented}".splitlines(), *within]:
        for part in re.split(r"\||&&|;|2?>", line):
            if found := re.search(r"(?:^|\s|\")ctprune ([a-z]+(?: .*)?)$", part.rstrip()):
                # Within quotes, as `sbatch --wrap` takes a command, it ends with them.
                words = found[1].rstrip('"') if found[1].count('"') % 2 else found[1]
                yield shlex.split(words, comments=True)


#: Pages that show commands.
PROSE = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "experiments").glob("*.md")),
]


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.stem)
def test_commands_that_are_shown_have_options_that_there_are(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    for name, *words in shown_commands(page):
        command = group.get_command(None, name)
        assert command is not None, name
        # Named in a sentence, an option has no value.
        words += ["value"] * (bool(words) and words[-1].startswith("--"))
        command.make_parser(command.context_class(command)).parse_args(words)


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


#: Pages that people read on GitHub, too.
READ = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / folder / "README.md" for folder in ("benches", "benches/gpu", "experiments", "fuzz")),
    ROOT / "experiments" / "less-is-more.md",
]


def anchors(page: Path) -> set[str]:
    """What a link can lead to within a page, as GitHub and the site name it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", READ, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        led_to = page.parent / target if target else page
        assert led_to.exists(), target
        assert not anchor or anchor in anchors(led_to), f"{target}#{anchor}"


def test_the_readme_is_one_screen_and_a_half_and_leads_to_every_page() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    # On 80 columns, with 60 lines a screen.
    assert sum(max(1, -(-len(line) // 80)) for line in lines) <= 90
    assert "docs/README.md" in "\n".join(lines)
    index = (ROOT / "docs" / "README.md").read_text()
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in index]
    assert missing == ["README.md"]


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
        phantoms.run(shlex.split(line, comments=True)[1:], cwd=tmp_path, env=os.environ)
        if " --out reduction" in line:
            name = line.split("--out ")[1].split()[0]
            kept.append((name, json.loads((tmp_path / name / "summary.json").read_text())["kept"]))
    counts = dict(kept)
    assert len(list((tmp_path / "kept").rglob("*.png"))) == counts["reduction"]
    # The sample to compare with has the size of the reduction before it.
    assert counts.get("reduction-random", counts["reduction"]) == counts["reduction"]
