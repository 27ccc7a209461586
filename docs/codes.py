"""Write the tables of stable codes into their page: `python -m docs.codes`."""

from __future__ import annotations

from pathlib import Path

from docs.marks import between

from ctprune import _core
from ctprune.checking.codes import documentation

PAGE = Path(__file__).parent / "codes.md"


def inserted(page: str) -> str:
    """The page with the tables between its marks."""
    tables = f"\n{_core.codes_documentation()}\n## Found by ctprune check\n\n{documentation()}\n"
    return between(page, "tables of codes", tables, "end of tables")


if __name__ == "__main__":
    PAGE.write_text(inserted(PAGE.read_text()))
