from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from pathlib import Path

import pytest

import ctprune
from ctprune.backbone import backbone_metadata
from ctprune.pretraining.leakage import excluded_rows
from tests.pretraining.tiny import tiny


def test_exclusion_equals_comparing_every_pair(run: Path, tmp_path: Path) -> None:
    manifest = ctprune.Manifest.load(run)
    test_set = tmp_path / "test"
    test_set.mkdir()
    slices = [row for row in manifest.table.to_pylist() if row["status"] in ("kept", "dropped")]
    files = Counter(row["path"] for row in slices)
    # Files of one frame, so that each brings one fingerprint.
    chosen = [row for row in slices if files[row["path"]] == 1][::9]
    for number, row in enumerate(chosen):
        os.link(Path(row["source"], row["path"]), test_set / f"{number}.dcm")
    prints = [row["fingerprint"] for row in chosen]
    for threshold in (0, 4):
        found = excluded_rows(manifest, [test_set], threshold=threshold)
        expected = []
        for index, row in enumerate(manifest.table.to_pylist()):
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


@pytest.mark.slow
def test_excluded_slices_do_not_train_and_the_probe_is_logged(archive: Path, run: Path, tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    rows = ctprune.Manifest.load(run).kept().to_pylist()
    for number, row in enumerate(rows[:24]):
        folder = probe / ("upper" if number % 2 else "lower")
        folder.mkdir(parents=True, exist_ok=True)
        os.link(Path(row["source"], row["path"]), folder / f"{number}.dcm")
    config = tiny(exclude=[str(probe / "upper")], exclude_threshold=0, probe=str(probe))
    facts = ctprune.pretrain(run, out=tmp_path / "pre", config=config).summary
    assert facts["excluded"]["slices"] >= 12
    assert facts["slices"] == len(rows) - facts["excluded"]["slices"]
    sample = ctprune.pretrain(
        run, out=tmp_path / "sample", config=dataclasses.replace(config, use="random", probe=None)
    ).summary
    assert sample["slices"] == facts["slices"]
    assert 0 <= facts["knn_accuracy"] <= 1
    weights = backbone_metadata(tmp_path / "pre/backbone.safetensors")
    assert str(tmp_path) not in json.dumps(weights)
