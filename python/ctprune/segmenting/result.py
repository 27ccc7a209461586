"""The result of a segmentation: the content of `metrics.json`, and the table of patients."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.files.atomic import replace_file
from ctprune.finetuning.training_result import TrainingResult
from ctprune.segmenting.dice import Counts, measures_of

PATIENTS_NAME = "patients.csv"

#: What stands in place of a seed for the mean of all seeds' probabilities.
ENSEMBLE = "ensemble"

Pooled = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True, kw_only=True)
class SegmentResult(TrainingResult):
    """The result of a segmentation.

    Attributes:
        out: Folder of the segmentation.
        config: All options by name.
        classes: Names of the classes but background.
        labels: Label of each class in the masks.
        splits: Number of patients, volumes and slices by split.
        evaluated_split: The split on which the measures were computed.
        selection_split: The split that chose the epoch.
        evaluation: A sentence about what was evaluated.
        overlaps: Patients and near-duplicates that splits share, see `ctprune.finetuning.overlaps.SplitOverlap`.
        weights: Name, SHA-256 and metadata of the file of weights that the training started from; None for random
            weights.
        backbone: Name of the architecture.
        per_seed: A mapping per seed with `seed`, `dice`, `volumetric_similarity`, `best_epoch`, `select_dice` and
            `seconds`.
        pooled: Means over classes, by measure: `mean` and `std` over the seeds, and `low` and `high` of the 95 %
            interval.
        by_class: The same of each class.
        ensemble: The same of the mean of all seeds' probabilities: `pooled` and `by_class`.
        defined: Number of evaluated patients for whom a class's Dice is defined, by class.
        no_interval: Reason why no interval can be estimated; None if there is one.
        notes: Sentences that the reader must know.
        seconds: Time of all trainings.
        device: `cuda` or `cpu`.
        data_digest: Digest of volumes, masks, splits and patients.
    """

    TRAINING = "segmentation"
    METRICS_VERSION = 1

    config: dict[str, Any]
    classes: list[str]
    labels: list[int]
    splits: dict[str, dict[str, int]]
    evaluated_split: str
    selection_split: str
    evaluation: str
    overlaps: list[dict[str, Any]]
    weights: dict[str, Any] | None
    backbone: str
    per_seed: list[dict[str, Any]]
    pooled: Pooled
    by_class: Mapping[str, Pooled]
    ensemble: dict[str, Any]
    defined: dict[str, int]
    no_interval: str | None
    notes: list[str]
    seconds: float
    device: str
    data_digest: str


def write_patients(
    file: Path,
    seeds: Sequence[int],
    patients: Sequence[str],
    classes: Sequence[str],
    counts: Counts,
    milliliters: npt.NDArray[np.float64],
) -> None:
    """A row for each seed (and the mean of them), patient and class.

    Args:
        file: The CSV file.
        seeds: The seeds.
        patients: Pseudonymous names.
        classes: Names of the classes but background.
        counts: Voxels of shape (seeds + 1, patients, classes, 3), as of `ctprune.segmenting.dice.by_patient`.
        milliliters: The same in milliliters.

    Raises:
        OutputError: It cannot be written.
    """
    found = measures_of(counts)
    rows = []
    for index, seed in enumerate([*seeds, ENSEMBLE]):
        for number, patient in enumerate(patients):
            for which, name in enumerate(classes):
                at = (index, number, which)
                measures = [_cell(found[measure][at]) for measure in found]
                volumes = [f"{milliliters[(*at, part)]:.3f}" for part in (2, 1)]
                rows.append((seed, patient, name, *measures, *volumes))
    with replace_file(file) as beside, beside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("seed", "patient", "class", *found, "reference_ml", "predicted_ml"))
        writer.writerows(rows)


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6f}"
