"""Write the table of public names into its page: `python -m docs.api`. The site adds each one's docstring."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.marks import between

import ctprune

PAGE = Path(__file__).parent / "api.md"

#: Sections of the page, each with the packages whose names it holds, in order.
SECTIONS = {
    "Select slices": ("reduction", "manifest", "sweeping", "report", "exporting", "phantom"),
    "Fingerprints, similarity, selection": ("selection",),
    "Check an archive": ("checking", "duplicates", "overlapping"),
    "Train and evaluate": (
        "store",
        "torch",
        "networks",
        "pretraining",
        "finetuning",
        "segmenting",
        "converting",
        "comparison",
        "experiment",
    ),
    "Errors and progress": ("errors", "environment"),
}


def public_names() -> dict[str, list[str]]:
    """Names of `ctprune`, by section of the page; none is left out."""
    found: dict[str, list[str]] = {section: [] for section in SECTIONS}
    by_package = {package: section for section, packages in SECTIONS.items() for package in packages}
    for name in ctprune.__dir__():
        if name == "__version__":
            continue
        value = getattr(ctprune, name)
        module = value.__name__ if inspect.ismodule(value) else value.__module__
        found[by_package[module.split(".")[1]]].append(name)
    return {section: sorted(names, key=_functions_first) for section, names in found.items()}


def _functions_first(name: str) -> tuple[int, str]:
    return ("function", "module", "class", "exception").index(kind_of(name)), name


def kind_of(name: str) -> str:
    """`module`, `exception`, `class` or `function`."""
    value: Any = getattr(ctprune, name)
    if inspect.ismodule(value):
        return "module"
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function"


def table() -> str:
    """A table for each section: the name, and the first sentence of its docstring."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for section, names in public_names().items():
        yield f"\n## {section}\n"
        yield "| name | what it is |\n|---|---|"
        for name in names:
            first = (inspect.getdoc(getattr(ctprune, name)) or "").split("\n\n")[0].replace("\n", " ")
            yield f"| `{name}` | {first.replace('|', chr(92) + '|')} |"
    yield "\n"


def inserted(page: str) -> str:
    """The page with the tables between its marks."""
    return between(page, "names", table(), "end of names")


if __name__ == "__main__":
    PAGE.write_text(inserted(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
