"""The configuration of a fine-tuning: a frozen dataclass that checks itself. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from ctprune.errors import ConfigError
from ctprune.finetuning.course_options import AUGMENTATIONS, SCHEDULES, check_course
from ctprune.finetuning.mode_options import MODES, PRESETS, defaults_of
from ctprune.finetuning.option_values import NORMALIZATIONS
from ctprune.finetuning.target_options import check_target
from ctprune.finetuning.training_options import (
    TrainingConfig,
    backbone_option,
    download_option,
    intensity_option,
    modality_option,
    seeds_option,
    side_option,
    split_seed_option,
    val_fraction_option,
    weights_option,
)
from ctprune.finetuning.unit_options import POOLS, UNITS, check_volume_pattern, pooling_options
from ctprune.options.check import check, check_one_group
from ctprune.options.described import described
from ctprune.options.option import option
from ctprune.options.parse import names_between_commas
from ctprune.options.shared import (
    CLASSES,
    PRECISIONS,
    TARGETS,
    column_option,
    device_option,
    threads_option,
)

#: How an image becomes a square; `ctprune.finetuning.fitting` does it.
FITS = ("pad", "squeeze", "crop")

_TASK, _TRAINING, _OUTPUT = "Task", "Training", "Output"


@described
@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(TrainingConfig):
    """The options of a fine-tuning.

    Defaults are those of Wolf et al. 2024: backbone and one linear layer, Adam, 70 epochs (the first 10 with a
    frozen backbone), horizontal flips. `preset="reference"` trains as the published notebooks do, step by step;
    `ctprune.finetuning.recipe` lists the differences.

    Raises:
        ConfigError: An option is out of range, or not used in this mode.

    >>> FinetuneConfig(seeds=3).seeds, FinetuneConfig().epochs
    ((0, 1, 2), 70)
    """

    patient_pattern: str | None = option(
        None, panel=_TASK, help="Regular expression with one group that extracts the patient from a file's name."
    )
    path_column: str | None = column_option("path", panel=_TASK)
    label_column: str | None = column_option("label", panel=_TASK)
    split_column: str | None = column_option("split", panel=_TASK)
    patient_column: str | None = column_option("patient", panel=_TASK)
    unit: str = option(
        "image",
        choices=UNITS,
        panel=_TASK,
        help="What a label and a prediction belong to: an image, a volume (in DICOM: a series) or a patient.",
        more="All images of a unit need one label. Each unit counts once in every metric.",
    )
    volume_pattern: str | None = option(
        None,
        belongs_to="unit",
        panel=_TASK,
        help="volume: regular expression with one group that extracts a picture's volume; default its folder.",
    )
    target: str = option(
        CLASSES,
        choices=TARGETS,
        panel=_TASK,
        help="What labels are: classes, multi-label (any of several, such as a;b), ordinal (levels of a scale) or "
        "regression (numbers).",
    )
    levels: tuple[str, ...] = option(
        (),
        noun="names of levels",
        parse=names_between_commas,
        belongs_to="target",
        metavar="A,B,C",
        panel=_TASK,
        help="ordinal: levels from the lowest to the highest; by default, labels are numbers.",
    )
    label_columns: tuple[str, ...] = option(
        (),
        noun="names of columns",
        parse=names_between_commas,
        belongs_to="target",
        metavar="A,B,C",
        panel=_TASK,
        help="multi-label: columns of 1 and 0, one for each label, in place of one column such as a;b.",
    )
    subgroup_columns: tuple[str, ...] = option(
        (),
        noun="names of columns",
        flag="subgroup_column",
        metavar="COLUMN",
        panel=_TASK,
        help="Table of labels: column of subgroups, such as sex or site, to evaluate separately; repeatable.",
        more="At most 20 different values; they stand in the result. Of a reduction, also `manufacturer`, "
        "`manufacturer_model_name`, `convolution_kernel` or `slice_thickness_mm` of the manifest.",
    )
    drop_overlap: bool = option(
        False,
        panel=_TASK,
        help="Leave out training images that share a patient or a near-duplicate with the evaluated split.",
    )
    val_fraction: float = val_fraction_option(
        of="A fraction of all images, or of the training images.", panel=_TASK
    )
    split_seed: int = split_seed_option(panel=_TASK)
    positive: str | None = option(
        None,
        panel=_TASK,
        help="Positive one of two classes; required unless they are 0 and 1.",
        more="Precision, sensitivity and so on are those of this class. Of 0 and 1 it is 1.",
    )
    intensity: str | None = intensity_option(panel=_TASK)
    modality: str = modality_option(panel=_TASK)
    weights: str | None = weights_option(panel=_TRAINING)
    download: bool = download_option(panel=_TRAINING)
    backbone: str | None = backbone_option(panel=_TRAINING)
    mode: str = option(
        "finetune",
        choices=MODES,
        panel=_TRAINING,
        help="Train all weights, or a linear classifier or nearest neighbors on frozen features.",
        more="`linear` is a logistic regression.",
    )
    pool: str | None = option(
        None,
        belongs_to="unit",
        choices=POOLS,
        panel=_TRAINING,
        help="volume, patient: how images become one prediction: mean (default), top-k, or attention (linear).",
    )
    top_k: int | None = option(
        None,
        belongs_to="pool",
        low=1,
        high=100_000,
        panel=_TRAINING,
        help="top-k: number of images with the largest scores to average, default 5.",
    )
    preset: str = option(
        "default",
        choices=PRESETS,
        panel=_TRAINING,
        help="default, or reference: the training of the published notebooks, step by step.",
        more="Unless other options differ, `reference` squeezes images into the square, normalizes by the "
        "training images and computes in 32 bits. It belongs to mode `finetune`.",
    )
    seeds: int | Sequence[int] = seeds_option(5, panel=_TRAINING)
    fraction: float = option(1.0, above=0, high=1, panel=_TRAINING, help="Fraction of the training labels to use.")
    class_weights: bool | None = option(
        None,
        belongs_to="mode",
        panel=_TRAINING,
        help="Weight classes (or levels, or a label's presence and absence) by their inverse frequency.",
        more="As scikit-learn's `balanced`. Of several labels, each is weighted by itself.",
    )
    epochs: int | None = option(
        None, belongs_to="mode", low=1, high=100_000, panel=_TRAINING, help="finetune: epochs, default 70."
    )
    frozen_epochs: int | None = option(
        None,
        belongs_to="mode",
        low=0,
        panel=_TRAINING,
        help="finetune: initial epochs with a frozen backbone, default 10.",
        more="BatchNorm layers then keep the statistics of the pre-training (in `reference` they train).",
    )
    batch_size: int = option(64, low=2, high=65_536, panel=_TRAINING, help="Images per step.")
    learning_rate: float | None = option(
        None,
        belongs_to="mode",
        above=0,
        high=10,
        panel=_TRAINING,
        help="finetune: learning rate of Adam, default 1e-4.",
        more="In `reference`, a fifth of it from the second epoch with a thawed backbone on.",
    )
    schedule: str | None = option(
        None,
        belongs_to="mode",
        choices=SCHEDULES,
        panel=_TRAINING,
        help="finetune: learning rate after the warm-up: constant (default), or cosine, which falls to 0.",
        more="It changes with each step and reaches 0 after the last one.",
    )
    warmup_epochs: int | None = option(
        None,
        belongs_to="mode",
        low=0,
        panel=_TRAINING,
        help="finetune: epochs until the learning rate is reached, from 0; default 0.",
        more="Epochs with a frozen backbone are included.",
    )
    weight_decay: float | None = option(
        None,
        belongs_to="mode",
        low=0,
        high=10,
        panel=_TRAINING,
        help="finetune: weight decay of Adam, default 5e-4.",
        more="It is added to the gradient, as in the reference.",
    )
    flip: bool | None = option(
        None,
        belongs_to="mode",
        negative=True,
        panel=_TRAINING,
        help="finetune: random horizontal flips; default on.",
        more="Half of the training images are flipped.",
    )
    augment: str | None = option(
        None,
        belongs_to="mode",
        choices=AUGMENTATIONS,
        panel=_TRAINING,
        help="finetune: random changes to training images besides flips: none (default), light or standard.",
        more="`light` turns, shifts and enlarges a little; `standard` more, and changes brightness, contrast and "
        "sharpness.",
    )
    neighbors: int | None = option(
        None,
        belongs_to="mode",
        low=1,
        high=1_000_000,
        panel=_TRAINING,
        help="knn: number of neighbors that vote, default 20.",
    )
    side: int = side_option(panel=_TRAINING)
    fit: str | None = option(
        None,
        belongs_to="preset",
        choices=FITS,
        panel=_TRAINING,
        help="How an image becomes a square: pad (default), squeeze (default of reference) or crop.",
        more="`pad` adds margins as dark as the image's darkest pixel, `squeeze` changes its shape, `crop` takes "
        "the middle of the longer side.",
    )
    normalize: str | None = option(
        None,
        belongs_to="preset",
        metavar=f"[{'|'.join(NORMALIZATIONS)}]",
        panel=_TRAINING,
        help="Mean and standard deviation: auto (default; as in the pre-training), imagenet, train (default of "
        "reference), or two numbers such as 0.56,0.29.",
        more="Numbers are fractions of 255. `auto` uses ImageNet's for weights that name none, and the training "
        "images' without weights.",
    )
    precision: str | None = option(
        None,
        belongs_to="preset",
        choices=PRECISIONS,
        panel=_TRAINING,
        help="Precision: auto (default; mixed on a GPU), 32 (default of reference), bf16 or fp16.",
        more="`auto` uses bf16 on GPUs that support it, fp16 on other GPUs, and 32 bits on a CPU.",
    )
    features: str | None = option(
        None,
        is_path=True,
        decides=False,
        panel=_TRAINING,
        help="linear, knn: folder that keeps frozen features, to share them among fine-tunings.",
    )
    device: str = device_option(panel=_TRAINING)
    devices: int = option(
        1,
        low=0,
        panel=_TRAINING,
        help="finetune: GPUs per machine, 0 for all; or processes on a CPU. Each takes a part of every batch.",
    )
    nodes: int = option(1, low=1, panel=_TRAINING, help="finetune: number of machines, with srun or torchrun.")
    threads: int = threads_option(what="Threads that read images", panel=_OUTPUT)

    def __post_init__(self) -> None:
        check(self)
        if self.preset == "reference" and self.mode != "finetune":
            raise ConfigError(f"preset reference belongs to `mode` finetune, not to {self.mode}", field="preset")
        check_target(self)
        check_volume_pattern(self.unit, self.volume_pattern)
        pool, top_k = pooling_options(self.unit, self.pool, self.top_k, self.mode)
        for name, value in {**defaults_of(self), "pool": pool, "top_k": top_k}.items():
            object.__setattr__(self, name, value)
        check_course(self)
        self._settle()
        check_one_group("volume_pattern", self.volume_pattern)

    @property
    def transposed(self) -> bool:
        """Whether the network sees rows as columns, as the reference's does: MONAI's `LoadImage` swaps them."""
        return self.preset == "reference"

    def for_classes(self, classes: Sequence[str]) -> FinetuneConfig:
        """The same with the positive class of two.

        Raises:
            ConfigError: It is none of them, or must be named.

        >>> FinetuneConfig().for_classes(["0", "1"]).positive
        '1'
        """
        if self.target != CLASSES:
            return self
        if self.positive is not None and (len(classes) != 2 or self.positive not in classes):
            raise ConfigError(
                f"positive {self.positive}: expected one of two classes, found {', '.join(classes)}",
                field="positive",
            )
        if self.positive is None and len(classes) == 2:
            if tuple(classes) != ("0", "1"):
                raise ConfigError(
                    f"the classes are {classes[0]} and {classes[1]}: name the positive one, whose sensitivity and "
                    f"so on are reported, with `positive` {classes[0]} or `positive` {classes[1]}"
                )
            return replace(self, positive="1")
        return self


class FinetuneOptions(TypedDict, total=False):
    """The options of `FinetuneConfig` as arguments of a function, for type checkers and editors."""

    patient_pattern: str | None
    path_column: str | None
    label_column: str | None
    split_column: str | None
    patient_column: str | None
    unit: str
    volume_pattern: str | None
    target: str
    levels: Sequence[str]
    label_columns: Sequence[str]
    subgroup_columns: Sequence[str]
    drop_overlap: bool
    val_fraction: float
    split_seed: int
    positive: str | None
    intensity: str | None
    modality: str
    weights: str | os.PathLike[str] | None
    download: bool
    backbone: str | None
    mode: str
    pool: str | None
    top_k: int | None
    preset: str
    seeds: int | Sequence[int]
    fraction: float
    class_weights: bool | None
    epochs: int | None
    frozen_epochs: int | None
    batch_size: int
    learning_rate: float | None
    schedule: str | None
    warmup_epochs: int | None
    weight_decay: float | None
    flip: bool | None
    augment: str | None
    neighbors: int | None
    side: int
    fit: str | None
    normalize: str | None
    precision: str | None
    features: str | os.PathLike[str] | None
    device: str
    devices: int
    nodes: int
    threads: int
