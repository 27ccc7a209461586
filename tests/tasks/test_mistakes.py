"""One sentence for each mistake in folders, lists, tables and runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import ctprune
from ctprune.tasks import list_task
from tests.labeled import write
from tests.tasks.labeled_images import covid, read, split


def empty_class(folders: Path) -> Path:
    (folders / "odd").mkdir()
    return folders


def one_class(folders: Path) -> Path:
    shutil.rmtree(folders / "ill")
    return folders


def no_folder(folders: Path) -> Path:
    shutil.rmtree(folders)
    folders.mkdir()
    return folders


def class_of_broken_images(folders: Path) -> Path:
    (folders / "odd").mkdir()
    (folders / "odd" / "cut.png").write_bytes((folders / "ill" / "p01_0.png").read_bytes()[:90])
    return folders


def class_of_notes(folders: Path) -> Path:
    (folders / "odd").mkdir()
    (folders / "odd" / "notes.txt").write_text("nothing")
    return folders


def one_image_of_a_class(folders: Path) -> Path:
    write(folders / "odd" / "p77_0.png", True, 77)
    return folders


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (empty_class, "class odd has no image"),
        (one_class, "expected two classes or more, found only healthy"),
        (no_folder, "expected a folder per class, found no folder"),
        (class_of_broken_images, "no image of class odd can be read: the PNG"),
        (class_of_notes, "no image of class odd can be read: not DICOM.*lists of names, give it as `split`"),
        (one_image_of_a_class, "the evaluated split val has no image of class odd"),
    ],
)
def test_mistakes_in_folders(folders: Path, change: Callable[[Path], Path], sentence: str) -> None:
    with pytest.raises(ctprune.CtpruneError, match=sentence):
        split(read(list_task(change(folders))))


def replaced(file: str, text: str) -> Callable[[Path], None]:
    def change(lists: Path) -> None:
        (lists / file).parent.mkdir(exist_ok=True)
        (lists / file).write_text(text)

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (replaced("ill/valill.txt", "nobody.png\n"), "names nobody.png, but there is no such file"),
        (replaced("ill/trainodd.txt", "p01_0.png\n"), "odd is not a folder of .*: its folders are healthy, ill"),
        (replaced("ill/odd.txt", "p01_0.png\n"), "expected a name of split and class"),
        (replaced("ill/valill.txt", "p01_0.png\n"), "ill/p01_0.png is in (train and in val|val and in train)"),
        (replaced("ill/valill.txt", "\n"), "names no image: class ill would be empty in val"),
        (replaced("ill/trainill.txt", "p01_0.png\np01_0.png\n"), "ill/p01_0.png is listed twice"),
        (
            lambda lists: (lists / "ill" / "trainill.txt").unlink(),
            "class ill is in test and val, but has no image",
        ),
        (lambda lists: (lists / "ill" / "testill.txt").unlink(), "split test has no image of class ill"),
        (lambda lists: shutil.rmtree(lists), "expected a folder of text files"),
        (lambda lists: [file.unlink() for file in lists.rglob("*.txt")], "holds no text file"),
    ],
)
def test_mistakes_in_lists(folders: Path, change: Callable[[Path], object], sentence: str) -> None:
    lists = covid(folders)
    change(lists)
    with pytest.raises(ctprune.CtpruneError, match=sentence):
        split(read(list_task(folders, split=lists)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,diagnosis\na.png,1\n", "expected a column label, found path, diagnosis"),
        ("path,label\nnowhere.png,1\n", "names nowhere.png, but there is no such file"),
        ("path,label\n", "the table has no row"),
        ("", "expected a CSV or Parquet table"),
        ("path,label\ndata/ill/p01_0.png,\n", "row 1 has no label"),
        ("path,label,split\ndata/ill/p01_0.png,1,holdout\n", "split holdout: expected train, val or test"),
        ("path,label\ndata/ill/p01_0.png,1\ndata/ill/p01_0.png,0\n", "is labeled 1 and 0"),
        (
            "path,label,split\ndata/ill/p01_0.png,1,train\ndata/healthy/p00_0.png,0,\n",
            "data/healthy/p00_0.png has no split, but other images do",
        ),
        ("path,label,frame\ndata/ill/p01_0.png,1,x\n", "expected a frame from 0, found x"),
        (
            "path,label,frame\ndata/ill/p01_0.png,1,7\ndata/healthy/p00_0.png,0,0\n",
            "data/ill/p01_0.png has no frame 7",
        ),
        (
            "path,label,split\ndata/ill/p01_0.png,2,test\ndata/healthy/p00_0.png,0,train\n"
            "data/ill/p03_0.png,1,train\n",
            "class 2 is in test, but has no image in train",
        ),
    ],
)
def test_mistakes_in_tables(folders: Path, text: str, sentence: str) -> None:
    table = folders.parent / "labels.csv"
    table.write_text(text)
    with pytest.raises(ctprune.CtpruneError, match=sentence):
        split(read(list_task(table)))


def test_mistakes_of_a_run(archive: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, out=tmp_path / "run")
    with pytest.raises(ctprune.ConfigError, match="give the table of its labels as `labels`"):
        list_task(tmp_path / "run")
    with pytest.raises(ctprune.ConfigError, match=r"labels .*: belongs to a reduction"):
        list_task(archive, labels=archive / "labels.csv")
    for text, sentence in (
        ("label\n1\n", "expected a column path, sop_instance_uid, series_instance_uid or study_instance_uid"),
        ("series_instance_uid,label\n1.2.3,1\n", r"row 1 \(series_instance_uid 1.2.3\) belongs to no slice"),
    ):
        (tmp_path / "labels.csv").write_text(text)
        with pytest.raises(ctprune.TaskError, match=sentence):
            list_task(tmp_path / "run", labels=tmp_path / "labels.csv")
    for name, sentence in (
        ("nowhere", "no such file or folder"),
        ("labels.csv.txt", "expected a folder, a table"),
    ):
        (tmp_path / "labels.csv.txt").touch()
        with pytest.raises(ctprune.CtpruneError, match=sentence):
            list_task(tmp_path / name)
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(ctprune.SourceError, match="expected a MedMNIST file"):
        list_task(tmp_path / "bad.npz")
