"""A column of 1 and 0 for each label, as most public tables have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ctprune
from ctprune.finetuning.config import FinetuneConfig
from ctprune.tasks import list_task
from ctprune.tasks.columns import Columns
from ctprune.tasks.listing import Listing
from tests.labeled import write

NAMES = ("Pleural effusion", "edema")
TRUTH = [(1, 0), (0, 1), (1, 1), (0, 0)]


def listed(table: Path, names: tuple[str, ...] = NAMES, **options: Any) -> Listing:
    return list_task(table, columns=Columns(labels=names), target="multi-label", **options)


def written(folder: Path, cells: list[tuple[str, str]]) -> Path:
    for number in range(len(cells)):
        write(folder / f"{number}.png", False, number)
    lines = [f"{number}.png,{first},{second}" for number, (first, second) in enumerate(cells)]
    (folder / "labels.csv").write_text("\n".join([f"path,{','.join(NAMES)}", *lines]))
    return folder / "labels.csv"


@pytest.mark.parametrize("cells", [("1", "0"), ("1.0", "0.0"), ("True", "False"), ("1", "")])
def test_they_say_the_same_as_one_column_of_labels(tmp_path: Path, cells: tuple[str, str]) -> None:
    one, zero = cells
    found = listed(written(tmp_path, [tuple(one if has else zero for has in row) for row in TRUTH]))  # type: ignore[misc]
    lines = ["path,label", "0.png,Pleural effusion", "1.png,edema", "2.png,edema; Pleural effusion", "3.png,"]
    (tmp_path / "one.csv").write_text("\n".join(lines))
    expected = list_task(tmp_path / "one.csv", target="multi-label")
    assert (found.entries, found.classes) == (expected.entries, expected.classes)


@pytest.mark.parametrize("kind", [pa.bool_(), pa.int8(), pa.float64()])
def test_numbers_and_truth_values_of_parquet_and_slices_of_a_reduction(
    archive: Path, tmp_path: Path, kind: pa.DataType
) -> None:
    manifest = ctprune.reduce(archive, out=tmp_path / "run")
    series = sorted({row["series_instance_uid"] for row in manifest.kept().to_dicts()})[:3]
    has = {uid: truth for uid, truth in zip(series, [(1, 0), (0, 1), (1, 1)], strict=True)}
    columns = {name: pa.array([has[uid][index] for uid in series]).cast(kind) for index, name in enumerate(NAMES)}
    pq.write_table(pa.table({"series_instance_uid": series, **columns}), tmp_path / "labels.parquet")
    found = listed(tmp_path / "run", labels=tmp_path / "labels.parquet")
    uid_of = {(row["path"], row["frame"]): row["series_instance_uid"] for row in manifest.rows.to_dicts()}
    assert found.classes == NAMES
    for entry in found.entries:
        truth = has[uid_of[entry.name, entry.frame]]
        assert entry.label == ";".join(name for name, one in zip(NAMES, truth, strict=True) if one)


def test_what_does_not_fit_is_one_sentence(folders: Path, tmp_path: Path) -> None:
    table = written(tmp_path, [("1", "0"), ("0", "-1"), ("1", "0")])
    with pytest.raises(ctprune.TaskError, match=r"row 2: expected 1 or 0 in column edema, found other text$"):
        listed(table)
    with pytest.raises(ctprune.TaskError, match="expected a column fibrosis, found path, Pleural effusion, edema"):
        listed(table, ("edema", "fibrosis"))
    with pytest.raises(ctprune.TaskError, match="label edema is on no image"):
        listed(written(tmp_path, [("1", "0"), ("0", "0")]))
    with pytest.raises(ctprune.ConfigError, match="label_columns edema: belongs to a table of labels"):
        listed(folders, ("edema",))
    for options, sentence in (
        ({"label_columns": "a,b"}, "label_columns belongs to `target` multi-label, not to classes"),
        ({"label_columns": "a,b", "label_column": "c", "target": "multi-label"}, "mutually exclusive"),
    ):
        with pytest.raises(ctprune.ConfigError, match=sentence):
            FinetuneConfig(**options)
    for names, sentence in ((("a;b",), "expected names of columns without ;"), (("a", "a"), "is given twice")):
        with pytest.raises(ctprune.ConfigError, match=f"label_columns {names[0]}: {sentence}"):
            Columns(labels=names)
    assert FinetuneConfig(label_columns="a, b c", target="multi-label").label_columns == ("a", "b c")
