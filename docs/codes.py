"""Write the tables of stable codes into their page: `python -m docs.codes`."""

from __future__ import annotations

import re
from pathlib import Path

from ctprune import _core
from ctprune.checking.codes import documentation

PAGE = Path(__file__).parent / "codes.md"


def inserted(page: str) -> str:
    """The page with the tables between its marks."""
    marked = re.compile(r"(<!-- tables of codes -->\n).*?(<!-- end of tables -->)", re.DOTALL)
    tables = f"{_core.codes_documentation()}\n## Found by ctprune check\n\n{documentation()}"
    found, count = marked.subn(lambda marks: f"{marks[1]}\n{tables}\n{marks[2]}", page)
    if count != 1:
        raise ValueError(f"expected one place for the tables of codes, found {count}")
    return found


if __name__ == "__main__":
    PAGE.write_text(inserted(PAGE.read_text()))
