"""Volumes and patients as what a label and a prediction belong to: splits, measures, prediction, resuming."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sk

import ctprune
from ctprune.cli import main
from ctprune.finetuning import measured
from ctprune.finetuning import seeds as trainer
from ctprune.finetuning.bags import Units, units_of
from ctprune.finetuning.images import LabeledImages, read_images
from ctprune.finetuning.measured import measure
from ctprune.finetuning.overlaps import without_overlap
from ctprune.finetuning.splits import Splits, assign_splits
from ctprune.tasks import list_task
from ctprune.tasks.listing import Entry
from tests.finetuning.small import SMALL
from tests.finetuning.test_training import folder_bytes
from tests.labeled import write
from tests.nifti_volumes import write_volumes
from tests.searching import occurrences

WAYS: list[tuple[str, dict[str, Any]]] = [
    ("linear", {"pool": "mean"}),
    ("linear", {"pool": "top-k", "top_k": 2}),
    ("linear", {"pool": "attention", "class_weights": True}),
    ("knn", {"pool": "mean", "neighbors": 3}),
    ("knn", {"pool": "top-k", "neighbors": 3}),
    ("finetune", {"pool": "mean", "epochs": 2, "frozen_epochs": 1}),
    ("finetune", {"pool": "top-k", "epochs": 1, "frozen_epochs": 1}),
]


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all else here, and is the same for images."""
    monkeypatch.setattr(measured, "save_plots", lambda *arguments, **options: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 volumes of two classes with three or four slices each."""
    return write_volumes(tmp_path_factory.mktemp("volumes") / "data", 16)


def images(*said: tuple[str, str | None, str | None, str | None]) -> LabeledImages:
    """Images of which label, volume, patient and split are said."""
    entries = [
        Entry(f"{number}.png", label, split, patient, Path(f"{number}.png"), volume=volume)
        for number, (label, volume, patient, split) in enumerate(said)
    ]
    count = len(entries)
    return LabeledImages(
        entries=entries,
        labels=np.array([int(entry.label) for entry in entries]),
        classes=("0", "1"),
        pixels=np.zeros((count, 8, 8), np.uint8),
        fingerprints=np.array([[255 * (number % 2)] * 8 for number in range(count)], np.uint8),
        contents=[""] * count,
        intensity="minmax",
        modality="CT",
    )


def test_units_are_numbered_and_have_their_images_label() -> None:
    found = units_of(
        images(("1", "x", "Meier", None), ("0", "y", "Huber", None), ("1", "x", "Meier", None)),
        "volume",
        Path("d"),
    )
    assert [(one.name, one.label, one.patient) for one in found.entries] == [
        ("volume-0001", "1", "Meier"),
        ("volume-0002", "0", "Huber"),
    ]
    assert (found.labels.tolist(), found.of_image.tolist()) == ([1, 0], [0, 1, 0])
    assert found.images_of(np.array([1, 0])).tolist() == [1, 0, 2]
    single = images(("1", None, None, None), ("0", None, None, None))
    assert units_of(single, "image", Path("d")).entries is single.entries


@pytest.mark.parametrize(
    ("unit", "said", "sentence"),
    [
        (
            "volume",
            [("0", "v", "p", None), ("1", "v", "p", None)],
            r"d: 0.png and 1.png belong to one volume \(a DICOM series; or pictures of a folder, unless "
            r"`volume_pattern` says otherwise\), but have different labels, 0 and 1: give all images of a volume "
            "one label, or take another `unit`",
        ),
        (
            "patient",
            [("0", "v", "p", None), ("1", "w", "p", None)],
            "belong to one patient, but have different labels",
        ),
        (
            "patient",
            [("0", "v", "p", "train"), ("0", "w", "p", "test")],
            "are in different splits, train and test",
        ),
        ("volume", [("0", "v", "Meier", None), ("0", "v", "Huber", None)], "are of different patients: give"),
        ("patient", [("0", "v", None, None)], "the patient of 0.png is not known: name the patients with"),
        ("volume", [("0", None, "p", None)], "nothing says which images belong to one volume"),
    ],
)
def test_contradictions_are_one_sentence_without_a_patient(
    unit: str, said: list[tuple[str, str | None, str | None, str | None]], sentence: str
) -> None:
    with pytest.raises(ctprune.TaskError, match=sentence) as refused:
        units_of(images(*said), unit, Path("d"))
    assert "Meier" not in str(refused.value)


def test_a_unit_has_the_subgroups_of_its_images_and_no_sentence_shows_them() -> None:
    said = [("0", "v", "p", None), ("0", "v", "p", None), ("1", "w", "q", None)]

    def units(*subgroups: tuple[str | None, ...]) -> Units:
        found = images(*said)
        entries = [replace(entry, subgroups=mine) for entry, mine in zip(found.entries, subgroups, strict=True)]
        return units_of(replace(found, entries=entries), "volume", Path("d"))

    same = units(("f", None), ("f", None), ("m", "a"))
    assert [entry.subgroups for entry in same.entries] == [("f", None), ("m", "a")]
    for odd in (("secret", None), ("f", "secret")):
        sentence = (
            "d: 0.png and 1.png belong to one volume .* have different values in a subgroup column: give all"
        )
        with pytest.raises(ctprune.TaskError, match=sentence) as refused:
            units(("f", None), odd, ("m", "a"))
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"unit": "study"}, "unit study: expected one of image, volume, patient"),
        ({"pool": "mean"}, "pool mean: belongs to `unit` volume or patient, not to image"),
        ({"unit": "volume", "top_k": 3}, "top_k 3: belongs to `pool` top-k, not to mean"),
        ({"unit": "volume", "pool": "top-k", "top_k": 0}, "top_k 0: expected 1 to"),
        ({"unit": "volume", "pool": "attention"}, "pool attention belongs to `mode` linear, .* not to finetune"),
        ({"unit": "patient", "pool": "attention", "mode": "knn"}, "not to knn"),
        ({"volume_pattern": "(v)"}, r"volume_pattern \(v\): belongs to `unit` volume, not to image"),
        ({"unit": "volume", "volume_pattern": "v"}, "expected one group in parentheses"),
        (
            {"unit": "volume", "target": "ordinal", "pool": "top-k"},
            "pool top-k belongs to `target` classes or multi-label, not to ordinal: use `pool` mean or attention",
        ),
        ({"features": "cache"}, "features belongs to `mode` linear or knn, not to finetune"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ctprune.ConfigError, match=sentence):
        ctprune.FinetuneConfig(**options)


def test_each_unit_counts_once_as_scikit_learn_counts_it() -> None:
    """Eight volumes of very different sizes, by hand; patients have up to two of them."""
    truth = [0, 1, 0, 1, 1, 0, 1, 0]
    score = [0.1, 0.9, 0.6, 0.4, 0.8, 0.2, 0.7, 0.3]
    said = [
        (str(label), f"v{number}", f"p{number // 2 + 4 * (number % 2)}", "train" if number < 0 else "test")
        for number, label in enumerate(truth)
        for _ in range(1 + 7 * (number % 3))
    ]
    units = units_of(images(*said), "volume", Path("d"))
    splits = Splits(np.array(["test"] * 8), "test", "test", ())
    found = measure(units, splits, {0: np.array([[1 - one, one] for one in score])}, "1")
    metrics = found.by_seed[0]["metrics"]
    assert metrics["auc"] == pytest.approx(sk.roc_auc_score(truth, score))
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(truth, np.array(score) > 0.5))
    assert metrics["average_precision"] == pytest.approx(sk.average_precision_score(truth, score))
    assert found.of_all["interval_unit"] == "patient"
    assert splits.counts(units) == {"test": {"0": 4, "1": 4}}
    assert splits.patients(units) == {"test": {"patients": 8, "images_without": 0}}


def test_a_unit_is_left_out_whole_where_one_image_overlaps() -> None:
    said = [("0", volume, volume, split) for volume, split in (("a", "train"), ("a", "train"), ("b", "test"))]
    found = images(*said)
    units = units_of(found, "volume", Path("d"))
    splits = Splits(np.array(["train", "test"]), "test", "train", ())
    # The first image has the fingerprint of the third one, the second another.
    assert without_overlap(found, splits, units.of_image).names.tolist() == ["", "test"]


@pytest.mark.parametrize(("mode", "options"), WAYS)
def test_each_way_from_volumes_to_prediction(
    data: Path, weights: Path, tmp_path: Path, mode: str, options: dict[str, Any]
) -> None:
    out = tmp_path / "ft"
    result = ctprune.finetune(
        data, out=out, mode=mode, unit="volume", weights=weights, seeds=1, val_fraction=0.3, **SMALL, **options
    )
    assert sum(sum(counts.values()) for counts in result.splits.values()) == 16
    assert result.per_seed[0]["units_used"] == sum(result.splits["train"].values())
    assert result.per_seed[0]["images_used"] > 3 * result.per_seed[0]["units_used"]
    rows = [row for row in pq.read_table(out / "predictions.parquet").to_pylist() if row["split"] == "val"]
    truth, score = [row["label"] == "ill" for row in rows], [row["probabilities"][1] for row in rows]
    assert result.per_seed[0]["metrics"]["auc"] == pytest.approx(sk.roc_auc_score(truth, score))
    found = ctprune.predict(out, data, out=tmp_path / "p.csv", device="cpu")
    assert (found.unit, len(found.units), sum(found.counts)) == ("volume", 16, 56)
    # The same order: the folders of the classes, then the names of the files.
    by_name = dict(zip(found.units, found.probabilities, strict=True))
    for row in rows:
        np.testing.assert_allclose(by_name[row["image"]], row["probabilities"], atol=1e-5)
    header, first, *_ = (tmp_path / "p.csv").read_text().splitlines()
    assert header == "unit,images,image,frame,label,probability_healthy,probability_ill"
    assert first.startswith("volume-0001,3,")
    members = pq.read_table(out / "units.parquet").to_pylist()
    assert [row["unit"] for row in members] == [
        name for name, n in zip(found.units, found.counts, strict=True) for _ in range(n)
    ]
    assert members[0]["image"] == "healthy/v00.nii.gz#0"
    assert {row["unit"] for row in members if row["split"] == "val"} == {row["image"] for row in rows}
    about = json.loads((out / "metrics.json").read_text())
    assert about["config"]["pool"] == options["pool"]
    card = (out / "README.md").read_text()
    assert f"Val: {len(rows)} volumes from {len(rows)} patients" in card
    assert "each volume counts once" in card


def test_top_k_and_mean_of_a_trained_network_are_made_of_its_images(
    data: Path, weights: Path, tmp_path: Path
) -> None:
    """The probabilities of volumes from those that the same network gives for images."""
    options = SMALL | {"weights": weights, "epochs": 1, "frozen_epochs": 1, "seeds": 1, "val_fraction": 0.3}
    for pool, k in (("mean", None), ("top-k", 2)):
        out = tmp_path / pool
        ctprune.finetune(data, out=out, unit="volume", pool=pool, top_k=k, **options)
        pooled = ctprune.predict(out, data, device="cpu")
        file = out / "model" / "model.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"unit": "image", "pool": None, "top_k": None}))
        single = ctprune.predict(out, data, device="cpu")
        for image, probabilities in zip(pooled.images, pooled.probabilities, strict=True):
            of_image = [p[1] for name, p in zip(single.images, single.probabilities, strict=True) if name == image]
            assert probabilities[1] == pytest.approx(np.mean(sorted(of_image)[-(k or 9) :]))


def test_splits_and_fractions_never_cut_a_patient(data: Path) -> None:
    listed = list_task(data, patient_pattern=r"v\d(\d)")
    found = read_images(listed, side=16)
    units = units_of(found, "volume", data)
    assert len(units) == 16
    for seed in range(3):
        names = assign_splits(units, data, fraction=0.4, seed=seed).names
        for patient in {entry.patient for entry in units.entries}:
            assert len({names[row] for row, one in enumerate(units.entries) if one.patient == patient}) == 1
    patients = units_of(found, "patient", data)
    assert len(patients) == 10
    assert sorted(map(len, patients.bags))[-1] == 7


def test_frozen_features_are_extracted_once_and_a_killed_run_goes_on(
    data: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"mode": "linear", "unit": "volume", "pool": "attention", "fraction": 0.7}
    options |= SMALL | {"weights": weights, "seeds": 3, "val_fraction": 0.3}
    whole = ctprune.finetune(data, out=tmp_path / "whole", **options)
    passes: list[int] = []
    extract = trainer.features_of

    def counting(network: Any, pixels: Any, rows: Any, **rest: Any) -> Any:
        passes.append(len(rows))
        return extract(network, pixels, rows, **rest)

    class Kill(BaseException):
        """What no handler sees, as a kill."""

    def kill(now: ctprune.Progress) -> None:
        if (now.stage, now.part, now.done) == ("training", "seed 2/3", 7):
            raise Kill

    monkeypatch.setattr(trainer, "features_of", counting)
    out = tmp_path / "parts"
    with pytest.raises(Kill):
        ctprune.finetune(data, out=out, progress=kill, **options)
    assert passes == [56]
    done = ctprune.finetune(data, out=out, **options)
    assert passes == [56]
    assert folder_bytes(out) == folder_bytes(tmp_path / "whole")
    assert (done.pooled, len(done.per_seed)) == (whole.pooled, 3)
    assert not (out / "progress").exists()


def test_a_folder_of_features_serves_other_poolings_and_fractions(
    data: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    extract = trainer.features_of

    def counting(network: Any, pixels: Any, rows: Any, **rest: Any) -> Any:
        passes.append(len(rows))
        return extract(network, pixels, rows, **rest)

    monkeypatch.setattr(trainer, "features_of", counting)
    shared = tmp_path / "features"
    options: dict[str, Any] = {"mode": "knn", "seeds": 1, "val_fraction": 0.3, "features": shared}
    options |= SMALL | {"weights": weights}

    def scores(name: str, **others: Any) -> dict[str, Any]:
        return dict(ctprune.finetune(data, out=tmp_path / name, **(options | others)).pooled)

    first = scores("first", unit="volume", pool="mean")
    scores("top", unit="volume", pool="top-k")
    scores("images", fraction=0.5)
    assert passes == [56]
    # Other input of the network, and damage, are noticed.
    scores("imagenet", unit="volume", normalize="imagenet")
    assert passes == [56, 56]
    for file in shared.iterdir():
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    assert scores("again", unit="volume", pool="mean") == first
    assert passes == [56, 56, 56]


def test_pictures_of_volumes_by_folder_or_by_name(weights: Path, tmp_path: Path) -> None:
    rows = ["path,label"]
    for number in range(24):
        write(tmp_path / "data" / f"scan{number // 2:02d}_{number % 2}.png", number // 2 % 2 == 1, number)
        rows.append(f"scan{number // 2:02d}_{number % 2}.png,{number // 2 % 2}")
    (tmp_path / "data" / "labels.csv").write_text("\n".join(rows) + "\n")
    options: dict[str, Any] = SMALL | {
        "mode": "knn",
        "unit": "volume",
        "weights": weights,
        "seeds": 1,
        "positive": "1",
    }
    with pytest.raises(ctprune.TaskError, match="a DICOM series; or pictures of a folder, unless"):
        ctprune.finetune(tmp_path / "data" / "labels.csv", out=tmp_path / "ft", **options)
    assert not (tmp_path / "ft").exists()
    result = ctprune.finetune(
        tmp_path / "data" / "labels.csv", out=tmp_path / "ft", volume_pattern=r"(scan\d+)_", **options
    )
    # Nothing names patients: volumes count as independent, and the result says so.
    assert result.interval_unit == "volume"
    assert "one patient's volumes may be in several splits" in result.notes[0]
    assert "volumes: no interval" in (result.no_interval or "")
    assert len(ctprune.predict(tmp_path / "ft", tmp_path / "data", device="cpu").units) == 12


def test_series_and_patients_of_dicom_on_the_command_line(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "dicoms"
    ctprune.phantom.write_archive(archive, patients=8, seed=1, size=64, slices=4)
    ctprune.reduce(archive, out=tmp_path / "run")
    slices = [
        row
        for row in ctprune.Manifest.load(tmp_path / "run").rows.to_dicts()
        if row["status"] in ("kept", "dropped")
    ]
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["ctprune", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert left.value.code in (0, None), said.err
        return said.out

    for unit, key in (("volume", "series_instance_uid"), ("patient", "study_instance_uid")):
        names = list(dict.fromkeys(row[key] for row in slices))
        study = {row[key]: row["study_instance_uid"] for row in slices}
        table = [f"{key},label,patient"]
        table += [f"{name},{number % 2},Meier{study[name]}" for number, name in enumerate(names)]
        (tmp_path / "labels.csv").write_text("\n".join(table) + "\n")
        out = tmp_path / unit
        said = run(
            "finetune", tmp_path / "run", "--labels", tmp_path / "labels.csv", "--out", out, "--unit", unit,
            "--mode", "knn", "--seeds", 1, "--side", 32, "--weights", weights, "--val-fraction", 0.3,
            "--device", "cpu",
        )  # fmt: skip
        assert f"{unit}s, seeds 1" in " ".join(said.split())
        found = ctprune.predict(out, archive, device="cpu")
        assert len(found.units) == len(names)
        assert sum(found.counts) == len(slices)
        assert f"{unit}-0001" in run("predict", out, archive)
        assert occurrences(out, [*names, "Meier"]) == []
