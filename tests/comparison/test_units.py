"""Results about volumes: compared with each other only, and called what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ctprune
from tests.results import predictions, write_result

LABELS = np.arange(24) % 2


def result(folder: Path, unit: str, seed: int, patients: list[str | None] | None = None) -> Path:
    names = [f"volume-{number:04d}" for number in range(24)]
    config = {"mode": "linear", "positive": "COVID", "unit": unit}
    return write_result(
        folder,
        LABELS,
        predictions(LABELS, skill=1, seeds=2, seed=seed),
        images=names,
        config=config,
        patients=patients,
    )


def test_volumes_are_called_volumes(tmp_path: Path) -> None:
    folders = [result(tmp_path / name, "volume", seed) for seed, name in enumerate("ab")]
    found = ctprune.compare(folders, out=tmp_path / "out", resamples=100)
    about = found.to_dict()
    assert (about["each"], about["unit"], about["images"]) == ("volume", "volume", 24)
    assert "so volumes count as independent" in " ".join(found.notes)
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "24 volumes" in page
    assert "variation of volumes and trainings" in page


def test_intervals_resample_the_patients_of_volumes(tmp_path: Path) -> None:
    patients: list[str | None] = [f"patient-{number // 2:04d}" for number in range(24)]
    folders = [result(tmp_path / name, "volume", seed, patients) for seed, name in enumerate("ab")]
    about = ctprune.compare(folders, resamples=100).to_dict()
    assert (about["each"], about["unit"], about["patients"]) == ("volume", "patient", 12)


def test_volumes_are_not_compared_with_images(tmp_path: Path) -> None:
    folders = [result(tmp_path / unit, unit, 0) for unit in ("image", "volume")]
    with pytest.raises(
        ctprune.EvaluationError, match="predict different things, images and volumes: fine-tune one"
    ):
        ctprune.compare(folders)
