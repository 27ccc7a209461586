"""Tables besides the manifest: pyarrow reads ours, ours reads those of others, and what is broken is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctprune._core import Rows, parquet_metadata

COLUMNS = {
    "name": ["a", None, "", "ü, \n"],
    "count": np.array([0, -1, 2**62, 7]),
    "share": np.array([0.1, -np.inf, 1e-300, 2.0]),
    "probabilities": np.array([[0.25, 0.75], [1, 0], [0, 1], [0.5, 0.5]]),
}


def test_what_is_written_is_what_pyarrow_and_polars_read(tmp_path: Path) -> None:
    file = tmp_path / "run-10:30.parquet"
    Rows.from_columns(COLUMNS).write(file, '{"version": 1}')
    expected = {name: list(map(_plain, values)) for name, values in COLUMNS.items()}
    with pa.OSFile(str(file)) as opened:
        table = pq.read_table(opened)
    assert table.to_pydict() == expected
    assert table.schema.metadata[b"ctprune"] == b'{"version": 1}'
    assert polars.read_parquet(file.read_bytes())["count"].to_list() == expected["count"]
    rows, about = Rows.read(file)
    assert about == parquet_metadata(file) == '{"version": 1}'
    assert rows == Rows.from_columns(COLUMNS)
    assert [tuple(row.values()) for row in rows.to_dicts()] == list(zip(*expected.values(), strict=True))
    some, _ = Rows.read(file, ["share", "name"])
    assert some.columns == ["name", "share"]


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Rows.from_columns(COLUMNS).write(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert Rows.read(tmp_path / "a")[1] is None


@pytest.mark.parametrize("compression", ["snappy", "lz4", "none"])
def test_tables_of_pandas_are_read(tmp_path: Path, compression: str) -> None:
    frame = pandas.DataFrame(
        {
            "path": ["x.png", "y.png", "x.png"],
            "label": pandas.Categorical(["ill", None, "healthy"]),
            "frame": np.array([0, 1, 2], np.uint8),
            "weight": np.array([0.5, 1, np.nan], np.float32),
            "is_used": [True, False, True],
            "count": pandas.array([1, None, 3], "Int64"),
            "note": [None, None, None],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet", compression=compression)
    rows = Rows.read(tmp_path / "t.parquet")[0].to_dicts()
    assert rows[0] == {
        "path": "x.png",
        "label": "ill",
        "frame": 0,
        "weight": 0.5,
        "is_used": "True",
        "count": 1,
        "note": None,
    }
    assert (rows[1]["label"], rows[1]["count"], rows[2]["label"], rows[2]["frame"]) == (None, None, "healthy", 2)


def test_a_column_of_another_kind_is_named_when_it_is_asked_for(tmp_path: Path) -> None:
    table = pa.table({"day": pa.array([0, 1], pa.date32()), "label": ["a", "b"]})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="column day: expected texts or numbers, found Date32"):
        Rows.read(tmp_path / "t.parquet")
    assert Rows.read(tmp_path / "t.parquet", ["label"])[0]["label"] == ["a", "b"]


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    with pytest.raises(FileNotFoundError):
        Rows.read(file)
    file.write_text("path,label\n")
    with pytest.raises(ValueError, match="Parquet"):
        Rows.read(file)
    Rows.from_columns(COLUMNS).write(file)
    whole = bytearray(file.read_bytes())
    refusals = []
    for offset in range(0, len(whole), 41):
        flipped = whole.copy()
        flipped[offset] ^= 4
        file.write_bytes(flipped)
        try:
            # A flip in the mark of the checksum leaves a table that anybody may have written.
            assert Rows.read(file)[0] == Rows.from_columns(COLUMNS)
        except ValueError as error:
            refusals.append(str(error))
    assert len(refusals) > len(whole) // 41 - 2
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"Parquet|EOF"):
        Rows.read(file)


def test_columns_of_other_kinds_or_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="name: expected texts or numbers"):
        Rows.from_columns({"name": [1, 2]})  # type: ignore[list-item]
    with pytest.raises(ValueError, match="length"):
        Rows.from_columns({"a": ["x"], "b": np.array([1, 2])})


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
