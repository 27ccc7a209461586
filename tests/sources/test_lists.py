from __future__ import annotations

import os
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from ctprune.errors import ConfigError, SourceError
from ctprune.sources.lists import read_list
from ctprune.sources.plan import plan

UUID = "0a1b2c3d-0000-4000-8000-000000000001"


def listed(file: Path) -> list[str]:
    return [str(one.source) for one in read_list(file)]


def test_a_text_has_one_source_a_line(tmp_path: Path) -> None:
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "1.dcm").touch()
    file = tmp_path / "list.txt"
    file.write_text(
        "\ufeff# a comment\r\n"
        "\n"
        "  s3://bucket/series/*  \n"
        "cp s3://idc-open-data/a/* .\n"
        "cp --show-progress 's3://idc-open-data/b/*' downloads/\n"
        "scan\n"
        f"{tmp_path}/scan/1.dcm\n"
        "scan/*\n"
    )
    assert listed(file) == [
        "s3://bucket/series/",
        "s3://idc-open-data/a/",
        "s3://idc-open-data/b/",
        str(tmp_path / "scan"),
        str(tmp_path / "scan/1.dcm"),
        str(tmp_path / "scan"),
    ]


@pytest.mark.parametrize("column", ["address", "path", "URL", "series_aws_url"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_table_has_a_column_of_sources(tmp_path: Path, column: str, ending: str) -> None:
    file, addresses = tmp_path / f"list.{ending}", ["s3://b/a, b/*", "https://h/x.dcm"]
    if ending == "parquet":
        parquet.write_table(pyarrow.table({"n": [1, 2], column: addresses}), file)
    else:
        separator = "," if ending == "csv" else "\t"
        rows = [["n", column], ["1", f'"{addresses[0]}"'], ["2", addresses[1]]]
        file.write_text("\n".join(separator.join(row) for row in rows) + "\n")
    assert listed(file) == ["s3://b/a, b/", "https://h/x.dcm"]


def test_series_of_imaging_data_commons_are_folders_of_its_bucket(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"PatientID,crdc_series_uuid\nx,{UUID}\n")
    assert listed(tmp_path / "list.csv") == [f"s3://idc-open-data/{UUID}/"]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("l.txt", "s3://b/x\n\nftp://h/x\n", "l.txt, line 3: ftp://: addresses of this kind are not read"),
        ("l.txt", "s3://b/x\ngone\n", "l.txt, line 2: gone: no such file or folder"),
        ("l.txt", "# nothing\n", "l.txt: lists no source"),
        ("l.csv", "a,b\n1,2\n", "l.csv: expected a column address, path, file, url, .* found a, b"),
        ("l.csv", "n,path\n1,s3://b/x\n2,\n", "l.csv, line 3: the column path is empty"),
        ("l.csv", "path\ns3://me:pw@b/x\n", "l.csv, line 2: .*holds a user or password"),
        ("l.parquet", "no parquet", "l.parquet: expected a Parquet file"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises((ConfigError, SourceError), match=sentence):
        read_list(tmp_path / name)


def test_lists_that_are_no_text_or_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match=r"l\.txt: expected text in UTF-8"):
        read_list(tmp_path / "l.txt")
    with pytest.raises(SourceError, match="expected a file that lists sources"):
        read_list(tmp_path / "gone.txt")


def test_what_a_list_names_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.dcm").touch()
    file = tmp_path / "l.txt"
    file.write_text("a/1.dcm\na\ns3://b/s/*\ns3://b/s/1.dcm\ns3://b/s/*\ns3://b/st/*\ns3://b/s\ns3://c/x\n")
    found = plan("s3://c", file)
    assert found.paths == (tmp_path / "a",)
    assert [str(one.address) for one in found.elsewhere] == ["s3://c", "s3://b/st/", "s3://b/s"]
    assert found.names() == [str(tmp_path / "a"), "s3://c", "s3://b"]


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        (["s3://b/a", "s3://b/a/b/*"], "sources s3://b/a and s3://b/a/b/ overlap"),
        (["s3://b/a*", "s3://b/ab/"], "overlap"),
        (["s3://b", "s3://b"], "source s3://b is named twice: name it once"),
        (["s3://b/s/*", "s3://b/s/*"], "source s3://b/s/ is named twice: name it once"),
        (["tests", "./tests"], "source /.*/tests is named twice: name it once"),
        (["tests", "tests/sources"], "/tests and .*/tests/sources overlap: name the outer one only"),
        (
            ["dicomweb+https://p/d", "dicomweb+https://p/d?PatientID=1"],
            "/d and dicomweb.*/d overlap",
        ),
        ([], "no source"),
    ],
)
def test_sources_that_overlap_are_refused(sources: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        plan(sources)


@pytest.mark.skipif(os.name == "nt", reason="needs links")
def test_a_source_and_a_link_to_it_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(ConfigError, match=r"/a and .*/link are the same: name one of them"):
        plan([tmp_path / "a", tmp_path / "link"])


def test_neighbors_do_not_overlap(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a b").mkdir()
    named = ["s3://b/a/", "s3://b/a-b/", "s3://b/a.dcm", "gs://b/a", "dicomweb+https://p/d?PatientID=1"]
    named.append("dicomweb+https://p/d?PatientID=12")
    assert len(plan([*named, tmp_path / "a", tmp_path / "a b"]).elsewhere) == 6
