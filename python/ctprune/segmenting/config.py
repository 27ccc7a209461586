"""The configuration of a segmentation: a frozen dataclass that checks itself. Needs no torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from ctprune.errors import ConfigError
from ctprune.finetuning.config import DEFAULT_BACKBONE, IMAGENET, FinetuneConfig
from ctprune.finetuning.option_values import NORMALIZATIONS, mean_and_std
from ctprune.options.check import canonical_intensity, canonical_modality, check, check_one_group
from ctprune.options.described import described
from ctprune.options.option import deciding, option
from ctprune.options.parse import whole_numbers
from ctprune.options.shared import PRECISIONS, device_option, threads_option

MODES = ("finetune", "frozen")

#: By mode, where nothing else is asked for: a decoder alone takes larger steps.
_LEARNING_RATES = {"finetune": 3e-4, "frozen": 1e-3}

_TASK, _TRAINING, _OUTPUT = "Task", "Training", "Output"


@described
@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """The options of a segmentation.

    Raises:
        ConfigError: An option that is out of range or of no use beside others.

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
    val_fraction: float = option(
        0.15,
        above=0,
        high=0.9,
        panel=_TASK,
        help="Fraction held out if the data name no split.",
        more="A fraction of all volumes, or of the training volumes, by patient.",
    )
    split_seed: int = option(
        0, low=0, high=2**64 - 1, panel=_TASK, help="Seed of the split that `val_fraction` makes."
    )
    intensity: str | None = option(
        None,
        panel=_TASK,
        help="How HU map to gray, as for reduce; default that of the pre-training, or else minmax.",
        more="As `intensity` of `ctprune.ReduceConfig`.",
    )
    modality: str = option("CT", panel=_TASK, help="DICOM Modality to read; any reads all.")
    weights: str | None = option(
        None,
        is_path=True,
        default_text="none",
        panel=_TRAINING,
        help="File of a backbone, folder of a pre-training, imagenet (torchvision's ResNet-50), or none.",
    )
    download: bool = option(
        False, decides=False, panel=_TRAINING, help="imagenet: download it if it is not on disk."
    )
    backbone: str | None = option(
        None, metavar="NAME", panel=_TRAINING, help="Architecture; default that of the weights, or else resnet50."
    )
    mode: str = option(
        "finetune",
        choices=MODES,
        panel=_TRAINING,
        help="Train all weights, or the decoder alone on a frozen backbone.",
        more="Frozen BatchNorm layers keep their statistics.",
    )
    seeds: int | Sequence[int] = option(
        3,
        parse=whole_numbers,
        metavar="N",
        panel=_TRAINING,
        help="Repetitions, with seeds 0, 1, …",
        more="In Python, also a list of seeds.",
    )
    epochs: int = option(50, low=1, high=100_000, panel=_TRAINING, help="Passes over the training slices.")
    batch_size: int = option(16, low=2, high=65_536, panel=_TRAINING, help="Slices per step.")
    learning_rate: float | None = option(
        None,
        belongs_to="mode",
        above=0,
        high=10,
        panel=_TRAINING,
        help="First learning rate of AdamW, default 3e-4 (frozen: 1e-3); it falls to 0 as a cosine.",
    )
    weight_decay: float = option(0.01, low=0, high=10, panel=_TRAINING, help="Weight decay of AdamW.")
    flip: bool = option(
        False,
        panel=_TRAINING,
        help="Flip half of the training slices left to right.",
        more="Off by default: left and right tell organs apart.",
    )
    side: int = option(224, low=8, high=4096, panel=_TRAINING, help="Rows and columns of the network's input.")
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
        if self.weights == "none":
            object.__setattr__(self, "weights", None)
        if self.backbone is not None and self.weights == IMAGENET and self.backbone != DEFAULT_BACKBONE:
            raise ConfigError(
                f"weights imagenet is torchvision's {DEFAULT_BACKBONE}: for {self.backbone} name a file",
                field="weights",
            )
        if self.download and self.weights != IMAGENET:
            raise ConfigError("download belongs to `weights` imagenet", field="download")
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", _LEARNING_RATES[self.mode])
        if self.normalize not in NORMALIZATIONS:
            mean_and_std(self.normalize)
        if self.classes is not None:
            named_labels(self.classes)
        object.__setattr__(self, "seeds", FinetuneConfig(seeds=self.seeds).seed_list)
        if self.intensity is not None:
            object.__setattr__(self, "intensity", canonical_intensity("intensity", self.intensity))
        object.__setattr__(self, "modality", canonical_modality(self.modality))
        check_one_group("patient_pattern", self.patient_pattern)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds, one by one."""
        return FinetuneConfig(seeds=self.seeds).seed_list

    def to_dict(self) -> dict[str, Any]:
        """The options that decide the result, by name, fit for JSON."""
        return deciding(self)

    def digest(self) -> str:
        """SHA-256 of these options but where the weights lie, which their own digest stands for."""
        options = self.to_dict() | {"weights": None}
        return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()


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
