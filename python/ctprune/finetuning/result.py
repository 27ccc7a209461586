"""The result of a fine-tuning: the content of `metrics.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ctprune.finetuning.training_result import TrainingResult

#: Version of the table of predictions.
PREDICTIONS_VERSION = 2

PREDICTIONS_NAME = "predictions.parquet"


@dataclass(frozen=True, kw_only=True)
class FinetuneResult(TrainingResult):
    """The result of a fine-tuning.

    Attributes:
        out: Folder of the fine-tuning.
        config: All options by name.
        classes: Names of the classes, labels or levels; none where labels are numbers.
        positive: The positive one of two classes, whose precision, sensitivity and so on are reported; None with
            more classes.
        splits: Number of images, or of other units, by split and class; with one class, `images`, if the target
            is not classes.
        evaluated_split: The split on which the metrics were computed.
        selection_split: The split that chose the epoch.
        evaluation: A sentence about what was evaluated.
        overlaps: Patients and near-duplicates that splits share, see `ctprune.finetuning.overlaps.SplitOverlap`.
        weights: Name, SHA-256 and metadata of the file of weights that the training started from; None for random
            weights.
        backbone: Name of the architecture.
        per_seed: A mapping per seed with `seed`, `metrics`, `threshold`, `temperature`, `images_used`, `seconds`
            and the facts of its training.
        pooled: `mean` and `std` over the seeds, and `low` and `high` of the 95 % interval, by metric.
        at_threshold: Metrics of the positive class at each seed's `threshold`, which is chosen on the selecting
            split, with the fields of `pooled`; None with more than two classes, or where that split lacks one.
        calibrated: Metrics of probabilities scaled by each seed's `temperature`, which is fitted on the selecting
            split, with the fields of `pooled`; None for other targets than classes.
        interval_unit: What counts as independent: `patient` if patients are known, else each image or volume.
        no_interval: Reason why no interval can be estimated; None if there is one.
        patients: Number of `patients`, and of images or other units, `images_without`, whose patient is not known,
            by split.
        notes: Sentences that the reader must know.
        unreadable: Reason for each file that could not be read, by name.
        skipped: Reason for each file that is not an image of the modality, by name.
        seconds: Time of all seeds.
        device: `cuda` or `cpu`.
        data_digest: Digest of the data, see `LabeledImages.digest`.
        subgroups: Metrics by the values of each subgroup column, with the fields of
            `ctprune.evaluation.subgroups.BySubgroup`.
        by_output: Metrics of each label (for several labels) or of each threshold between levels, with the fields
            of `pooled`, and `no_interval` with the reason if there is no interval.
        label_counts: For several labels the number of images with each, by split.
    """

    TRAINING = "fine-tuning"
    METRICS_VERSION = 2

    config: dict[str, Any]
    classes: list[str]
    positive: str | None
    splits: dict[str, dict[str, int]]
    evaluated_split: str
    selection_split: str
    evaluation: str
    overlaps: list[dict[str, Any]]
    weights: dict[str, Any] | None
    backbone: str
    per_seed: list[dict[str, Any]]
    pooled: Mapping[str, Mapping[str, float | None]]
    at_threshold: Mapping[str, Mapping[str, float | None]] | None
    calibrated: Mapping[str, Mapping[str, float | None]] | None
    interval_unit: str
    no_interval: str | None
    patients: dict[str, dict[str, int]]
    notes: list[str]
    seconds: float
    device: str
    data_digest: str
    unreadable: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    subgroups: list[dict[str, Any]] = field(default_factory=list)
    by_output: dict[str, dict[str, Any]] = field(default_factory=dict)
    label_counts: dict[str, dict[str, int]] = field(default_factory=dict)
