"""A CSV or Parquet table with a row per image: `path`, `label`, and where known `split`, `patient`, `frame`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from ctprune.errors import SourceError, TaskError
from ctprune.files import parquet_file
from ctprune.finetuning.tasks.listing import SPLIT_NAMES, Entry, Listing, listing, patient_of

SUFFIXES = (".csv", ".parquet")


def list_label_table(file: Path, patient_pattern: str | None) -> Listing:
    """Paths are relative to the table's folder, or absolute.

    Raises:
        SourceError: The table is not there or empty.
        TaskError: A column is missing, a file is not there, or a split has no known name.
    """
    rows = read_table(file, required=("path", "label"))
    root = file.parent
    entries = []
    for row in rows:
        image = root / row["path"]
        if not image.is_file():
            raise TaskError(f"{file}: names {row['path']}, but there is no such file in {root}")
        entries.append(
            Entry(
                name=row["path"].replace("\\", "/"),
                label=row["label"],
                split=split_of(file, row),
                patient=row.get("patient") or patient_of(image.name, patient_pattern),
                file=image,
                frame=frame_of(file, row),
            )
        )
    return listing(file, "a table of labels", entries, classes_of(entries))


def read_table(file: Path, *, required: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of text; empty cells are None.

    Raises:
        SourceError: There is no such file, or no row in it.
        TaskError: It is no table, a column is missing, or a row has no label.
    """
    if not file.is_file():
        raise SourceError(f"{file}: no such file")
    try:
        table = parquet_file.read_table(file) if file.suffix.lower() == ".parquet" else _read_csv(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise TaskError(f"{file}: expected a CSV or Parquet table: {str(error).splitlines()[0]}") from None
    missing = [name for name in required if name not in table.column_names]
    if missing:
        raise TaskError(f"{file}: expected a column {missing[0]}, found {', '.join(table.column_names)}")
    rows = [{name: _text(value) for name, value in row.items()} for row in table.to_pylist()]
    if not rows:
        raise SourceError(f"{file}: the table has no row")
    for number, row in enumerate(rows, 1):
        for name in required:
            if row[name] is None:
                raise TaskError(f"{file}: row {number} has no {name}")
    return rows


def classes_of(entries: list[Entry]) -> list[str]:
    """Labels in order: by number if all of them are whole numbers, else as text.

    >>> classes_of([Entry("a", "10"), Entry("b", "9")])
    ['9', '10']
    """
    labels = {entry.label for entry in entries}
    if all(label.isdecimal() for label in labels):
        return sorted(labels, key=int)
    return sorted(labels)


def split_of(file: Path, row: dict[str, Any]) -> str | None:
    """The row's split by its usual name; None where it has none.

    Raises:
        TaskError: The name is not known.
    """
    name = row.get("split")
    if name is None:
        return None
    if name.lower() not in SPLIT_NAMES:
        raise TaskError(f"{file}: {row['label']} has an image in split {name}: expected train, val or test")
    return SPLIT_NAMES[name.lower()]


def frame_of(file: Path, row: dict[str, Any]) -> int | None:
    """The row's frame, from 0; None where it names none.

    Raises:
        TaskError: It is no whole number.
    """
    value = row.get("frame")
    if value is None:
        return None
    if not value.isdecimal():
        raise TaskError(f"{file}: expected a frame from 0, found {value}")
    return int(value)


def _read_csv(file: Path) -> pa.Table:
    names = pa.csv.open_csv(file).schema.names
    # Labels such as 01 or 1.0 stay what they are.
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True)
    return pa.csv.read_csv(file, convert_options=convert)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value).strip()
    return text or None
