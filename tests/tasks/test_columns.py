"""Columns of tables by any name, and templates of paths."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import ctprune
from ctprune.tasks import list_task
from ctprune.tasks.columns import Columns


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_of_a_table_may_have_any_name(folders: Path, suffix: str) -> None:
    files = sorted(folders.rglob("*.png"))
    rows = [
        {
            # The folder is a class, the name is made of a patient and a number.
            "Class folder": file.parent.name,
            "subject": int(file.name[1:3]),
            "number": float(file.stem.partition("_")[2]),
            "Diagnosis": file.parent.name,
            "label": "another",
            "Set": ("train", "test")[index % 20 >= 16],
        }
        for index, file in enumerate(files)
    ]
    table = folders.parent / f"any{suffix}"
    if suffix == ".csv":
        pa.csv.write_csv(pa.Table.from_pylist(rows), table)
    else:
        pq.write_table(pa.Table.from_pylist(rows), table)
    columns = Columns(
        path="data/{Class folder}/p{subject:02d}_{number:d}.png",
        label="Diagnosis",
        split="Set",
        patient="patient-{subject}",
    )
    listed = list_task(table, columns=columns)
    assert [entry.file for entry in listed.entries] == files
    assert listed.classes == ("healthy", "ill")
    assert {entry.split for entry in listed.entries} == {"train", "test"}
    assert listed.entries[0].patient == f"patient-{int(files[0].name[1:3])}"


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"label": "diagnosis"}, "expected a column diagnosis, found path, label, n"),
        ({"path": "{id:03d}.png"}, "expected a column id, found path, label, n"),
        ({"split": "part"}, "expected a column part, found path, label, n"),
        ({"path": "{n:03d}.png"}, "row 1 does not fit the template: a cell is not a number$"),
    ],
)
def test_columns_that_are_not_there_are_named(tmp_path: Path, columns: dict[str, str], sentence: str) -> None:
    (tmp_path / "labels.csv").write_text("path,label,n\na.png,1,x\n")
    with pytest.raises(ctprune.TaskError, match=sentence):
        list_task(tmp_path / "labels.csv", columns=Columns(**columns))


@pytest.mark.parametrize("template", ["{}.png", "{n!r}.png", "{n", "{n:{m}}.png"])
def test_templates_that_cannot_be_used_are_refused(template: str) -> None:
    with pytest.raises(ctprune.ConfigError, match="path_column"):
        Columns(path=template)


def test_columns_belong_to_tables(folders: Path) -> None:
    with pytest.raises(ctprune.ConfigError, match="label_column class: belongs to a table of labels"):
        list_task(folders, columns=Columns(label="class"))


def test_a_template_names_slices_of_a_reduction(archive: Path, tmp_path: Path) -> None:
    manifest = ctprune.reduce(archive, out=tmp_path / "run")
    paths = sorted({row["path"] for row in manifest.kept().to_dicts() if row["frame"] == 0})[:4]
    lines = [f"{Path(path).parent.as_posix()},{Path(path).name},{index % 2}" for index, path in enumerate(paths)]
    (tmp_path / "labels.csv").write_text("\n".join(["folder,file,class", *lines]))
    columns = Columns(path="{folder}/{file}", label="class")
    listed = list_task(tmp_path / "run", labels=tmp_path / "labels.csv", columns=columns)
    assert {entry.name for entry in listed.entries} == set(paths)
    assert listed.classes == ("0", "1")
