"""The table of predictions of a finished `ctprune finetune`, checked and sorted into arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.errors import EvaluationError
from ctprune.finetuning.result import PREDICTIONS_VERSION
from ctprune.finetuning.target_words import count_words
from ctprune.options.shared import CLASSES, MULTI_LABEL, REGRESSION
from ctprune.tasks.listing import Entry
from ctprune.tasks.targets import labels_in, targets_of

_COLUMNS = ("seed", "split", "image", "patient", "label")


def read_predictions(file: Path, target: str, split: str) -> dict[str, Any]:
    """Classes, seeds, images, labels, predictions and patients of one split, by the names of `Result`'s fields.

    Args:
        file: The Parquet file.
        target: What labels are.
        split: The split.

    Raises:
        EvaluationError: Other content than `ctprune finetune` writes, or no prediction of the split.
    """
    table, classes = _read(file, "prediction" if target == REGRESSION else "probabilities")
    table = table.filter(np.array([name == split for name in table["split"]], np.bool_))
    if not len(table):
        raise EvaluationError(f"{file}: expected predictions of the split {split!r}, found none")
    return {"classes": classes} | _by_seed(file, table, target, classes)


def _read(file: Path, predictions: str) -> tuple[_core.Rows, tuple[str, ...]]:
    try:
        table, found = _core.Rows.read(file)
        metadata = json.loads(found or "{}")
        version, classes = metadata["predictions_version"], tuple(metadata["classes"])
    except FileNotFoundError:
        raise EvaluationError(f"{file}: expected predictions, found no such file") from None
    except (OSError, KeyError, TypeError, ValueError):
        raise EvaluationError(
            f"{file}: expected predictions written by 'ctprune finetune', found others"
        ) from None
    if version != PREDICTIONS_VERSION:
        raise EvaluationError(f"{file}: expected predictions of version {PREDICTIONS_VERSION}, found {version}")
    missing = [column for column in (*_COLUMNS, predictions) if column not in table.columns]
    if missing:
        raise EvaluationError(f"{file}: expected a column {missing[0]!r}, found none")
    return table, classes


def _by_seed(file: Path, table: _core.Rows, target: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """Sort the rows by seed and image, and check that every seed has the same images."""
    seed_of, name_of = table["seed"], table["image"]
    order = sorted(range(len(table)), key=lambda row: (seed_of[row], name_of[row]))
    table = table.take(np.array(order, np.int64))
    seeds = sorted(set(seed_of.tolist()))
    count = len(table) // len(seeds)
    images, labels = table["image"], list(table["label"])
    first = images[:count]
    if images != first * len(seeds) or len(set(first)) != count or labels != labels[:count] * len(seeds):
        raise EvaluationError(f"{file}: expected the same images once for each seed, found others")
    truth = _truth(file, target, classes, labels[:count])
    if target == REGRESSION:
        predictions = np.asarray(table["prediction"], np.float64).reshape(len(table), 1)
        columns = 1
    else:
        predictions, columns = table["probabilities"], len(classes)
    if predictions.shape != (len(table), columns):
        raise EvaluationError(f"{file}: expected {columns} probabilities for each image, found others")
    if target != CLASSES and not np.isfinite(predictions).all():
        raise EvaluationError(f"{file}: expected finite numbers as predictions, found nan or infinity")
    return {
        "seeds": tuple(seeds),
        "images": tuple(first),
        "labels": truth,
        "probabilities": predictions.reshape(len(seeds), count, columns),
        "patients": tuple(patient or None for patient in table["patient"][:count]),
    }


def _truth(file: Path, target: str, classes: tuple[str, ...], labels: list[Any]) -> npt.NDArray[Any]:
    """Labels as in `Result`."""
    entries = [Entry("", str(label)) for label in labels]
    if target == REGRESSION:
        try:
            numbers = targets_of(entries, target)
        except ValueError:
            numbers = np.array([[np.nan]])
        if not np.isfinite(numbers).all():
            raise EvaluationError(f"{file}: expected finite numbers as labels, found others")
        return numbers
    given = {name for label in labels for name in (labels_in(label) if target == MULTI_LABEL else [label])}
    unknown = given - set(classes)
    if unknown:
        raise EvaluationError(
            f"{file}: label {sorted(unknown)[0]!r} is none of the {count_words(target)} {', '.join(classes)}"
        )
    if target == MULTI_LABEL:
        return targets_of(entries, target, classes)
    index = {name: number for number, name in enumerate(classes)}
    return np.array([index[label] for label in labels])
