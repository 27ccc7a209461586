"""Write what `--json` prints into its page: `python -m docs.json_schemas`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.marks import between

from ctprune.cli.output import JSON_VERSIONS
from ctprune.cli.schemas import OUTPUTS

PAGE = Path(__file__).parent / "json.md"

_HEAD = "| property | type | meaning |\n|---|---|---|\n"


def reference() -> str:
    """A section for each command, with a table of each object that it prints."""
    shown: dict[str, str] = {}
    sections = []
    for command, outputs in OUTPUTS.items():
        parts = [f"## ctprune {command}\n"]
        for output in outputs:
            schema = output.result()
            same = shown.setdefault(json.dumps(schema), output.name)
            about = f"`ctprune.{output.name}`, version {JSON_VERSIONS[output.name]}. {output.about}"
            if same == output.name:
                parts.append(f"{about}\n\n{_HEAD}{''.join(_rows(schema, ''))}")
            else:
                parts.append(
                    f"{about} It has the properties of [`ctprune.{same}`](#ctprune-{same.partition('.')[0]}).\n"
                )
        sections.append("\n".join(parts))
    return "\n".join(sections)


def _rows(schema: dict[str, Any], above: str) -> Iterator[str]:
    """A row for each property, those of parts below their whole."""
    for name, one in schema.get("properties", {}).items():
        optional = "" if name in schema["required"] else ", not always there"
        about = one["description"].replace("|", "\\|")
        yield f"| `{above}{name}` | {_type(one)}{optional} | {about} |\n"
        yield from _parts(one, f"{above}{name}")
    for pattern, one in schema.get("patternProperties", {}).items():
        yield f"| `{above}{pattern.lstrip('^')}…` | {_type(one)} | {one['description']} |\n"


def _parts(schema: dict[str, Any], name: str) -> Iterator[str]:
    if "title" in schema:
        # The page of commands lists the options.
        return
    yield from _rows(schema, f"{name}.")
    if isinstance(schema.get("items"), dict):
        yield from _parts(schema["items"], f"{name}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _parts(schema["additionalProperties"], f"{name}.*")


def _type(schema: dict[str, Any]) -> str:
    """The type in words, and the values that there can be."""
    kinds = schema.get("type", "any")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "enum" in schema:
        return ", ".join("null" if value is None else f"`{value}`" for value in schema["enum"])
    return " or ".join(kinds)


def inserted(page: str) -> str:
    """The page with the sections between its marks."""
    return between(page, "schemas", f"\n{reference()}\n", "end of schemas")


if __name__ == "__main__":
    PAGE.write_text(inserted(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
