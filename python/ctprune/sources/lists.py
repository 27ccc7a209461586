"""Lists of sources: text files with an address or path per line, as archives offer them, or tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ctprune import _core
from ctprune.errors import ConfigError, SourceError
from ctprune.sources.addresses import Address, as_address, parse_address

#: Columns that hold addresses, the best first. `series_aws_url` and the like are Imaging Data Commons'.
COLUMNS = ("address", "path", "file", "url", "series_aws_url", "aws_url", "series_gcs_url", "gcs_url")

#: Imaging Data Commons' bucket; a series is a folder in it, named by this column.
_IDC_BUCKET, _IDC_SERIES = "s3://idc-open-data", "crdc_series_uuid"

_TABLES = (".csv", ".tsv", ".parquet")

#: Commands of s5cmd in the manifests of Imaging Data Commons: `cp s3://bucket/series/* .`
_COMMANDS = ("cp", "sync")


class Listed(NamedTuple):
    """What one line names: an address, or a path on this machine."""

    source: Address | Path
    line: str


def read_list(file: str | os.PathLike[str]) -> list[Listed]:
    """The sources that a file lists, in order.

    Text files have one source per line; empty lines and lines that begin with `#` are ignored. Lines of s5cmd
    (`cp s3://bucket/series/* .`) are understood. Tables (`.csv`, `.tsv`, `.parquet`) have one of the `COLUMNS`.
    Paths are relative to the list's folder.

    Raises:
        SourceError: There is no such file, it cannot be read, or it lists nothing.
        ConfigError: A line cannot be used; the sentence names it.
    """
    path = Path(file)
    if not path.is_file():
        raise SourceError(f"{file}: expected a file that lists sources, found none")
    folder = Path(os.path.abspath(path)).parent
    try:
        lines = list(_lines(path))
    except UnicodeDecodeError:
        raise SourceError(f"{file}: expected text in UTF-8, or a .parquet table, found other bytes") from None
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{file}: cannot be read: {error.strerror}") from None
    found = [_listed(text, line, folder) for text, line in lines]
    if not found:
        raise SourceError(f"{file}: lists no source")
    return found


def _listed(text: str, line: str, folder: Path) -> Listed:
    address = as_address(text)
    try:
        if address is not None:
            return Listed(parse_address(address), line)
    except ConfigError as error:
        raise ConfigError(f"{line}: {error}") from None
    path = Path(os.path.abspath(folder / (text[:-1] if text.endswith(("/*", "\\*")) else text)))
    if not path.exists() and _core.container_of(path) is None:
        raise SourceError(f"{line}: {text}: no such file or folder")
    return Listed(path, line)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each address, with its place in the file."""
    ending = path.suffix.lower()
    if ending == ".parquet":
        yield from _of_parquet(path)
    elif ending in _TABLES:
        yield from _of_csv(path, "\t" if ending == ".tsv" else ",")
    else:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                text = line.strip()
                if text and not text.startswith("#"):
                    yield _of_command(text), f"{path}, line {number}"


def _of_command(line: str) -> str:
    """The address in a line of s5cmd; other lines are addresses or paths themselves."""
    words = line.split()
    if words[0] in _COMMANDS and len(words) > 1:
        addresses = [word.strip("'\"") for word in words[1:] if as_address(word.strip("'\""))]
        if addresses:
            return addresses[0]
    return line


def _of_csv(path: Path, separator: str) -> Iterator[tuple[str, str]]:
    import csv

    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=separator)
        header = next(rows, [])
        column, prefix = _column(header, path)
        index = header.index(column)
        try:
            for row in rows:
                text = row[index].strip() if len(row) > index else ""
                if not row:
                    continue
                if not text:
                    raise ConfigError(f"{path}, line {rows.line_num}: the column {column} is empty")
                yield _from_column(text, prefix), f"{path}, line {rows.line_num}"
        except csv.Error as error:
            raise ConfigError(f"{path}, line {rows.line_num}: {error}") from None


def _of_parquet(path: Path) -> Iterator[tuple[str, str]]:
    try:
        # Other columns may hold something other than text.
        names = [*COLUMNS, _IDC_SERIES]
        cases = (str, str.upper, str.capitalize, str.title)
        table, _ = _core.Rows.read(path, [in_case(name) for name in names for in_case in cases])
    except (ValueError, OSError):
        raise SourceError(f"{path}: expected a Parquet file, found something else") from None
    column, prefix = _column(table.columns, path)
    values = table[column]
    if not isinstance(values, list):
        raise ConfigError(f"{path}, row 1: expected an address in the column {column}, found none")
    for row, value in enumerate(values, 1):
        if not value.strip():
            raise ConfigError(f"{path}, row {row}: expected an address in the column {column}, found none")
        yield _from_column(value.strip(), prefix), f"{path}, row {row}"


def _column(header: list[str], path: Path) -> tuple[str, str]:
    """The column of addresses, and the prefix of its values."""
    by_name = {name.strip().lower(): name for name in header}
    for name in COLUMNS:
        if name in by_name:
            return by_name[name], ""
    if _IDC_SERIES in by_name:
        return by_name[_IDC_SERIES], f"{_IDC_BUCKET}/"
    raise ConfigError(
        f"{path}: expected a column {', '.join(COLUMNS[:4])}, {COLUMNS[4]} or {_IDC_SERIES}, found "
        f"{', '.join(header) or 'none'}"
    )


def _from_column(text: str, prefix: str) -> str:
    return f"{prefix}{text}/*" if prefix else text
