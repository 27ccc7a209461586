"""Results on disk: raw figures as JSON per benchmark, and all of a day as one page to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "record"


def write(date: str, name: str, record: dict[str, Any], folder: Path = FOLDER) -> None:
    """Keep one benchmark's record and write the page of its day anew."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{date}-{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    records = [json.loads(file.read_text()) for file in sorted(folder.glob(f"{date}-*.json"))]
    (folder / f"{date}.md").write_text(_page(date, records))


def _page(date: str, records: list[dict[str, Any]]) -> str:
    """Benchmarks of one run share its environment, which is shown once."""
    runs: list[tuple[dict[str, str], list[dict[str, Any]]]] = []
    for record in records:
        same = [members for environment, members in runs if environment == record["environment"]]
        if same:
            same[0].append(record)
        else:
            runs.append((record["environment"], [record]))
    parts = [f"# Benchmarks of {date}", _READING]
    for environment, members in runs:
        parts += ["\n".join(f"- {name}: {value}" for name, value in environment.items())]
        parts += [_section(record) for record in members]
    return "\n\n".join(parts) + "\n"


_READING = (
    "Figures are medians; *from – to* are the lowest and the highest. *Time ratio* is the time per item over "
    "the first tool's in the same round, median and range: above 1 the first tool is faster."
)


def _section(record: dict[str, Any]) -> str:
    tables = [_table(table) for table in record["tables"]]
    return "\n\n".join([f"## {record['name']}", f"Input: {record['input']}. {record['about']}", *tables])


def _table(table: dict[str, Any]) -> str:
    lines = [f"### {table['title']}", ""]
    lines += [_row(table["header"]), _row(["---"] * len(table["header"]))]
    lines += [_row(row) for row in table["rows"]]
    lines += [f"\n{note}" for note in table["notes"]]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
