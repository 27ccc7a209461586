"""Options that fine-tuning and segmentation share: fields and checks. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from ctprune.errors import ConfigError
from ctprune.options.check import canonical_intensity, canonical_modality, check_one_group
from ctprune.options.option import option
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


def settle(config: Any) -> None:
    """Check the options that these fields hold, and write each as it is saved.

    Args:
        config: A `FinetuneConfig` or `SegmentConfig` that is being made.

    Raises:
        ConfigError: One cannot be used.
    """
    if config.weights == "none":
        object.__setattr__(config, "weights", None)
    if config.backbone is not None and config.weights == IMAGENET and config.backbone != DEFAULT_BACKBONE:
        raise ConfigError(
            f"weights imagenet is torchvision's {DEFAULT_BACKBONE}: for {config.backbone} name a file",
            field="weights",
        )
    if config.intensity is not None:
        object.__setattr__(config, "intensity", canonical_intensity("intensity", config.intensity))
    object.__setattr__(config, "modality", canonical_modality(config.modality))
    check_one_group("patient_pattern", config.patient_pattern)


def digest_of(options: dict[str, Any]) -> str:
    """SHA-256 of options without the path of the weights, which have their own digest."""
    return hashlib.sha256(json.dumps(options | {"weights": None}, sort_keys=True).encode()).hexdigest()
