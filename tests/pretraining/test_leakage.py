from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ctprune
from ctprune.exporting.config import ExportConfig
from ctprune.exporting.export import export_kept
from ctprune.networks.backbone import backbone_metadata
from ctprune.overlapping.excluded import excluded_rows
from ctprune.pretraining.probe import Probe
from ctprune.pretraining.result import portable
from ctprune.pretraining.used_slices import UsedSlices
from tests.labeled import write
from tests.nifti_volumes import write_volumes
from tests.pretraining.tiny import tiny


def test_exclusion_equals_comparing_every_pair(run: Path, tmp_path: Path) -> None:
    manifest = ctprune.Manifest.load(run)
    test_set = tmp_path / "test"
    test_set.mkdir()
    slices = [row for row in manifest.rows.to_dicts() if row["status"] in ("kept", "dropped")]
    files = Counter(row["path"] for row in slices)
    # Files of one frame, so that each brings one fingerprint.
    chosen = [row for row in slices if files[row["path"]] == 1][::9]
    for number, row in enumerate(chosen):
        os.link(Path(row["source"], row["path"]), test_set / f"{number}.dcm")
    prints = [row["fingerprint"] for row in chosen]
    for threshold in (0, 4):
        found = excluded_rows(manifest, [test_set], threshold=threshold)
        expected = []
        for index, row in enumerate(manifest.rows.to_dicts()):
            if row["status"] not in ("kept", "dropped"):
                continue
            bits = [
                bin(int.from_bytes(row["fingerprint"], "big") ^ int.from_bytes(other, "big")).count("1")
                for other in prints
            ]
            if min(bits) <= threshold:
                expected.append(index)
        assert found.rows.tolist() == expected
        assert len(expected) >= len(set(prints))
    with pytest.raises(ctprune.ConfigError, match="expected 0 to 64"):
        excluded_rows(manifest, [test_set], threshold=65)


def test_images_of_a_medmnist_file_are_compared_with(run: Path, tmp_path: Path) -> None:
    """The pictures of slices in such a file find those slices, as the same pictures in a folder do."""
    manifest = ctprune.Manifest.load(run)
    pictures = tmp_path / "pictures"
    export_kept(manifest, ExportConfig(mode="png", folder=pictures))
    chosen = sorted(pictures.rglob("*.png"))[:6]
    images = [np.asarray(Image.open(file).convert("L").resize((96, 96))) for file in chosen]
    np.savez(tmp_path / "organs.npz", train_images=np.stack(images[:4]), test_images=np.stack(images[4:]))
    (tmp_path / "same").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "same" / f"{number}.png")
    found = excluded_rows(manifest, [tmp_path / "organs.npz"], threshold=6)
    assert found.rows.tolist() == excluded_rows(manifest, [tmp_path / "same"], threshold=6).rows.tolist()
    assert len(found.rows)
    np.savez(tmp_path / "other.npz", labels=np.arange(3))
    with pytest.raises(ctprune.SourceError, match=r"other.npz: expected a MedMNIST file"):
        excluded_rows(manifest, [tmp_path / "other.npz"])


def test_files_of_a_test_set_that_cannot_be_read_are_counted_and_named_nowhere(run: Path, tmp_path: Path) -> None:
    test_set, manifest = tmp_path / "Mustermann", ctprune.Manifest.load(run)
    test_set.mkdir()
    row = manifest.kept().to_dicts()[0]
    content = Path(row["source"], row["path"]).read_bytes()
    (test_set / "whole.dcm").write_bytes(content)
    config, store = tiny(exclude=[str(test_set)]), ctprune.build_store(run, side=32)
    for failed in (0, 1):
        close = excluded_rows(manifest, config.exclude)
        used = UsedSlices.of(config, manifest, store, close)
        said = [sentence for sentence in used.notes() if "cannot be read" in sentence]
        assert (close.failed, used.excluded["failed"], len(said)) == (failed, failed, failed)
        (test_set / "Mustermann.dcm").write_bytes(content[:3000])
    assert said[0].startswith("1 file of the sets in `exclude` cannot be read, ")
    # What travels with the weights names no test set.
    facts = {"excluded": used.excluded, "settings": config.to_dict(), "notes": used.notes()}
    # Nor a path or pattern of the reduction, or a reason that quotes a file.
    places = {name: "Mustermann" for name in ("exclude", "include", "target", "volume_pattern", "weights")}
    facts |= {"reduction": manifest.config | places, "left_out": {"Mustermann": 2, "other": 1}}
    found = portable(facts)
    assert json.dumps(facts).count("Mustermann") > len(places)
    assert "Mustermann" not in json.dumps(found)
    assert found["unreadable"] == 3
    expected = {"method": "hash", "threshold": 6, "scope": "volume"}
    assert expected.items() <= found["reduction"].items() <= manifest.config.items()


@pytest.mark.slow
def test_excluded_slices_do_not_train_and_the_probe_is_logged(archive: Path, run: Path, tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    rows = ctprune.Manifest.load(run).kept().to_dicts()
    for number, row in enumerate(rows[:24]):
        folder = probe / ("upper" if number % 2 else "lower")
        folder.mkdir(parents=True, exist_ok=True)
        os.link(Path(row["source"], row["path"]), folder / f"{number}.dcm")
    config = tiny(exclude=[str(probe / "upper")], exclude_threshold=0, probe=str(probe))
    facts = ctprune.pretrain(run, config, out=tmp_path / "pre").summary
    assert facts["excluded"]["slices"] >= 12
    assert facts["slices"] == len(rows) - facts["excluded"]["slices"]
    sample = ctprune.pretrain(
        run, dataclasses.replace(config, use="random", probe=None), out=tmp_path / "sample"
    ).summary
    assert sample["slices"] == facts["slices"]
    assert 0 <= facts["knn_accuracy"] <= 1
    weights = backbone_metadata(tmp_path / "pre/backbone.safetensors")
    assert str(tmp_path) not in json.dumps(weights)


@pytest.mark.parametrize(
    ("images", "pattern"),
    [
        # By the pattern, whatever the class.
        ({"a/p1_1.png": 1, "b/p1_2.png": 1, "a/p2_1.png": 2}, r"^(p\d)_"),
        # By folders below those of the classes, else each for itself.
        ({"a/x/1.png": 1, "a/x/2.png": 1, "b/x/3.png": 2, "b/4.png": 3, "b/5.png": 4}, None),
    ],
)
def test_the_probe_knows_patients(run: Path, tmp_path: Path, images: dict[str, int], pattern: str | None) -> None:
    for number, name in enumerate(images):
        write(tmp_path / "probe" / name, ill=name.startswith("a"), number=number)
    store = ctprune.build_store(run, side=32)
    found = Probe(tmp_path / "probe", store, window=None, mean=0.2, std=0.2, patient_pattern=pattern)
    patients = dict(zip(sorted(images), found._patients.tolist(), strict=True))
    for one, other in combinations(images, 2):
        assert (patients[one] == patients[other]) == (images[one] == images[other])


def test_the_probe_holds_out_whole_volumes(run: Path, tmp_path: Path) -> None:
    write_volumes(tmp_path / "probe", 4)
    found = Probe(tmp_path / "probe", ctprune.build_store(run, side=32), window=None, mean=0.2, std=0.2)
    # Slices of a file, which names no patient, never vote for each other.
    assert found._patients.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]


def test_studies_stand_for_patients_and_mistakes_are_one_sentence(run: Path, tmp_path: Path) -> None:
    rows = ctprune.Manifest.load(run).kept().to_dicts()
    for number, row in enumerate(rows[:: len(rows) // 8]):
        folder = tmp_path / "probe" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        os.link(Path(row["source"], row["path"]), folder / f"{number}.dcm")
    store = ctprune.build_store(run, side=32)
    options: dict[str, Any] = {"window": None, "mean": 0.2, "std": 0.2}
    found = Probe(tmp_path / "probe", store, **options)
    studies = {row["study_instance_uid"] for row in rows[:: len(rows) // 8]}
    assert len(set(found._patients.tolist())) == len(studies)
    with pytest.raises(ctprune.ConfigError, match="matches no file's name"):
        Probe(tmp_path / "probe", store, **options, patient_pattern="(Meier)")
    with pytest.raises(ctprune.SourceError, match="expected images of at least two patients, found one"):
        Probe(tmp_path / "probe", store, **options, patient_pattern=r"\d(\.)dcm")
