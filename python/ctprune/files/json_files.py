"""JSON files that name the version of their layout, so that a ctprune of another layout refuses them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctprune.errors import CtpruneError
from ctprune.files.atomic import replace_file


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    with replace_file(file) as beside:
        beside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_versioned(
    file: Path, what: str, version: int, *, error: type[CtpruneError], missing: str, named: Path | None = None
) -> dict[str, Any]:
    """What a file holds besides `<what>_version` and `ctprune_version`.

    Args:
        file: The file.
        what: What the version is of, such as `model`.
        version: The version that can be read.
        error: What is raised.
        missing: Its sentence where the file is not there, or is another.
        named: What the sentence about another version names; by default the file.

    Raises:
        CtpruneError: The file is not there, is damaged or is of another version.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "model.json"
    >>> write_json(file, {"model_version": 1, "ctprune_version": "1.0", "side": 224})
    >>> read_versioned(file, "model", 1, error=CtpruneError, missing="expected a model")
    {'side': 224}
    """
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        found = content.pop(f"{what}_version")
        content.pop("ctprune_version")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise error(missing) from None
    if found != version:
        raise error(f"{named or file}: {what} version {found}, but this ctprune reads {version}")
    return content
