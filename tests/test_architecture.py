"""The tree is what docs/architecture.md says: its tables give the order, and imports go backwards in it only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "ctprune"
CRATES = ROOT / "rust"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

#: The only modules that lie loose at the top of the package.
LOOSE = {"__init__.py", "__main__.py", "errors.py"}


def first_column(heading: str) -> list[str]:
    """The names in the first column of the table below a heading of the page, in order."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([\w-]+)/?`", section, re.MULTILINE)


STAGES = first_column("Python stages")
ORDER_OF_CRATES = first_column("Rust crates")


def modules() -> dict[str, Path]:
    """Each module of the package by its full name."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = ["ctprune", *file.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


@cache
def imports(module: str) -> frozenset[str]:
    """The package's modules that a module imports, inside functions and for type checkers, too."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    return frozenset(name for name in map(home, _names(tree)) if name is not None and name != module)


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name != "ctprune")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ctprune":
            yield f"ctprune.{node.attr}"


def public_names() -> dict[str, str]:
    """The module of each name that the package itself passes on, as its types are declared."""
    declared = PACKAGE / "__init__.pyi"
    tree = ast.parse((declared if declared.exists() else PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    return {
        f"ctprune.{alias.asname or alias.name}": f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


PUBLIC = public_names()


def home(name: str) -> str | None:
    """The module that a dotted name comes from; None outside of the package, and for the Rust core.

    >>> home("ctprune.reduce"), home("ctprune.files.atomic.replace_file"), home("numpy.array")
    ('ctprune.reduction.reduce', 'ctprune.files.atomic', None)
    """
    if name not in MODULES:
        name = PUBLIC.get(name, name)
    if not name.startswith("ctprune.") or name.startswith("ctprune._core"):
        return None
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def stage_of(module: str) -> str:
    return module.split(".")[1]


#: All modules but the two doors: the package passes names on, and the program starts the command line.
INSIDE = sorted(MODULES.keys() - {"ctprune", "ctprune.__main__"})


def test_the_page_names_every_stage_once() -> None:
    folders = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert len(STAGES) == len(set(STAGES))
    assert set(STAGES) == folders | {"errors"}


def test_no_module_lies_loose() -> None:
    assert {file.name for file in PACKAGE.glob("*.py")} == LOOSE


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_earlier_ones_only(stage: str) -> None:
    allowed = set(STAGES[: STAGES.index(stage) + 1])
    against = {
        f"{module} imports {other}"
        for module in INSIDE
        if stage_of(module) == stage
        for other in imports(module)
        if stage_of(other) not in allowed
    }
    assert not against, f"against the order of docs/architecture.md: {sorted(against)}"


def test_imports_make_no_circle() -> None:
    try:
        TopologicalSorter({module: imports(module) for module in INSIDE}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_a_crate_depends_on_earlier_ones_only() -> None:
    manifests = {file.parent.name: file.read_text(encoding="utf-8") for file in CRATES.glob("*/Cargo.toml")}
    assert set(ORDER_OF_CRATES) == set(manifests)
    for position, crate in enumerate(ORDER_OF_CRATES):
        sections = re.split(r"^\[", manifests[crate], flags=re.MULTILINE)
        [used] = [one for one in sections if one.startswith("dependencies]")] or [""]
        own = set(re.findall(r"^(ctprune-\w+)\b", used, re.MULTILINE))
        assert own <= set(ORDER_OF_CRATES[:position]), crate


def test_the_picture_shows_what_the_tables_name() -> None:
    picture = (ROOT / "docs" / "images" / "architecture.svg").read_text(encoding="utf-8")
    drawn = re.findall(r'<text class="name[ \w]*"[^>]*>([\w-]+)<', picture)
    assert sorted(drawn) == sorted([*STAGES, *ORDER_OF_CRATES])


def test_files_that_the_page_names_exist() -> None:
    for path in re.findall(r"`((?:python|rust|tests|benches|docs)/[\w/.-]+)`", PAGE):
        assert (ROOT / path).exists(), path
