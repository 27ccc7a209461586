"""Volumes are held out whole, even where nothing names their patients."""

from __future__ import annotations

from pathlib import Path

from ctprune.finetuning.images import read_images
from ctprune.finetuning.splits import assign_splits
from ctprune.tasks import list_task
from tests.nifti_volumes import write_volumes


def test_no_volume_is_in_two_splits_where_patients_are_unknown(tmp_path: Path) -> None:
    images = read_images(list_task(write_volumes(tmp_path / "data", 12)), side=16)
    assert len(images) == 42
    files = [entry.name.partition("#")[0] for entry in images.entries]
    assert len({entry.patient for entry in images.entries}) == 12
    for seed in range(4):
        splits = assign_splits(images, tmp_path, fraction=0.3, seed=seed)
        parts = {name: {files[row] for row in splits.rows(name)} for name in ("train", "select", "val")}
        assert all(parts.values())
        assert sum(map(len, parts.values())) == 12
