"""A manifest as an object: its columns are documented, other libraries take it, and notebooks show it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import ctprune
from ctprune import _core
from ctprune.manifest.manifest import FILE_NAME, write_manifest
from tests.manifest_schema import schema

DOCUMENTED = Path(__file__).parent.parent / "docs" / "manifest.md"


def test_the_documented_columns_are_those_of_the_schema() -> None:
    assert _core.manifest_columns() in DOCUMENTED.read_text(encoding="utf-8")


def test_other_libraries_take_a_manifest_as_it_is(manifest: ctprune.Manifest) -> None:
    import duckdb
    import polars

    assert pa.table(manifest).schema.equals(schema(8))
    rows = manifest.rows.to_dicts()
    assert pa.table(manifest).to_pylist() == rows
    assert polars.DataFrame(manifest).to_dicts() == rows == manifest.to_polars().to_dicts()
    assert manifest.to_pandas()["path"].tolist() == [row["path"] for row in rows]
    assert duckdb.sql("select count(*) from manifest").fetchall() == [(len(rows),)]


def test_columns_are_lists_and_arrays(manifest: ctprune.Manifest) -> None:
    rows, expected = manifest.rows, pa.table(manifest)
    for name in rows.columns:
        values = expected[name].to_pylist()
        found = rows[name]
        if isinstance(found, list):
            assert found == [value or "" for value in values]
            continue
        for row, value in zip(found, values, strict=True):
            if value is None:
                assert np.all(row == -1) or np.all(np.isnan(row.astype(float))) or not row.any()
            elif isinstance(value, bytes):
                assert row.tobytes() == value
            else:
                assert np.array_equal(row, value)
    with pytest.raises(KeyError, match="no such column"):
        rows["patient"]


def test_rows_are_cut_chosen_and_put_together(manifest: ctprune.Manifest) -> None:
    rows, all_rows = manifest.rows, manifest.rows.to_dicts()
    parts = _core.Rows.concat([rows.slice(0, 5), rows.slice(5, 6), rows.slice(6, 10**9)])
    assert parts == rows
    assert parts != rows.slice(1, len(rows))
    order = np.random.default_rng(1).permutation(len(rows))
    assert parts.take(order).to_dicts() == [all_rows[row] for row in order]
    mask = np.arange(len(rows)) % 3 == 0
    assert parts.filter(mask).to_dicts() == all_rows[::3]
    names, of = parts.labels("status")
    assert [names[index] for index in of] == rows["status"]
    assert parts.select(["status"]).columns == ["status"]
    with pytest.raises(IndexError, match="is not one of"):
        parts.take(np.array([len(rows)]))
    assert _core.Rows.from_arrow(pa.table(manifest), 8) == rows


def test_slices_have_their_selection_as_arrays(manifest: ctprune.Manifest) -> None:
    slices = manifest.slices()
    counts = manifest.counts()
    assert len(slices) == counts["kept"] + counts["dropped"]
    assert slices.kept.sum() == counts["kept"]
    assert (slices.exemplar[slices.kept] == np.flatnonzero(slices.kept)).all()
    for start, stop in zip(slices.starts[:-1], slices.starts[1:], strict=True):
        assert len(set(slices.volume[start:stop].tolist())) == 1
        assert slices.slice_index[start:stop].tolist() == list(range(stop - start))


def test_a_manifest_shows_what_it_is(manifest: ctprune.Manifest) -> None:
    counts = manifest.counts()
    assert repr(manifest).startswith(
        f"<Manifest: {counts['kept'] + counts['dropped']} slices, {counts['kept']} kept"
    )
    assert repr(manifest).endswith("method hash, threshold 6>")
    named = dataclasses.replace(manifest, config=manifest.config | {"method": "<b>"})
    page = named._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<b>;" not in page
    assert page.count("<tr>") == 6


def refusal(manifest: ctprune.Manifest, folder: Path, name: str, row: int, value: object) -> str:
    """What is said of a manifest with this value, sealed as if it were sound."""
    table = pa.table(manifest)
    values = table[name].to_pylist()
    values[row] = value
    index = table.column_names.index(name)
    table = table.set_column(index, name, pa.array(values, table.schema.field(name).type))
    write_manifest(folder / FILE_NAME, [_core.Rows.from_arrow(table, 8)], manifest.config)
    with pytest.raises(ctprune.ManifestError) as error:
        ctprune.Manifest.load(folder)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "row", "value", "expected"),
    [
        ("status", 1, "lost", 'row 1: status: expected kept, dropped, skipped, failed or read, found "lost"'),
        ("status", 2, "failed", "row 2: volume: expected ascending numbers from 0, for slices only, found 0"),
        ("volume", 0, None, "row 0: volume: expected ascending numbers from 0, for slices only, found none"),
        ("volume", 1, 7, "row 1: volume: expected ascending numbers from 0, for slices only, found 7"),
        ("exemplar", 1, 10**12, "row 1: exemplar: expected the number of a row, found 1000000000000"),
        ("exemplar", 0, 1, "row 0: exemplar: expected a kept slice's own row"),
        ("frame", 3, -1, "row 3: frame: expected 0 or more, found -1"),
        ("reader", 3, "gdcm", "row 3: reader: expected dicom, pydicom, nifti or image"),
    ],
)
def test_a_value_that_no_run_writes_is_named(
    manifest: ctprune.Manifest, tmp_path: Path, name: str, row: int, value: object, expected: str
) -> None:
    said = refusal(manifest, tmp_path, name, row, value)
    assert said.startswith(f"{tmp_path / FILE_NAME}: {expected}")


def test_the_version_before_is_refused(archive: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    manifest = ctprune.reduce(archive)
    about = {"manifest_version": 2, "ctprune_version": "0.1.0", "config": manifest.config}
    table = pa.table(manifest).replace_schema_metadata({"ctprune": json.dumps(about)})
    pq.write_table(table, tmp_path / FILE_NAME)
    with pytest.raises(
        ctprune.ManifestError, match=r"manifest version 2, but .* reads version 5: run 'ctprune reduce'"
    ):
        ctprune.Manifest.load(tmp_path)


def test_reduce_needs_neither_pyarrow_nor_pandas(archive: Path, tmp_path: Path) -> None:
    code = f"""
import sys
from ctprune import cli
sys.argv = ["ctprune", "reduce", {str(archive)!r}, "--out", {str(tmp_path / "run")!r}]
try:
    cli.main()
except SystemExit as ended:
    assert not ended.code or ended.code == 3, ended.code
print([name for name in ("pyarrow", "pandas", "polars") if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"
