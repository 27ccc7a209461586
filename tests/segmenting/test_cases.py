"""Layouts of volumes with masks, and mistakes in them: one sentence each, without a traceback."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.environment.progress import Operation
from ctprune.errors import ConfigError, CtpruneError, SourceError, TaskError
from ctprune.segmenting.cases import Cases, list_cases
from ctprune.segmenting.config import SegmentConfig
from ctprune.segmenting.splits import assign_splits, notes_of
from ctprune.segmenting.volumes import Volumes, find_volumes, read_volumes
from tests.conftest import Cli
from tests.printed import result_of
from tests.segmenting.bodies import AFFINE, SMALL, body, save, write_pair


def read(cases: Cases) -> Volumes:
    return read_volumes(cases, side=16, intensity="hu:-200,300", modality="CT", threads=1)


def nnunet(folder: Path, numbers: range, images: str = "imagesTr", labels: str = "labelsTr") -> None:
    for number in numbers:
        hu, mask = body(number)
        save(folder / images / f"ct_{number:03d}_0000.nii.gz", hu)
        save(folder / labels / f"ct_{number:03d}.nii.gz", mask)


def test_nnunets_folders_and_the_decathlons_names(tmp_path: Path) -> None:
    nnunet(tmp_path, range(3))
    nnunet(tmp_path, range(3, 5), "imagesTs", "labelsTs")
    for names in ({"background": 0, "organ": 1, "tumor": 2}, {"0": "background", "1": "organ", "2": "tumor"}):
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": names}))
        cases = list_cases(tmp_path, r"^(ct_\d)")
        assert [one.name for one in cases.cases[::4]] == [
            "imagesTr/ct_000_0000.nii.gz",
            "imagesTs/ct_004_0000.nii.gz",
        ]
        assert [one.split for one in cases.cases] == ["train"] * 3 + ["test"] * 2
        assert {one.patient for one in cases.cases} == {"ct_0"}
        assert cases.names == {1: "organ", 2: "tumor"}
    # The Decathlon has no number of the channel, and keeps the labels of its test volumes.
    for file in (tmp_path / "imagesTr").iterdir():
        file.rename(file.with_name(file.name.replace("_0000", "")))
    shutil.rmtree(tmp_path / "labelsTs")
    cases = list_cases(tmp_path)
    assert [one.split for one in cases.cases] == [None] * 3
    assert cases.notes == ("imagesTs is not used: there is no labelsTs",)
    volumes = read(cases)
    assert (volumes.classes, volumes.values) == (("organ", "tumor"), (1, 2))
    assert volumes.pixels.shape == volumes.labels.shape == (9, 16, 16)


def test_masks_beside_files_beside_series_and_in_them(tmp_path: Path) -> None:
    write_pair(tmp_path / "train", "a", 0)
    write_pair(tmp_path / "val", "b", 1)
    archive = tmp_path / "made"
    ctprune.phantom.write_archive(archive, patients=1, size=64, slices=4, masks=True, reports=False)
    for name, folder in (("beside", "test/one"), ("inside", "test/two")):
        shutil.copytree(archive / "P0001" / "02-PS30s", tmp_path / folder)
        mask = archive / "P0001" / "02-PS30s_mask.nii.gz"
        target = f"{folder}_seg.nii.gz" if name == "beside" else f"{folder}/mask.nii.gz"
        shutil.copy(mask, tmp_path / target)
    shutil.rmtree(archive)
    cases = list_cases(tmp_path)
    assert [(one.name, one.split) for one in cases.cases] == [
        ("test/one", "test"),
        ("test/two", "test"),
        ("train/a.nii.gz", "train"),
        ("val/b.nii.gz", "val"),
    ]
    volumes = read(cases)
    assert [one.grid.shape for one in volumes.volumes] == [(4, 64, 64)] * 2 + [(3, 20, 24)] * 2
    # The study stands for the patient.
    assert volumes.patients() == ["patient-0001", "patient-0001", "patient-0002", "patient-0003"]
    np.testing.assert_array_equal(volumes.volumes[0].read_mask(), volumes.volumes[1].read_mask())
    assert notes_of(volumes, assign_splits(volumes, fraction=0.2, seed=0))[0].startswith(
        "the patients of 2 volumes are not known: each such volume counts as a patient of its own"
    )


def test_a_mask_in_another_order_of_voxels_is_turned(tmp_path: Path) -> None:
    hu, labels = body(0)
    save(tmp_path / "a.nii.gz", hu)
    flipped = AFFINE.copy()
    flipped[:3, 1] *= -1
    flipped[:3, 3] += AFFINE[:3, 1] * (labels.shape[1] - 1)
    save(tmp_path / "a_mask.nii.gz", labels[:, ::-1], flipped)
    volumes = read(list_cases(tmp_path))
    np.testing.assert_array_equal(volumes.classes_of(volumes.volumes[0]), labels.transpose(2, 1, 0))


def test_a_table_and_chosen_classes(tmp_path: Path) -> None:
    for number in range(2):
        write_pair(tmp_path / "files", f"case{number}", number)
    table = tmp_path / "cases.csv"
    table.write_text(
        "image,mask,split,patient\nfiles/case0.nii.gz,files/case0_mask.nii.gz,train,x\n"
        "files/case1.nii.gz,files/case1_mask.nii.gz,test,y\n"
    )
    cases = list_cases(table, names={2: "dark"})
    assert [(one.split, one.patient) for one in cases.cases] == [("train", "x"), ("test", "y")]
    volumes = read(cases)
    assert (volumes.classes, volumes.values) == (("dark",), (2,))
    # The other label is background.
    found = volumes.classes_of(volumes.volumes[0])
    np.testing.assert_array_equal(found, (body(0)[1] == 2).transpose(2, 1, 0))
    assert set(np.unique(volumes.labels).tolist()) == {0, 1}


Mistake = Callable[[Path], object]


def other_shape(folder: Path) -> None:
    save(folder / "case0_mask.nii.gz", body(0)[1][:, :, :2])


def other_place(folder: Path) -> None:
    affine = AFFINE.copy()
    affine[2, 3] += 3
    save(folder / "case0_mask.nii.gz", body(0)[1], affine)


def fractions(folder: Path) -> None:
    save(folder / "case0_mask.nii.gz", body(0)[1].astype(np.float32) / 2)


def negative(folder: Path) -> None:
    save(folder / "case0_mask.nii.gz", body(0)[1].astype(np.int16) - 1)


def empty(folder: Path) -> None:
    for number in range(5):
        save(folder / f"case{number}_mask.nii.gz", np.zeros_like(body(0)[1]))


def names(labels: object) -> Mistake:
    return lambda folder: (folder / "dataset.json").write_text(json.dumps({"labels": labels}))


def cut_short(name: str) -> Mistake:
    def cut(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return cut


def series(folder: Path) -> None:
    os.rename(folder / "case0.nii.gz", folder / "other.nii.gz")
    (folder / "case0").mkdir()
    (folder / "case0" / "notes.txt").write_text("no slices")


@pytest.mark.parametrize(
    ("mistake", "kind", "said"),
    [
        (
            other_shape,
            TaskError,
            r"case0_mask.nii.gz: the mask has 24 × 20 × 2 voxels, but its volume 24 × 20 × 3 ",
        ),
        (other_place, TaskError, r"case0_mask.nii.gz: the mask lies up to 3 mm from the voxels of its volume"),
        (
            fractions,
            TaskError,
            r"case0_mask.nii.gz: expected labels, which are whole numbers from 0 to 65535, found others$",
        ),
        (
            negative,
            TaskError,
            r"case0_mask.nii.gz: expected labels, which are whole numbers from 0 to 65535, found others$",
        ),
        (empty, TaskError, r"data: the masks hold no label but 0: expected something to segment$"),
        (
            names({"background": 0, "organ": 1}),
            TaskError,
            r"_mask.nii.gz: the mask holds label 2, but dataset.json names 0, 1: correct one of them, or name",
        ),
        (names({"background": 0, "all": [1, 2]}), TaskError, r"dataset.json: expected names of labels, such as "),
        (
            names({"background": 0, "a": 1, "ignore": 2}),
            TaskError,
            r"dataset.json: the label ignore is not supported",
        ),
        (names({"background": 0, "a": 1, "b": 1}), TaskError, r"dataset.json: expected a name for each label"),
        (names("liver"), TaskError, r"dataset.json: expected names of labels, such as "),
        (cut_short("case0.nii.gz"), SourceError, r"case0.nii.gz: "),
        (cut_short("case0_mask.nii.gz"), SourceError, r"case0_mask.nii.gz: "),
        (series, SourceError, r"case0: expected a volume: "),
        (
            lambda folder: (folder / "case0.nii.gz").unlink(),
            TaskError,
            r"data: case0_mask.nii.gz has no volume: expected case0.nii.gz or a folder case0 beside it$",
        ),
        (
            lambda folder: [file.unlink() for file in folder.glob("*_mask.nii.gz")],
            SourceError,
            r"data: expected volumes with masks, such as NAME.nii.gz with NAME_mask.nii.gz or imagesTr with ",
        ),
        (shutil.rmtree, SourceError, r"data: no such file or folder$"),
        (
            lambda folder: [(folder / f"case{number}_mask.nii.gz").unlink() for number in range(2, 5)],
            TaskError,
            r"data: the split select has no volume: expected volumes of three patients or more",
        ),
    ],
)
def test_mistakes_get_one_sentence(
    mistake: Mistake, kind: type[CtpruneError], said: str, pairs: Path, tmp_path: Path
) -> None:
    shutil.copytree(pairs, tmp_path / "data")
    mistake(tmp_path / "data")
    with pytest.raises(kind, match=said) as found:
        ctprune.segment(tmp_path / "data", out=tmp_path / "out", **SMALL)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "out").exists()


def test_mistakes_in_nnunets_folders(tmp_path: Path) -> None:
    nnunet(tmp_path, range(2))
    extra = save(tmp_path / "imagesTr" / "ct_000_0001.nii.gz", body(0)[0])
    with pytest.raises(
        TaskError, match=r"imagesTr/ct_000_0001.nii.gz is a second channel: expected volumes of one"
    ):
        list_cases(tmp_path)
    extra.unlink()
    mask = tmp_path / "labelsTr" / "ct_001.nii.gz"
    mask.rename(mask.with_name("ct_007.nii.gz"))
    with pytest.raises(TaskError, match=r"imagesTr/ct_001_0000.nii.gz has no mask ct_001.nii.gz in labelsTr$"):
        list_cases(tmp_path)
    (tmp_path / "imagesTr" / "ct_001_0000.nii.gz").unlink()
    with pytest.raises(TaskError, match=r"labelsTr/ct_007.nii.gz has no volume ct_007_0000.nii.gz in imagesTr$"):
        list_cases(tmp_path)
    shutil.rmtree(tmp_path / "labelsTr")
    with pytest.raises(TaskError, match=r": expected folders imagesTr and labelsTr, found no labelsTr$"):
        list_cases(tmp_path)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("path,mask\na.nii.gz,a_mask.nii.gz\n", "expected a column image, found path, mask$"),
        ("image,mask\na.nii.gz,\n", "row 1 has no mask$"),
        ("image,mask\nb.nii.gz,a_mask.nii.gz\n", "names b.nii.gz, but there is no such file or folder in "),
        ("image,mask\na.nii.gz,table.csv\n", "row 1: expected a mask in NIfTI .*, found table.csv$"),
        (
            "image,mask\n" + 2 * "a.nii.gz,a_mask.nii.gz\n",
            "a_mask.nii.gz is listed twice: expected a mask for each",
        ),
        (
            "image,mask,split\na.nii.gz,a_mask.nii.gz,train\nc.nii.gz,c_mask.nii.gz,\n",
            "c.nii.gz has no split, but other volumes do: give a split to all volumes or to none$",
        ),
    ],
)
def test_mistakes_in_tables(rows: str, said: str, tmp_path: Path) -> None:
    write_pair(tmp_path, "a", 0)
    write_pair(tmp_path, "c", 1)
    (tmp_path / "table.csv").write_text(rows)
    with pytest.raises(TaskError, match=said):
        list_cases(tmp_path / "table.csv")


def test_several_volumes_are_not_one(tmp_path: Path) -> None:
    ctprune.phantom.write_archive(tmp_path / "made", patients=1, size=64, slices=2, masks=True, reports=False)
    (tmp_path / "made" / "P0001" / "03-PS70h_mask.nii.gz").unlink()
    table = tmp_path / "table.csv"
    table.write_text("image,mask\nmade/P0001,made/P0001/02-PS30s_mask.nii.gz\n")
    with pytest.raises(
        TaskError, match=r"P0001: expected one volume, found 2: name the file or folder of one series$"
    ):
        find_volumes(list_cases(table), modality="CT", threads=1, operation=Operation())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"classes": "liver"},
            "classes liver: expected labels from 1 with their names, each once, such as 1=liver,2=",
        ),
        ({"classes": "1=a,1=b"}, "classes 1=a,1=b: expected labels from 1"),
        ({"classes": "0=a"}, "classes 0=a: expected labels from 1"),
        ({"mode": "linear"}, "mode linear: expected one of finetune, frozen"),
        ({"download": True}, "download belongs to `weights` imagenet"),
        (
            {"weights": "imagenet", "backbone": "resnet18"},
            "weights imagenet is torchvision's resnet50: for resnet18",
        ),
        (
            {"normalize": "half"},
            "normalize half: expected auto, imagenet, train, or a mean and a standard deviation",
        ),
        ({"seeds": 0}, "seeds 0: expected a number from 1"),
        ({"patient_pattern": "case"}, "patient_pattern case: expected one group in parentheses, found 0"),
        ({"patient_pattern": "(x)"}, "patient_pattern .x.: matches no volume's name, such as case0.nii.gz"),
    ],
)
def test_wrong_options_get_one_sentence(options: dict[str, Any], said: str, pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{said}"):
        ctprune.segment(pairs, out=tmp_path / "out", **(SMALL | options))


def test_one_form_of_options() -> None:
    config = SegmentConfig(weights="none", intensity="lung", seeds=[3, 1])
    assert (config.weights, config.intensity, config.seed_list) == (None, "hu:-1350,150", (3, 1))
    assert SegmentConfig(**config.to_dict()) == config
    assert SegmentConfig(weights="a").digest() == SegmentConfig(weights="b").digest()
    assert SegmentConfig(side=64).digest() != SegmentConfig().digest()


def test_the_command_prints_what_its_schema_says(cli: Cli, pairs: Path, tmp_path: Path) -> None:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    done = cli("segment", pairs, "--out", "out", *flags, "--patient-pattern", "(case.)", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    result = result_of("segment", done.stdout)
    assert result["classes"] == ["1", "2"]
    assert result["splits"]["train"] == {"patients": 3, "volumes": 3, "slices": 9}
    assert "case" not in json.dumps(result).replace("(case.)", "")
    shown = cli("segment", pairs, "--out", "out", *flags, "--patient-pattern", "(case.)")
    assert shown.returncode == 0
    assert "all classes" in shown.stdout
    assert "1 patient: no interval can be estimated" in shown.stdout
    wrong = cli("segment", "nothing", "--out", "other")
    assert (wrong.returncode, wrong.stderr) == (1, "Error: nothing: no such file or folder\n")
    assert not (tmp_path / "other").exists()
