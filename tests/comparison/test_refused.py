"""What cannot be compared gets one sentence."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.errors import ConfigError, EvaluationError, SourceError
from tests.comparison.made_up import LABELS
from tests.results import predictions, write_result


def spoil(folder: Path, kind: str) -> None:
    if kind == "no metrics":
        (folder / "metrics.json").unlink()
    elif kind == "broken metrics":
        (folder / "metrics.json").write_text("{")
    elif kind == "old metrics":
        (folder / "metrics.json").write_text('{"metrics_version": 0}')
    elif kind == "truncated predictions":
        data = (folder / "predictions.parquet").read_bytes()
        (folder / "predictions.parquet").write_bytes(data[: len(data) // 2])
    elif kind == "no predictions":
        (folder / "predictions.parquet").unlink()
    else:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no metrics", "expected a finished result of 'ctprune finetune', found no metrics.json"),
        ("broken metrics", "metrics.json: expected the measures"),
        ("old metrics", "metrics.json: expected version 2, found 0"),
        ("truncated predictions", "predictions.parquet: expected predictions written by"),
        ("no predictions", "predictions.parquet: expected predictions, found no such file"),
        ("no folder", "no such folder"),
    ],
)
def test_bad_folders_are_refused(three: list[Path], tmp_path: Path, kind: str, message: str) -> None:
    shutil.copytree(three[1], tmp_path / "bad")
    spoil(tmp_path / "bad", kind)
    with pytest.raises((EvaluationError, SourceError), match=message):
        ctprune.compare([three[0], tmp_path / "bad"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_test_sets_are_refused(three: list[Path], tmp_path: Path) -> None:
    model = predictions(LABELS, skill=1, seeds=1, seed=0)
    other = write_result(tmp_path / "images", LABELS, model, images=[f"image-{i + 18:04}.png" for i in range(118)])
    with pytest.raises(EvaluationError, match="18 only in the first, 18 only in the second, 100 in both"):
        ctprune.compare([three[0], other])
    relabeled = write_result(tmp_path / "labels", np.r_[1 - LABELS[0], LABELS[1:]], model)
    with pytest.raises(EvaluationError, match="same images, but 1 of them have different labels"):
        ctprune.compare([three[0], relabeled])
    renamed = write_result(tmp_path / "classes", LABELS, model, classes=["a", "b"])
    with pytest.raises(EvaluationError, match="have different classes: NonCOVID, COVID against a, b"):
        ctprune.compare([three[0], renamed])
    with pytest.raises(EvaluationError, match="expected two or more results to compare, found 1"):
        ctprune.compare(three[:1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"correction": "none"}, "correction none: expected one of holm"),
        ({"resamples": 5}, "resamples 5: expected 100 to"),
        ({"margin": 0.0}, "margin 0: expected a difference above 0 such as 0.02"),
    ],
)
def test_options_out_of_range_are_refused(three: list[Path], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ctprune.compare(three, **options)


def test_a_folder_given_twice_is_refused(three: list[Path]) -> None:
    with pytest.raises(ConfigError, match="a result is named twice"):
        ctprune.compare([three[0], three[0]])
