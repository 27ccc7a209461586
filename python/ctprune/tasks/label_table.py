"""A CSV or Parquet table with a row per image: `path`, `label`, and where known `split`, `patient`, `frame`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ctprune import _core
from ctprune.errors import SourceError, TaskError
from ctprune.files.members import is_there
from ctprune.sources.addresses import as_address
from ctprune.tasks.columns import Columns
from ctprune.tasks.listing import SPLIT_NAMES, Entry, Listing, listing, patient_of

SUFFIXES = (".csv", ".parquet")

#: What tables may say of an image; other columns may hold dates, lists, anything, and are not read from Parquet.
_KNOWN = (
    *("path", "label", "split", "patient", "frame"),
    *("sop_instance_uid", "series_instance_uid", "study_instance_uid"),
)


def list_label_table(
    file: Path,
    patient_pattern: str | None,
    columns: Columns | None = None,
    subgroups: Sequence[str] = (),
    empty: bool = False,
) -> Listing:
    """Paths are relative to the table's folder, absolute, addresses, or those of members of containers.

    With `empty`, a cell of labels may be so.

    Raises:
        SourceError: The table is not there or empty.
        TaskError: A column is missing, a file is not there, or a split has no known name.
    """
    rows = read_table(file, required=("path", "label"), named=columns, empty=empty)
    root = file.parent
    entries = []
    for row, values in zip(rows, read_cells(file, subgroups), strict=True):
        # A path object keeps an address, but for one of its slashes.
        image = root / row["path"] if as_address(row["path"]) is None else Path(row["path"])
        if as_address(image) is None and (image.is_dir() or not is_there(image)):
            raise TaskError(f"{file}: names {row['path']}, but there is no such file in {root}")
        entries.append(
            Entry(
                name=row["path"].replace("\\", "/"),
                label=row["label"],
                split=split_of(file, row),
                patient=row.get("patient") or patient_of(image.name, patient_pattern),
                file=image,
                frame=frame_of(file, row),
                subgroups=values,
            )
        )
    return listing(file, "a table of labels", entries, classes_of(entries))


def read_table(
    file: Path, *, required: tuple[str, ...], named: Columns | None = None, empty: bool = False
) -> list[dict[str, Any]]:
    """Rows of text; empty cells are None.

    Args:
        file: A CSV or Parquet table.
        required: What each row must have.
        named: Which columns have path, label, split and patient; by default those of these names.
        empty: Whether a cell of labels may be empty, and is an empty text then.

    Raises:
        SourceError: There is no such file, or no row in it.
        TaskError: It is no table, a column is missing, or a row has no label.
    """
    if not file.is_file():
        raise SourceError(f"{file}: no such file")
    of_labels = () if named is None else named.labels
    if of_labels:
        required = tuple(name for name in required if name != "label")
    needed = [column for columns in (named or Columns()).used().values() for column in columns]
    columns, rows = _read(file, [*_KNOWN, *needed, *of_labels])
    rows = [{name: _text(value) for name, value in row.items()} for row in rows]
    renamed = () if named is None else named.renamed()
    missing = [name for name in (*required, *of_labels) if name not in (*columns, *renamed)]
    if named is not None:
        missing += [column for name in renamed for column in named.used()[name] if column not in columns]
    if missing:
        raise TaskError(f"{file}: expected a column {missing[0]}, found {', '.join(columns)}")
    if named is not None and renamed:
        rows = [_renamed(file, number, row, named, renamed) for number, row in enumerate(rows, 1)]
    if not rows:
        raise SourceError(f"{file}: the table has no row")
    for number, row in enumerate(rows, 1):
        if named is not None and of_labels:
            row["label"] = _labels_of(file, number, row, named)
        elif empty:
            row["label"] = row["label"] or ""
        for name in required:
            if row[name] is None:
                raise TaskError(f"{file}: row {number} has no {name}")
    return rows


def columns_there(file: Path, names: Sequence[str]) -> list[str]:
    """Which of these columns a table has.

    Raises:
        TaskError: It is no table.
    """
    return [name for name in names if name in _read(file, [*_KNOWN, *names])[0]]


def read_cells(file: Path, names: Sequence[str]) -> list[tuple[str | None, ...]]:
    """For each row of a table the cells of these columns as text; empty ones are None.

    Raises:
        TaskError: It is no table, or has no such column.
    """
    columns, rows = _read(file, [*_KNOWN, *names])
    for name in names:
        if name not in columns:
            raise TaskError(f"{file}: expected a column {name}, found {', '.join(columns)}")
    return [tuple(_text(row[name]) for name in names) for row in rows]


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


def _labels_of(file: Path, number: int, row: dict[str, Any], named: Columns) -> str:
    try:
        return named.labels_of(row)
    except ValueError as error:
        raise TaskError(f"{file}: row {number}: {error}") from None


def _renamed(
    file: Path, number: int, row: dict[str, Any], named: Columns, names: tuple[str, ...]
) -> dict[str, Any]:
    """The row with path, label, split and patient under these names."""
    try:
        return row | {name: named.value(name, row) for name in names}
    except ValueError as error:
        raise TaskError(f"{file}: row {number} does not fit the template: {error}") from None


def _read(file: Path, names: list[str]) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows of a table; of Parquet only the columns of these names."""
    try:
        return _read_parquet(file, names) if file.suffix.lower() == ".parquet" else _read_csv(file)
    except (OSError, ValueError, csv.Error) as error:
        raise TaskError(f"{file}: expected a CSV or Parquet table: {error}") from None


def _read_parquet(file: Path, names: list[str]) -> tuple[list[str], list[dict[str, Any]]]:
    table, _ = _core.Rows.read(file, list(dict.fromkeys(names)))
    return table.columns, table.to_dicts()


def _read_csv(file: Path) -> tuple[list[str], list[dict[str, Any]]]:
    # Spreadsheets put a mark before UTF-8. Labels such as 01 or 1.0 stay what they are.
    with file.open(newline="", encoding="utf-8-sig") as opened:
        lines = csv.reader(opened, strict=True)
        columns = next(lines, [])
        if not columns:
            raise ValueError("it is empty")
        rows = []
        for cells in lines:
            if not cells:
                continue
            if len(cells) != len(columns):
                raise ValueError(f"line {lines.line_num}: expected {len(columns)} cells, found {len(cells)}")
            rows.append(dict(zip(columns, cells, strict=True)))
    return columns, rows


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value).strip()
    return text or None
