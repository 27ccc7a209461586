"""The configuration of a segmentation: a frozen dataclass that checks itself. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from ctprune.errors import ConfigError
from ctprune.finetuning.option_values import NORMALIZATIONS
from ctprune.finetuning.training_options import (
    IMAGENET,
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
from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import option
from ctprune.options.shared import PRECISIONS, device_option, threads_option

MODES = ("finetune", "frozen")

#: Defaults by mode: a decoder alone takes larger steps.
_LEARNING_RATES = {"finetune": 3e-4, "frozen": 1e-3}

_TASK, _TRAINING, _OUTPUT = "Task", "Training", "Output"


@described
@dataclass(frozen=True, kw_only=True)
class SegmentConfig(TrainingConfig):
    """The options of a segmentation.

    Raises:
        ConfigError: An option is out of range, or does not fit the others.

    >>> SegmentConfig(seeds=2).seed_list, SegmentConfig(mode="frozen").learning_rate
    ((0, 1), 0.001)
    """

    classes: str | None = option(
        None,
        metavar="LABEL=NAME[,…]",
        default_text="those of dataset.json, or all in the masks",
        panel=_TASK,
        help="Labels to learn and their names, such as 1=liver,2=tumor; all others are background.",
    )
    patient_pattern: str | None = option(
        None, panel=_TASK, help="Regular expression with one group that extracts the patient from a volume's name."
    )
    val_fraction: float = val_fraction_option(
        of="A fraction of all volumes, or of the training volumes, by patient.", panel=_TASK
    )
    split_seed: int = split_seed_option(panel=_TASK)
    intensity: str | None = intensity_option(panel=_TASK)
    modality: str = modality_option(panel=_TASK)
    weights: str | None = weights_option(panel=_TRAINING)
    download: bool = download_option(panel=_TRAINING)
    backbone: str | None = backbone_option(panel=_TRAINING)
    mode: str = option(
        "finetune",
        choices=MODES,
        panel=_TRAINING,
        help="Train all weights, or the decoder alone on a frozen backbone.",
        more="Frozen BatchNorm layers keep their statistics.",
    )
    seeds: int | Sequence[int] = seeds_option(3, panel=_TRAINING)
    epochs: int = option(50, low=1, high=100_000, panel=_TRAINING, help="Passes over the training slices.")
    batch_size: int = option(16, low=2, high=65_536, panel=_TRAINING, help="Slices per step.")
    learning_rate: float | None = option(
        None,
        belongs_to="mode",
        above=0,
        high=10,
        panel=_TRAINING,
        help="Initial learning rate of AdamW, default 3e-4 (frozen: 1e-3); it falls to 0 along a cosine.",
    )
    weight_decay: float = option(0.01, low=0, high=10, panel=_TRAINING, help="Weight decay of AdamW.")
    flip: bool = option(
        False,
        panel=_TRAINING,
        help="Flip half of the training slices left to right.",
        more="Off by default: left and right tell organs apart.",
    )
    side: int = side_option(panel=_TRAINING)
    normalize: str = option(
        "auto",
        metavar=f"[{'|'.join(NORMALIZATIONS)}]",
        panel=_TRAINING,
        help="Mean and standard deviation: auto (as in the pre-training), imagenet, train, or two numbers.",
        more="Numbers such as 0.56,0.29 are fractions of 255. `auto` uses ImageNet's for weights that name none, "
        "and the training slices' without weights.",
    )
    precision: str = option(
        "auto",
        choices=PRECISIONS,
        panel=_TRAINING,
        help="Precision; auto is mixed on a GPU.",
        more="`auto` uses bf16 on GPUs that support it, fp16 on other GPUs, and 32 bits on a CPU.",
    )
    device: str = device_option(panel=_TRAINING)
    save_masks: bool = option(
        False,
        decides=False,
        panel=_OUTPUT,
        help="Write the predicted mask of each evaluated volume as NIfTI.",
        more="They have the geometry of the volume. A finished segmentation writes them without training.",
    )
    threads: int = threads_option(what="Threads that read slices", panel=_OUTPUT)

    def __post_init__(self) -> None:
        check(self)
        self._settle()
        if self.download and self.weights != IMAGENET:
            raise ConfigError("download belongs to `weights` imagenet", field="download")
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", _LEARNING_RATES[self.mode])
        if self.classes is not None:
            named_labels(self.classes)


class SegmentOptions(TypedDict, total=False):
    """The options of `SegmentConfig` as arguments of a function, for type checkers and editors."""

    classes: str | None
    patient_pattern: str | None
    val_fraction: float
    split_seed: int
    intensity: str | None
    modality: str
    weights: str | os.PathLike[str] | None
    download: bool
    backbone: str | None
    mode: str
    seeds: int | Sequence[int]
    epochs: int
    batch_size: int
    learning_rate: float | None
    weight_decay: float
    flip: bool
    side: int
    normalize: str
    precision: str
    device: str
    save_masks: bool
    threads: int


def named_labels(text: str) -> dict[int, str]:
    """Labels and their names.

    Raises:
        ConfigError: They are none.

    >>> named_labels("1=liver, 2=tumor")
    {1: 'liver', 2: 'tumor'}
    """
    found: dict[int, str] = {}
    for part in text.split(","):
        label, _, name = (word.strip() for word in part.partition("="))
        if not label.isdecimal() or not name or int(label) in found or name in found.values() or not int(label):
            raise ConfigError(
                f"classes {text}: expected labels from 1 with their names, each once, such as 1=liver,2=tumor",
                field="classes",
            )
        found[int(label)] = name
    return found
