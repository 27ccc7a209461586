"""The configuration of a fine-tuning: a frozen dataclass that checks itself. Needs no torch."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ctprune import _core
from ctprune.errors import ConfigError

MODES = ("finetune", "linear", "knn")
PRECISIONS = ("auto", "32", "16")
NORMALISATIONS = ("auto", "imagenet", "train")

#: How an image becomes a square; `ctprune.finetuning.fitting` does it.
FITS = ("pad", "squeeze", "crop")

#: Stands for torchvision's ResNet-50 in place of a file.
IMAGENET = "imagenet"

#: The backbone where no file of weights says another.
DEFAULT_BACKBONE = "resnet50"

#: Options that only some modes have a use for.
_MODE_OPTIONS = {
    "epochs": ("finetune",),
    "frozen_epochs": ("finetune",),
    "learning_rate": ("finetune",),
    "weight_decay": ("finetune",),
    "flip": ("finetune",),
    "class_weights": ("finetune", "linear"),
    "neighbors": ("knn",),
}

#: The reference's numbers, which the project's own recipe keeps.
_DEFAULTS: dict[str, Any] = {
    "epochs": 70,
    "frozen_epochs": 10,
    "learning_rate": 1e-4,
    "weight_decay": 5e-4,
    "flip": True,
    "class_weights": False,
    "neighbors": 20,
}

#: By preset, what is taken where nothing else is asked for.
_PRESETS: dict[str, dict[str, str]] = {
    "default": {"fit": "pad", "normalise": "auto", "precision": "auto"},
    "reference": {"fit": "squeeze", "normalise": "train", "precision": "32"},
}
PRESETS = tuple(_PRESETS)


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """What decides the result of a fine-tuning, besides the data.

    Backbone and one linear layer, Adam, 70 epochs, of which the first 10 with a frozen backbone, horizontal flips,
    as in Wolf et al. 2024. With `preset="reference"` the training is that of its published notebooks in each step;
    see `ctprune.finetuning.recipe` for what that changes.

    Args:
        preset: `default` or `reference`. The second squeezes images into the square, normalises by the training
            images and computes in 32 bits where nothing else is said, and belongs to mode `finetune`.
        mode: `finetune` trains all; `linear` is a logistic regression and `knn` a vote of nearest neighbours, both
            on the frozen backbone's features.
        weights: A file for `ctprune.load_backbone`, the folder of a pre-training, `imagenet` (torchvision's
            ResNet-50), or None for random ones.
        backbone: Name of the architecture; by default what the file says, else `resnet50`.
        seeds: Seeds of the repetitions; a number n means 0 to n - 1.
        fraction: Part of the training labels that is used, above 0 and up to 1.
        epochs: Epochs in all.
        frozen_epochs: Of these, the first ones with a frozen backbone, whose BatchNorm layers then keep the
            statistics of the pre-training (in `reference` they train).
        batch_size: Images that go through the network together.
        learning_rate: Of Adam, constant (in `reference` a fifth of it from the second thawed epoch on).
        weight_decay: Of Adam (added to the gradient, as in the reference).
        flip: Flip half of the training images horizontally.
        class_weights: Weigh classes by the reciprocal of their number of training images.
        neighbors: Neighbours that vote.
        side: Rows and columns of the network's input.
        fit: How an image becomes a square: `pad` (all of it, with margins as dark as its darkest pixel), `squeeze`
            (all of it, its shape changed) or `crop` (the middle of the longer side).
        normalise: Mean and standard deviation: `imagenet`, of the `train` images, two numbers such as `0.56,0.29`
            as fractions of 255, or `auto`: what the backbone's file says, ImageNet's for other files, of the
            training images without weights.
        precision: `32`, `16` (mixed, in bfloat16 where there is) or `auto`: mixed on a GPU, 32 bits on a CPU.
        val_fraction: Part of the images, or of the training images, that is set aside where the data name no
            split.
        split_seed: Seed of that part.
        patient_pattern: A regular expression with one group that takes the patient from the file name.
        drop_overlap: Leave out training images of patients that are in the evaluated split, too, and
            near-duplicates of its images.
        positive: Of two classes, the one whose precision, sensitivity and so on are reported; must be given unless
            the classes are 0 and 1, where it is 1.
        intensity: From Hounsfield units to grey, see `ctprune.ReduceConfig`; by default as in the pre-training.
        modality: The DICOM Modality to read; `any` reads all.

    Raises:
        ConfigError: An option that is out of range or of no use in this mode.

    >>> FinetuneConfig(seeds=3).seeds, FinetuneConfig().epochs
    ((0, 1, 2), 70)
    """

    preset: str = "default"
    mode: str = "finetune"
    weights: str | None = None
    backbone: str | None = None
    seeds: int | Sequence[int] = 5
    fraction: float = 1.0
    epochs: int | None = None
    frozen_epochs: int | None = None
    batch_size: int = 64
    learning_rate: float | None = None
    weight_decay: float | None = None
    flip: bool | None = None
    class_weights: bool | None = None
    neighbors: int | None = None
    side: int = 224
    fit: str | None = None
    normalise: str | None = None
    precision: str | None = None
    val_fraction: float = 0.15
    split_seed: int = 0
    patient_pattern: str | None = None
    drop_overlap: bool = False
    positive: str | None = None
    intensity: str | None = None
    modality: str = "CT"

    def __post_init__(self) -> None:
        one_of("preset", self.preset, PRESETS)
        one_of("mode", self.mode, MODES)
        if self.preset == "reference" and self.mode != "finetune":
            raise ConfigError(f"--preset reference belongs to --mode finetune, not to {self.mode}")
        self._take_defaults()
        one_of("fit", str(self.fit), FITS)
        if self.normalise not in NORMALISATIONS:
            mean_and_std(str(self.normalise))
        one_of("precision", str(self.precision), PRECISIONS)
        object.__setattr__(self, "seeds", _seeds(self.seeds))
        for name, low, high in (
            ("epochs", 1, 100_000),
            ("batch_size", 2, 65_536),
            ("neighbors", 1, 1_000_000),
            ("side", 8, 4096),
            ("split_seed", 0, 2**64 - 1),
        ):
            in_range(name, getattr(self, name), low, high)
        if self.frozen_epochs is not None:
            in_range("frozen_epochs", self.frozen_epochs, 0, self.epochs or 0)
        for name, top in (("fraction", 1.0), ("val_fraction", 0.9), ("learning_rate", 10.0)):
            value = getattr(self, name)
            if value is not None and not 0 < value <= top:
                raise ConfigError(f"--{option(name)} {value}: expected a number above 0 and up to {top:g}")
        if self.weight_decay is not None and not 0 <= self.weight_decay <= 10:
            raise ConfigError(f"--weight-decay {self.weight_decay}: expected 0 to 10")
        if self.backbone is not None and self.weights == IMAGENET and self.backbone != DEFAULT_BACKBONE:
            raise ConfigError(
                f"--weights imagenet is torchvision's {DEFAULT_BACKBONE}: for {self.backbone} name a file"
            )
        self._check_intensity()
        check_patient_pattern(self.patient_pattern)

    def _take_defaults(self) -> None:
        for name, choice in _PRESETS[self.preset].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, choice)
        for name, modes in _MODE_OPTIONS.items():
            given = getattr(self, name)
            if self.mode not in modes:
                if given is not None and given is not False:
                    raise ConfigError(
                        f"--{option(name)} belongs to --mode {' or '.join(modes)}, not to {self.mode}"
                    )
                object.__setattr__(self, name, None)
            elif given is None:
                value = _DEFAULTS[name]
                if name == "frozen_epochs":
                    value = min(value, self.epochs or 0)
                object.__setattr__(self, name, value)

    def _check_intensity(self) -> None:
        if self.intensity is None:
            return
        try:
            object.__setattr__(self, "intensity", _core.canonical_intensity(self.intensity))
        except ValueError as error:
            raise ConfigError(f"--intensity {self.intensity}: {error}") from None

    @property
    def transposed(self) -> bool:
        """Whether the network sees rows as columns, as the reference's does: MONAI's `LoadImage` swaps them."""
        return self.preset == "reference"

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds, one by one."""
        return _seeds(self.seeds)

    def for_classes(self, classes: Sequence[str]) -> FinetuneConfig:
        """The same with the positive class of two.

        Raises:
            ConfigError: It is none of them, or must be named.

        >>> FinetuneConfig().for_classes(["0", "1"]).positive
        '1'
        """
        if self.positive is not None and (len(classes) != 2 or self.positive not in classes):
            raise ConfigError(
                f"--positive {self.positive}: expected one of two classes, found {', '.join(classes)}"
            )
        if self.positive is None and len(classes) == 2:
            if tuple(classes) != ("0", "1"):
                raise ConfigError(
                    f"the classes are {classes[0]} and {classes[1]}: name the positive one, whose sensitivity and "
                    f"so on are reported, with --positive {classes[0]} or --positive {classes[1]}"
                )
            return replace(self, positive="1")
        return self

    def to_dict(self) -> dict[str, Any]:
        """All options by name, fit for JSON."""
        return asdict(self) | {"seeds": list(self.seed_list)}

    def digest(self) -> str:
        """SHA-256 of all options but where the weights lie, which their own digest stands for."""
        options = self.to_dict() | {"weights": None}
        return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()


def check_patient_pattern(pattern: str | None) -> None:
    """Refuse what is no regular expression of one group."""
    if pattern is None:
        return
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(f"--patient-pattern {pattern}: {error}") from None
    if groups != 1:
        raise ConfigError(f"--patient-pattern {pattern}: expected one group in parentheses, found {groups}")


def weights_option(weights: str | os.PathLike[str] | None) -> str | None:
    """How `weights` stands in the configuration: `none` and None mean random ones."""
    if weights is None:
        return None
    text = os.fspath(weights)
    return None if text == "none" else text


def mean_and_std(text: str) -> tuple[float, float]:
    """Two numbers that normalise.

    Raises:
        ConfigError: They are none.

    >>> mean_and_std("0.56,0.29")
    (0.56, 0.29)
    """
    try:
        mean, std = map(float, text.split(","))
    except ValueError:
        mean, std = 0.0, 0.0
    if not (0 <= mean <= 1 and 0 < std <= 1):
        raise ConfigError(
            f"--normalise {text}: expected {', '.join(NORMALISATIONS)}, or a mean and a standard deviation as "
            "fractions of 255, such as 0.56,0.29"
        )
    return mean, std


def option(name: str) -> str:
    """An option's name on the command line."""
    return name.replace("_", "-")


def one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        raise ConfigError(f"--{option(name)} {value}: expected one of {', '.join(choices)}")


def in_range(name: str, value: int | None, low: int, high: int) -> None:
    """Refuse a number outside of low to high."""
    if value is not None and not low <= value <= high:
        raise ConfigError(f"--{option(name)} {value}: expected {low} to {high}")


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    found = tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(seed) for seed in seeds)
    if not found or len(set(found)) < len(found) or not all(0 <= seed < 2**63 for seed in found):
        raise ConfigError(f"--seeds {seeds}: expected a number from 1, or different seeds from 0 to 2^63 - 1")
    return found
