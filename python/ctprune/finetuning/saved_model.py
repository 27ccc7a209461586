"""The folder `model/` of a fine-tuning: backbones and heads of all seeds, and how to read images."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ctprune import _core
from ctprune.errors import WeightsError
from ctprune.files.json_files import read_versioned, write_json
from ctprune.options.shared import CLASSES

#: Version of the layout; other versions are refused.
MODEL_VERSION = 3

FOLDER_NAME = "model"

_ABOUT = "model.json"


@dataclass(frozen=True)
class SavedModel:
    """Everything besides the weights that a prediction needs.

    Attributes:
        folder: Folder of the model.
        mode: `finetune`, `linear` or `knn`.
        classes: Names of the classes, labels or levels, in the order of the probabilities; none for a regression.
        positive: The positive one of two classes; None if there are more.
        backbones: File of each seed's backbone, relative to the folder.
        heads: File of each seed's head, relative to the folder.
        temperatures: Temperature of each seed for calibrated probabilities; none for other targets than classes.
        mean: Mean of the input by channel, as fractions of 255.
        std: Standard deviation of the input by channel, as fractions of 255.
        side: Rows and columns of the network's input.
        fit: How an image becomes a square, see `ctprune.finetuning.fitting`.
        transposed: Whether the network sees images with rows and columns exchanged, as the reference's does.
        intensity: How Hounsfield units become gray.
        modality: The DICOM Modality that is read.
        target: What is predicted, see `ctprune.tasks.targets`.
        unit: What a prediction belongs to: `image`, `volume` or `patient`.
        pool: How the images of a unit become one prediction, see `ctprune.finetuning.pooling`; None for images.
        top_k: How many images count for `pool` top-k; None for other kinds of pooling.
        patient_pattern: Regular expression that takes the patient from a file's name, or None.
        volume_pattern: Regular expression that takes a picture's volume from its name, or None.
        channels: What the network's channels show, as the option `channels` of a pre-training says.
    """

    folder: Path
    mode: str
    classes: tuple[str, ...]
    positive: str | None
    backbones: dict[int, str]
    heads: dict[int, str]
    temperatures: dict[int, float]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int
    fit: str
    transposed: bool
    intensity: str
    modality: str
    channels: str
    target: str = CLASSES
    unit: str = "image"
    pool: str | None = None
    top_k: int | None = None
    patient_pattern: str | None = None
    volume_pattern: str | None = None

    @property
    def columns(self) -> int:
        """Number of values that are predicted for each image, or other unit."""
        return len(self.classes) or 1

    def save(self) -> None:
        """Write `model.json`; the weights must have been written before.

        Raises:
            OutputError: The file cannot be written.
        """
        about = asdict(self) | {"model_version": MODEL_VERSION, "ctprune_version": _core.__version__}
        del about["folder"]
        write_json(self.folder / _ABOUT, about)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SavedModel:
        """Read a model from the folder of a fine-tuning, or from its folder `model`.

        Raises:
            WeightsError: The folder holds no model, or one that is damaged or of another version.
        """
        given = Path(path)
        folder = given if (given / _ABOUT).is_file() else given / FOLDER_NAME
        about = read_versioned(
            folder / _ABOUT,
            "model",
            MODEL_VERSION,
            error=WeightsError,
            missing=f"{path}: expected the folder of a finished fine-tuning with {FOLDER_NAME}/{_ABOUT}, found "
            "none",
            named=folder,
        )
        try:
            for name in ("backbones", "heads"):
                about[name] = {int(seed): str(file) for seed, file in about[name].items()}
            about["temperatures"] = {int(seed): float(value) for seed, value in about["temperatures"].items()}
            for name in ("classes", "mean", "std"):
                about[name] = tuple(about[name])
            return cls(folder=folder, **about)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise WeightsError(f"{folder / _ABOUT}: the file is damaged") from None
