"""Options that fine-tuning and segmentation share: fields and checks. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from ctprune.errors import ConfigError
from ctprune.finetuning.option_values import NORMALIZATIONS, mean_and_std, seeds_of
from ctprune.options.check import canonical_intensity, canonical_modality, check_one_group
from ctprune.options.option import deciding, option
from ctprune.options.parse import whole_numbers

#: Stands for torchvision's ResNet-50 in place of a file.
IMAGENET = "imagenet"

#: The backbone if no file of weights names another.
DEFAULT_BACKBONE = "resnet50"


def val_fraction_option(*, of: str, panel: str) -> float:
    """A field for the size of the splits that are drawn."""
    return option(
        0.15, above=0, high=0.9, panel=panel, help="Fraction held out if the data have no splits.", more=of
    )


def split_seed_option(*, panel: str) -> int:
    """A field for the seed that draws them."""
    return option(0, low=0, high=2**64 - 1, panel=panel, help="Seed of the split that `val_fraction` makes.")


def intensity_option(*, panel: str) -> str | None:
    """A field for how Hounsfield units become gray."""
    return option(
        None,
        panel=panel,
        help="How HU map to gray, as for reduce; default that of the pre-training, or else minmax.",
        more="As `intensity` of `ctprune.ReduceConfig`.",
    )


def modality_option(*, panel: str) -> str:
    """A field for the DICOM Modality."""
    return option("CT", panel=panel, help="DICOM Modality to read; any reads all.")


def weights_option(*, panel: str) -> str | None:
    """A field for the weights that the training starts from."""
    return option(
        None,
        is_path=True,
        default_text="none",
        panel=panel,
        help="File of a backbone, folder of a pre-training, imagenet (torchvision's ResNet-50), or none.",
    )


def download_option(*, panel: str) -> bool:
    """A field for whether torchvision's weights may be downloaded."""
    return option(False, decides=False, panel=panel, help="imagenet: download it if it is not on disk.")


def backbone_option(*, panel: str) -> str | None:
    """A field for the architecture."""
    return option(
        None, metavar="NAME", panel=panel, help="Architecture; default that of the weights, or else resnet50."
    )


def seeds_option(count: int, *, panel: str) -> int | Sequence[int]:
    """A field for the seeds, by default that many."""
    return option(
        count,
        parse=whole_numbers,
        metavar="N",
        panel=panel,
        help="Repetitions, with seeds 0, 1, …",
        more="In Python, also a list of seeds.",
    )


def side_option(*, panel: str) -> int:
    """A field for the size of the network's input."""
    return option(224, low=8, high=4096, panel=panel, help="Rows and columns of the network's input.")


class TrainingConfig:
    """What a `FinetuneConfig` and a `SegmentConfig` do alike with these options."""

    patient_pattern: str | None
    intensity: str | None
    modality: str
    weights: str | None
    backbone: str | None
    seeds: int | Sequence[int]
    normalize: str | None

    def _settle(self) -> None:
        """Check the options, and write each as it is saved; called by `__post_init__`.

        Raises:
            ConfigError: One cannot be used.
        """
        if self.weights == "none":
            object.__setattr__(self, "weights", None)
        if self.backbone is not None and self.weights == IMAGENET and self.backbone != DEFAULT_BACKBONE:
            raise ConfigError(
                f"weights imagenet is torchvision's {DEFAULT_BACKBONE}: for {self.backbone} name a file",
                field="weights",
            )
        if self.intensity is not None:
            object.__setattr__(self, "intensity", canonical_intensity("intensity", self.intensity))
        object.__setattr__(self, "modality", canonical_modality(self.modality))
        object.__setattr__(self, "seeds", seeds_of(self.seeds))
        if self.normalize not in NORMALIZATIONS:
            mean_and_std(str(self.normalize))
        check_one_group("patient_pattern", self.patient_pattern)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds, one by one."""
        return seeds_of(self.seeds)

    def to_dict(self) -> dict[str, Any]:
        """The options that decide the result, by name, fit for JSON."""
        return deciding(self)

    def digest(self) -> str:
        """SHA-256 of these options without the path of the weights, which have their own digest."""
        options = self.to_dict() | {"weights": None}
        return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()
