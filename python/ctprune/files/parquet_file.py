"""Parquet files by their paths: pyarrow alone takes `run-10:30/manifest.parquet` for a URI and refuses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def read_table(file: Path, columns: list[str] | None = None) -> pa.Table:
    """The whole table, or some of its columns, mapped into memory where that is possible."""
    with pa.memory_map(str(file)) as source:
        return pq.read_table(source, columns=columns)


def read_schema(file: Path) -> pa.Schema:
    """The columns and the metadata alone."""
    with pa.OSFile(str(file)) as source:
        return pq.read_schema(source)


@contextmanager
def opened(file: Path) -> Iterator[pq.ParquetFile]:
    """A file whose rows are read a few at a time."""
    with pa.OSFile(str(file)) as source:
        yield pq.ParquetFile(source)


@contextmanager
def writer(file: Path, schema: pa.Schema) -> Iterator[Any]:
    """Write batches of rows one after the other; the file is closed at the end of the block."""
    with pa.OSFile(str(file), "wb") as sink, pq.ParquetWriter(sink, schema, compression="zstd") as rows:
        yield rows


def write_table(table: pa.Table, file: Path) -> None:
    """Write a table that is in memory."""
    with pa.OSFile(str(file), "wb") as sink:
        pq.write_table(table, sink, compression="zstd")
