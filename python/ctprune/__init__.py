"""Pick the CT slices worth pre-training on, straight from a DICOM archive.

The main entry points are `reduce` (an archive to a manifest) and `Manifest`; `dhash`, `hamming` and
`select_exemplars` are its parts, `read_volume` reads one volume in Hounsfield units.
"""

from __future__ import annotations

import importlib
import os

# Spelled out, since to import typing takes longer than the rest: the program's start passes through here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: By public name the module that it comes from; filled from `__init__.pyi` when the first one is asked for.
_homes: dict[str, str] = {}


def _home_of(name: str) -> str | None:
    """The module that a public name comes from, as the stub says: names stand in one place, and load when used."""
    if not _homes:
        stub = __spec__.loader.get_data(os.path.join(os.path.dirname(__file__), "__init__.pyi")).decode()
        home = ""
        for line in stub.splitlines():
            words = line.split()
            if words[:1] == ["from"]:
                home = words[1]
            # As in `from ctprune.report.report import write_report as write_report`, on one line or several.
            if "as" in words:
                _homes[words[words.index("as") - 1]] = home
    return _homes.get(name)


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    home = _home_of(name)
    if home is None:
        raise AttributeError(f"module 'ctprune' has no attribute {name!r}")
    from ctprune.environment.extras import extra

    with extra("train", f"ctprune.{name}"):
        if home == "ctprune":
            return importlib.import_module(f"ctprune.{name}")
        return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    _home_of("")
    return sorted(_homes)
