"""The calibration benchmark at a size of seconds: it simulates what it says, and continues where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benches.calibration import Cell, FewPatients
from benches.settings import Settings

from benches import calibration
from ctprune.evaluation.delong import auc_covariance


@pytest.mark.parametrize("patients", [False, True])
def test_simulated_areas_are_the_true_ones(patients: bool) -> None:
    cell = Cell(5, 3, deviation=0.045, images=2000, patients=patients, difference=0.05)
    random = np.random.default_rng(0)
    trials = [calibration.draw(cell, random) for _ in range(40)]
    areas = np.stack([auc_covariance(trial.truth, trial.scores)[0].reshape(2, 5, 3) for trial in trials])
    assert areas.mean(axis=(0, 2, 3)) == pytest.approx([0.83, 0.78], abs=0.01)
    # Between pre-trainings, beside what images and fine-tunings make of their means.
    assert areas.mean(axis=3).std(axis=2, ddof=1).mean() == pytest.approx(0.045, rel=0.2)
    assert (trials[0].patients is None) != patients


def test_few_patients_have_the_images_they_should() -> None:
    random = np.random.default_rng(2)
    for sizes, images, largest in (("equal", 40, 4), ("one large", 36, 18)):
        cell = FewPatients(1, 5, 0.0, 0, patients=True, difference=0.0, of_class=10, sizes=sizes)
        trial = calibration.draw(cell, random)
        assert trial.patients is not None
        assert (int(trial.truth.sum()), len(trial.truth)) == (images, 2 * images)
        assert max(trial.patients.count(one) for one in trial.patients) == largest
        assert len(set(trial.patients)) == 20


def test_one_backbone_is_judged_by_its_own_truth() -> None:
    cell = Cell(1, 5, deviation=0.045, images=118, patients=False, difference=0.0)
    random = np.random.default_rng(1)
    differences = [calibration.draw(cell, random).difference for _ in range(200)]
    assert np.std(differences) == pytest.approx(0.045 * np.sqrt(2), rel=0.2)


def test_finished_lines_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "DESIGNS", ((1, 5), (2, 3)))
    monkeypatch.setattr(calibration, "DEVIATIONS", (0.02,))
    monkeypatch.setattr(calibration, "IMAGES", (118,))
    monkeypatch.setattr(calibration, "PATIENTS", (8,))
    settings = Settings(work=str(tmp_path), repetitions=4, state=str(tmp_path / "state"))
    first = calibration.run(settings, 1)
    assert [table.title for table in first["tables"]] == [
        "No true difference",
        "No true difference, few patients",
        "A true difference of 0.05",
    ]
    assert all(len(row) == len(table.header) for table in first["tables"] for row in table.rows)
    monkeypatch.setattr(calibration, "simulate", None)
    again = calibration.run(settings, 1)
    assert [table.rows for table in again["tables"]] == [table.rows for table in first["tables"]]
