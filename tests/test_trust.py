"""Dependencies, licenses and citation are what the pages say."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
import yaml
from docs import dependencies

import ctprune

ROOT = Path(__file__).parents[1]

needs_cargo = pytest.mark.skipif(shutil.which("cargo") is None, reason="needs cargo")


@needs_cargo
def test_the_page_lists_every_dependency_with_its_license_and_reason() -> None:
    page = dependencies.PAGE.read_text(encoding="utf-8")
    assert dependencies.inserted(page) == page


@needs_cargo
def test_no_dependency_is_described_that_is_not_there() -> None:
    assert set(dependencies.PYTHON) == set(dependencies.required_by_python())
    assert set(dependencies.RUST) == set(dependencies.crates())


@needs_cargo
def test_every_crate_has_a_license_that_is_allowed() -> None:
    listed = (ROOT / "deny.toml").read_text(encoding="utf-8").split("allow = [")[1].split("]")[0]
    allowed = set(re.findall(r'"([^"]+)"', listed))
    for name, license in dependencies.crates().items():
        # Of several that are offered one is enough; of several that are joined all are needed.
        needed = [part.strip("() ") for part in license.split(" AND ")]
        assert all(allowed & set(re.split(r" OR |/", part)) for part in needed), (name, license)


@pytest.mark.parametrize("name", sorted(dependencies.PYTHON))
def test_the_license_of_an_installed_package_is_the_one_that_is_listed(name: str) -> None:
    try:
        about = metadata(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    classifiers = [text for text in about.get_all("Classifier", []) if "License" in text]
    said = " ".join([about.get("License-Expression") or "", (about.get("License") or "")[:200], *classifiers])
    family = dependencies.PYTHON[name][0].split("-")[0]
    names = {"Apache": "Apache", "BSD": "BSD", "PSF": "Python Software Foundation"}
    if said.strip():
        assert names.get(family, family) in said, (name, said)


def test_the_citation_names_this_version_and_the_paper() -> None:
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (found["cff-version"], found["type"]) == ("1.2.0", "software")
    assert found["version"] == ctprune.__version__
    assert set(found["license"]) == {"MIT", "Apache-2.0"}
    paper = found["preferred-citation"]
    assert paper["identifiers"][0]["value"] == "arXiv:2410.14524"
    assert all(author["family-names"] for author in paper["authors"])


def rows_of(text: str) -> list[str]:
    """The rows of a text's first table, without its head."""
    return re.findall(r"^\|.*\|$", text[text.index("\n|") :].split("\n\n")[0], re.MULTILINE)[2:]


def test_the_paper_and_the_readme_repeat_the_figures_and_the_paper_cites_what_its_list_has() -> None:
    paper = (ROOT / "paper" / "paper.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    # The figures stand in one place, and come from the record.
    figures = (ROOT / "benches" / "README.md").read_text(encoding="utf-8").split("## Figures\n")[1]
    repeated = rows_of(paper.split("# Performance\n")[1])
    assert len(repeated) == 7
    assert set(repeated) <= set(figures.splitlines())
    short = rows_of(readme.split("## How it compares\n")[1])
    assert len(short) == 4
    for row in short:
        task, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        [whole] = [line for line in figures.splitlines() if line.startswith(f"| {task}")]
        for number in re.findall(r"\d[\d,.]*(?: ×)?", " ".join(cells)):
            assert number in whole, (task, number)
    cited = set(re.findall(r"@(\w+)", paper.split("---\n", 2)[2]))
    listed = set(
        re.findall(r"^@\w+\{(\w+),", (ROOT / "paper" / "paper.bib").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert cited == listed
