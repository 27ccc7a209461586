"""The outcome of each seed, kept until all seeds are done, and the table of all predictions."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.files.atomic import replace_file
from ctprune.finetuning.bags import Units
from ctprune.finetuning.images import LabeledImages
from ctprune.finetuning.labeled import Labeled
from ctprune.finetuning.result import PREDICTIONS_VERSION
from ctprune.finetuning.sampling import numbers_of
from ctprune.finetuning.splits import Splits
from ctprune.options.shared import REGRESSION

#: Which images belong to which volume or patient.
UNITS_NAME = "units.parquet"


@dataclass(frozen=True)
class SeedOutcome:
    """The outcome of one seed.

    Attributes:
        seed: The seed.
        backbone: File of the backbone, relative to the folder `model`.
        head: File of the head, relative to the folder `model`.
        images_used: Number of training images, after `fraction`.
        seconds: Training time in seconds, over all sessions.
        facts: Other facts about the training, such as the best epoch.
        history: A row for each epoch; empty for probes.
    """

    seed: int
    backbone: str
    head: str
    images_used: int
    seconds: float
    facts: dict[str, Any]
    history: list[dict[str, Any]]

    def save(self, stem: Path, probabilities: npt.NDArray[np.float64]) -> None:
        """Write the outcome and the probabilities of all images; its file marks the seed as done.

        Raises:
            OutputError: A file cannot be written.
        """
        with replace_file(stem.with_suffix(".npy")) as beside, beside.open("wb") as file:
            np.save(file, probabilities)
        with replace_file(stem.with_suffix(".json")) as beside:
            beside.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, stem: Path) -> tuple[SeedOutcome, npt.NDArray[np.float64]] | None:
        """The outcome and probabilities that an earlier session saved; None if they are missing or damaged."""
        try:
            outcome = cls(**json.loads(stem.with_suffix(".json").read_text()))
            return outcome, np.load(stem.with_suffix(".npy"))
        except (OSError, ValueError, TypeError, EOFError):
            return None


def patient_names(images: Labeled) -> list[str | None]:
    """Patients by number, in order of first appearance: no patient ID goes into a result."""
    patients = [entry.patient for entry in images.entries]
    known = [patient for patient in patients if patient is not None]
    numbers = dict(zip(known, numbers_of(known).tolist(), strict=True))
    return [None if patient is None else f"patient-{numbers[patient] + 1:04d}" for patient in patients]


def write_predictions(
    file: Path,
    images: Labeled,
    splits: Splits,
    probabilities: dict[int, npt.NDArray[np.float64]],
    config: dict[str, Any],
) -> None:
    """A row for each seed and image, or other unit, of the selecting and the evaluated split.

    Args:
        file: The Parquet file.
        images: What has been predicted: images of the task, volumes or patients.
        splits: Their splits.
        probabilities: Probabilities of all of them by seed, float64 of shape (n, classes); of a regression the
            numbers.
        config: Options of the fine-tuning.

    Raises:
        OutputError: The file cannot be written.
    """
    rows = np.sort(np.concatenate([splits.rows(splits.selection), splits.rows(splits.evaluated)]))
    patients = patient_names(images)
    metadata = {
        "predictions_version": PREDICTIONS_VERSION,
        "ctprune_version": _core.__version__,
        "target": images.target,
        "classes": list(images.class_names),
        "positive": config["positive"],
        "config": config,
    }
    table = _core.Rows.from_columns(
        {
            "seed": np.repeat(np.array(list(probabilities), np.int64), len(rows)),
            "split": [str(splits.names[row]) for row in rows] * len(probabilities),
            "image": [images.entries[row].name for row in rows] * len(probabilities),
            "patient": [patients[row] for row in rows] * len(probabilities),
            **_labels_and_predictions(images, rows, probabilities),
        }
    )
    with replace_file(file) as beside:
        table.write(beside, json.dumps(metadata, sort_keys=True))


def write_units(file: Path, images: LabeledImages, units: Units, splits: Splits) -> None:
    """A row for each image: the name and split of its volume or patient, and the image's own name.

    Args:
        file: The Parquet file.
        images: Images of the task.
        units: What they belong to.
        splits: Splits of the units; the text is empty for those that are left out.

    Raises:
        OutputError: The file cannot be written.
    """
    table = _core.Rows.from_columns(
        {
            "unit": [units.entries[unit].name for unit in units.of_image],
            "split": [str(splits.names[unit]) for unit in units.of_image],
            "image": [entry.name for entry in images.entries],
        }
    )
    with replace_file(file) as beside:
        table.write(beside)


def _labels_and_predictions(
    images: Labeled, rows: npt.NDArray[np.int64], predictions: dict[int, npt.NDArray[np.float64]]
) -> dict[str, Any]:
    labels = [images.entries[row].label for row in rows] * len(predictions)
    found = np.concatenate([one[rows] for one in predictions.values()])
    if images.target == REGRESSION:
        return {"label": np.array([float(label) for label in labels]), "prediction": found[:, 0]}
    return {"label": labels, "probabilities": found}
