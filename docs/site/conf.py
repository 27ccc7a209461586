"""The site: the README, the pages of docs and the public docstrings, as HTML. `make docs` builds it into site/."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from docs import api  # noqa: E402

project = "ctprune"
author = "the authors of ctprune"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
root_doc = "README"
include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/notebooks/*.ipynb",
    "benches/README.md",
    "benches/gpu/README.md",
    "benches/record/*.md",
    "experiments/*.md",
    "experiments/results/*/comparison/*.md",
    "experiments/results/*/README.md",
    "fuzz/README.md",
    "fuzz/record/*.md",
    "recipe/README.md",
]
exclude_patterns = [
    ".venv",
    "target",
    "site",
    "demo",
    "paper",
    "python",
    "rust",
    "fuzz/target",
    "fuzz/corpus",
    ".git",
]
html_theme = "furo"
html_title = "ctprune"
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 4
# The tests run them; their outputs are those that are saved.
nb_execution_mode = "off"
myst_enable_extensions = ["smartquotes"]
autodoc_typehints = "description"
# Docstrings write code as Markdown does.
default_role = "code"
autodoc_member_order = "bysource"
# Else an attribute of a class would be described twice: by its docstring and by itself.
napoleon_use_ivar = True

#: Sections of the navigation, and their pages.
NAVIGATION = {
    "Start": ["docs/README", "docs/tutorial", "docs/notebooks/*", "docs/how-to", "docs/datasets", "docs/concepts"],
    "Select": [
        "docs/sources",
        "docs/remote",
        "docs/large-archives",
        "docs/ray",
        "docs/report",
        "docs/sweep",
        "docs/export",
    ],
    "Know the archive": ["docs/check", "docs/duplicates", "docs/overlap", "docs/privacy"],
    "Train": [
        "docs/pretrain",
        "docs/views",
        "docs/finetune",
        "docs/segment",
        "docs/compare",
        "docs/experiment",
        "experiments/*",
    ],
    "Reference": ["docs/commands", "docs/api", "docs/manifest", "docs/codes", "docs/terminal", "docs/json"],
    "Project": [
        "docs/architecture",
        "CONTRIBUTING",
        "benches/README",
        "benches/gpu/README",
        "fuzz/README",
        "docs/dependencies",
        "docs/stability",
        "SECURITY",
        "CODE_OF_CONDUCT",
        "CHANGELOG",
    ],
}

#: Pages with pages below them: a pattern, or a title and a page.
BELOW = {
    "benches/README": "record/*",
    "fuzz/README": "record/*",
    "experiments/README": "results/*/README\nresults/*/comparison/*",
}


def setup(app: Sphinx) -> None:
    """Connect what completes the pages; Sphinx calls this."""
    app.connect("source-read", _add)
    app.connect("build-finished", _first_page)
    app.connect("autodoc-process-docstring", _quote_patterns, priority=100)


def _add(app: Sphinx, name: str, source: list[str]) -> None:
    """To the README the navigation, to the page of the API the docstrings: on GitHub, neither would show."""
    if name == "README":
        source[0] += "".join(_tree("\n".join(pages), caption) for caption, pages in NAVIGATION.items())
    if name.endswith("/comparison/table"):
        # `ctprune compare` does not know of which experiment its table is.
        source[0] = f"# Results of {Path(name).parents[1].name}.yaml\n\n{source[0]}"
    if name in BELOW:
        source[0] += _tree(BELOW[name])
    if name == "docs/api":
        source[0] += _docstrings()


def _first_page(app: Sphinx, failed: Exception | None) -> None:
    if failed is None and app.builder.name == "html":
        shutil.copyfile(app.outdir / "README.html", app.outdir / "index.html")


def _quote_patterns(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Patterns such as '*.dcm' as code: a star would begin emphasis."""
    lines[:] = [re.sub(r"'([^']*\*[^']*)'", r"`\1`", line) for line in lines]


def _tree(pages: str, caption: str = "") -> str:
    caption = f":caption: {caption}\n" if caption else ""
    return f"\n```{{toctree}}\n:hidden:\n:glob:\n:titlesonly:\n{caption}\n{pages}\n```\n"


def _docstrings() -> str:
    blocks = []
    for section, names in api.public_names().items():
        blocks.append(f"\n## {section}, in full\n")
        for name in names:
            kind = api.kind_of(name)
            members = "" if kind == "function" else "   :members:\n"
            # Of named tuples not what every tuple has.
            members += "   :inherited-members: tuple\n" if kind == "class" else ""
            blocks.append(f"```{{eval-rst}}\n.. auto{kind}:: ctprune.{name}\n{members}```\n")
    return "\n".join(blocks)
