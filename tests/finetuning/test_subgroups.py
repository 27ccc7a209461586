"""Subgroup columns from the table to the model card, and columns that are refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

import ctprune
from ctprune.cli.schemas import json_schema
from ctprune.finetuning.result import FinetuneResult
from ctprune.tasks import list_task
from tests.finetuning.small import SMALL
from tests.labeled import write
from tests.printed import result_of, validator


def table(folder: Path, patients: int = 40, **columns: Any) -> Path:
    """A table of pictures, two of each patient; columns are functions of the patient's number."""
    rows = [["path", "label", "patient", "split", *columns]]
    for patient in range(patients):
        for side in range(2):
            name = f"{patient:02d}_{side}.png"
            write(folder / name, patient % 2 == 1, 2 * patient + side)
            split = "train" if patient < 8 else "val" if patient < 12 else "test"
            label = "ill" if patient % 2 else "healthy"
            rows.append([name, label, f"p{patient}", split, *(str(of(patient)) for of in columns.values())])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "labels.csv"


def test_subgroups_stand_in_metrics_card_and_output(weights: Path, tmp_path: Path) -> None:
    data = table(
        tmp_path / "data",
        sex=lambda patient: "f" if patient % 4 < 2 else "m",
        site=lambda patient: "a|b" if patient < 38 else "rare",
    )
    options = SMALL | {"mode": "linear", "weights": weights, "seeds": 1}
    result = ctprune.finetune(data, out=tmp_path / "ft", subgroup_columns=["sex", "site"], **options)
    about = json.loads((tmp_path / "ft" / "metrics.json").read_text())
    assert about == FinetuneResult.load(tmp_path / "ft").to_dict() == result.to_dict()
    sex, site = about["subgroups"]
    assert [(group["value"], group["images"], group["patients"]) for group in sex["groups"]] == [
        ("f", 28, 14),
        ("m", 28, 14),
    ]
    for group in sex["groups"]:
        mine = [row for row in predictions(tmp_path / "ft") if group["value"] == ("f", "m")[row[0] % 4 // 2]]
        expected = roc_auc_score([ill for _, ill, _ in mine], [score for _, _, score in mine])
        assert group["pooled"]["auc"]["mean"] == pytest.approx(expected)
        assert group["pooled"]["auc"]["low"] <= expected <= group["pooled"]["auc"]["high"]
    assert set(sex["gaps"]) == set(sex["groups"][0]["pooled"])
    assert site["groups"][1]["reason"] == "2 patients: no interval can be estimated from fewer than 6"
    assert (site["groups"][1]["pooled"], site["gaps"]) == (None, {})
    card = (tmp_path / "ft" / "README.md").read_text()
    assert "| sex | images | patients | AUC | sensitivity | specificity |" in card
    assert "| a\\|b | 52 | 26 |" in card
    assert "Largest gap by sex: the AUC of " in card
    # Without the columns it is another fine-tuning.
    with pytest.raises(ctprune.OutputError, match="other data, weights or options"):
        ctprune.finetune(data, out=tmp_path / "ft", **options)


def predictions(out: Path) -> list[tuple[int, bool, float]]:
    """Patient, truth and score of each evaluated image."""
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    return [
        (int(row["image"][:2]), row["label"] == "ill", row["probabilities"][1])
        for row in rows
        if row["split"] == "test"
    ]


def test_each_patient_counts_once_in_its_subgroup(weights: Path, tmp_path: Path) -> None:
    data = table(
        tmp_path / "data",
        sex=lambda patient: "f" if patient % 4 < 2 else "m",
        site=lambda patient: "all" if patient < 38 else "rare" if patient % 2 else "",
    )
    options = SMALL | {"mode": "knn", "weights": weights, "seeds": 1, "unit": "patient"}
    result = ctprune.finetune(data, out=tmp_path / "ft", subgroup_columns=["sex", "site"], **options)
    sex, site = result.subgroups
    assert [(group["value"], group["images"]) for group in sex["groups"]] == [("f", 14), ("m", 14)]
    rows = {row["patient"]: row for row in pq.read_table(tmp_path / "ft" / "predictions.parquet").to_pylist()}
    for group in sex["groups"]:
        # Patients have numbers in the order of the table.
        mine = [
            row
            for patient, row in rows.items()
            if row["split"] == "test" and group["value"] == ("f", "m")[(int(patient[-4:]) - 1) % 4 // 2]
        ]
        assert len(mine) == 14
        truth, score = [row["label"] == "ill" for row in mine], [row["probabilities"][1] for row in mine]
        assert group["pooled"]["auc"]["mean"] == pytest.approx(roc_auc_score(truth, score))
    assert (site["groups"][1]["reason"], site["images_without"]) == ("no patient of class healthy", 1)
    card = (tmp_path / "ft" / "README.md").read_text()
    assert "for the patients of each subgroup." in card
    assert "| sex | patients | AUC | sensitivity | specificity |\n|---|---|---|---|---|\n| f | 14 | " in card
    assert "1 patient without a value." in card


def test_the_command_line_prints_subgroups(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ctprune.cli import main

    data = table(tmp_path / "data", age=lambda patient: 40 + 10 * (patient % 4 // 2))
    arguments = ["finetune", data, "--out", tmp_path / "ft", "--mode", "knn", "--seeds", 1, "--side", 32]
    arguments += ["--weights", weights, "--positive", "ill", "--device", "cpu", "--subgroup-column", "age"]
    for extra in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", ["ctprune", *map(str, arguments), *extra])
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code
        printed = capsys.readouterr().out
        if not extra:
            assert "AUC by age: 40 " in printed
            assert "largest gap by age: the AUC of " in printed
    assert [one["column"] for one in result_of("finetune", printed)["subgroups"]] == ["age"]
    assert validator("finetune") is not None
    assert "subgroups" in json.dumps(json_schema("finetune"))


@pytest.mark.parametrize(
    ("column", "error"),
    [
        (lambda patient: f"Jane Doe {patient}", "expected at most 20 different values, found 40"),
        (lambda patient: "", "expected values, found only empty cells"),
        (lambda patient: "x" * 61, "expected values of at most 60 characters, found one of 61"),
    ],
)
def test_columns_that_could_tell_who_a_patient_is(tmp_path: Path, column: Any, error: str) -> None:
    data = table(tmp_path, note=column)
    with pytest.raises(ctprune.TaskError, match=error) as refused:
        list_task(data, subgroups=["note"])
    assert "subgroup column note" in str(refused.value)
    assert "Jane" not in str(refused.value)


def test_a_reduction_has_columns_of_the_scanner(archive: Path, tmp_path: Path) -> None:
    manifest = ctprune.reduce(archive, out=tmp_path / "run")
    of_slice = {row["path"]: row["manufacturer"] for row in manifest.rows.to_dicts()}
    listed = list_task(tmp_path / "run", labels=archive / "labels.csv", subgroups=["manufacturer"])
    assert len(listed.entries) > 8
    assert {entry.name: entry.subgroups for entry in listed.entries} == {
        entry.name: (of_slice[entry.name] or None,) for entry in listed.entries
    }
    # The table's own column comes first.
    with (archive / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "manufacturer"])
        writer.writeheader()
        writer.writerows(row | {"manufacturer": "mine"} for row in rows)
    listed = list_task(tmp_path / "run", labels=tmp_path / "labels.csv", subgroups=["manufacturer"])
    assert {entry.subgroups for entry in listed.entries} == {("mine",)}
    with pytest.raises(ctprune.TaskError, match="expected a column patient_check, found "):
        list_task(tmp_path / "run", labels=archive / "labels.csv", subgroups=["patient_check"])


def test_columns_that_are_no_groups(tmp_path: Path, folders: Path) -> None:
    data = table(
        tmp_path, patients=16, who=lambda patient: f"Jane {patient}", sex=lambda patient: "fm"[patient % 2]
    )
    for columns, error in (
        (["who"], "found a value for each patient"),
        (["patient"], "tells single images or patients apart"),
        (["sex", "sex"], "is given twice"),
        (["Sex"], "expected a column Sex, found path, label"),
    ):
        with pytest.raises(ctprune.CtpruneError, match=error) as refused:
            list_task(data, subgroups=columns)
        assert "Jane" not in str(refused.value)
    with pytest.raises(ctprune.ConfigError, match="belongs to a table of labels"):
        list_task(folders, subgroups=["sex"])
    assert {entry.subgroups for entry in list_task(data, subgroups=["sex"]).entries} == {("f",), ("m",)}
