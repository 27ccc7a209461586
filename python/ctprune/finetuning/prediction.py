"""Prediction for new images with the models of a fine-tuning."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from ctprune import _core
from ctprune.environment.progress import Operation, ProgressCallback
from ctprune.errors import ConfigError, Interrupted, SourceError
from ctprune.evaluation.level_measures import predicted_levels
from ctprune.evaluation.temperature import scale_by_temperature
from ctprune.files.atomic import replace_file
from ctprune.finetuning.bags import unit_name
from ctprune.finetuning.channels import ChannelReader, FoundSlice
from ctprune.finetuning.heads import Head, load_head
from ctprune.finetuning.images import find_slices
from ctprune.finetuning.pooling import Pooling
from ctprune.finetuning.predict_config import PredictConfig, PredictOptions
from ctprune.finetuning.predicted_units import bags_in, readable_bags, together
from ctprune.finetuning.saved_model import SavedModel
from ctprune.manifest.outside import check_outside
from ctprune.manifest.slices import path_of
from ctprune.networks.backbone import load_backbone
from ctprune.networks.device import choose_device
from ctprune.networks.gray_backbone import GrayBackbone, Normalization, features_of
from ctprune.options.configure import configure
from ctprune.options.shared import CLASSES, MULTI_LABEL, ORDINAL, REGRESSION
from ctprune.tasks.columns import SEPARATOR

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

#: Images that are decoded at a time.
_BATCH = 256

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for images, volumes or patients: the unit that the model was trained on.

    Attributes:
        images: File of each image, as its source was given; for a volume or patient, that of its first image.
        frames: Frame of each of these images within its file, from 0.
        probabilities: Probability of each class, the mean over seeds, float64 of shape (n, classes); for a
            regression the number, of shape (n, 1).
        classes: Names of the classes; none for a regression.
        positive: The positive one of two classes; None if there are more.
        unreadable: Reason for each file or frame that could not be read.
        skipped: Reason for each file that is not an image of the modality.
        target: What is predicted, see `ctprune.tasks.targets`.
        unit: What was predicted: `image`, `volume` or `patient`.
        units: Name of each volume or patient, by number; empty for images.
        counts: Number of images that each volume or patient was predicted from; empty for images.
    """

    images: list[str]
    frames: list[int]
    probabilities: npt.NDArray[np.float64]
    classes: tuple[str, ...]
    positive: str | None = None
    unreadable: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    target: str = CLASSES
    unit: str = "image"
    units: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """The most probable class of each image, volume or patient; none for a regression.

        For several labels, those above one half, with `;` between them; for levels, the median one.
        """
        if self.target == REGRESSION:
            return []
        if self.target == MULTI_LABEL:
            chosen = self.probabilities > 0.5
            return [SEPARATOR.join(np.array(self.classes, object)[row]) for row in chosen]
        if self.target == ORDINAL:
            return [self.classes[index] for index in predicted_levels(self.probabilities)]
        return [self.classes[index] for index in self.probabilities.argmax(1)]

    def to_table(self) -> _core.Rows:
        """A row for each image: `image`, `frame`, `label` and a column for each class's probability.

        For a regression, the column `prediction` has the number instead. Volumes and patients have a row each,
        which begins with the unit's name and the number of its images.
        """
        where: dict[str, Any] = {"image": self.images, "frame": np.array(self.frames, np.int64)}
        if self.unit != "image":
            where = {"unit": self.units, "images": np.array(self.counts, np.int64)} | where
        if self.target == REGRESSION:
            return _core.Rows.from_columns(where | {"prediction": self.probabilities[:, 0]})
        return _core.Rows.from_columns(
            {
                **where,
                "label": self.labels,
                **{f"probability_{name}": self.probabilities[:, index] for index, name in enumerate(self.classes)},
            }
        )


def predict(
    model: PathLike,
    images: PathLike | Sequence[PathLike],
    config: PredictConfig | None = None,
    /,
    *,
    out: PathLike | None = None,
    progress: ProgressCallback | None = None,
    **options: Unpack[PredictOptions],
) -> Predictions:
    """Predict the class, or the number, of images with a fine-tuning; predictions are means over its seeds.

    A model of volumes or patients predicts these: a DICOM series is a volume, a study counts as a patient.

    Args:
        model: Folder of a finished fine-tuning, or its folder `model`.
        images: Files or folders of anything that `ctprune.reduce` reads; every frame of a file counts as an image.
        config: How to predict; cannot be combined with single options that decide it.
        out: A file `.csv` or `.parquet` for the table; None writes nothing. In a CSV file, texts that a
            spreadsheet would take for a formula get an apostrophe in front.
        progress: Called a few times a second with a `ctprune.Progress`. Stages: those of `ctprune.reduce` as it
            finds the images, then `predicting` (images).
        options: Options of `ctprune.PredictConfig`, such as `calibrated=True`.

    Raises:
        ConfigError: An option cannot be used.
        SourceError: A source is not there, or no image in it can be read.
        TaskError: The model sees neighboring slices as channels, but no image lies in a volume.
        WeightsError: The model is not there or damaged.
        OutputError: The table cannot be written.
        Interrupted: Ctrl-C; nothing is written.
    """
    config = configure(PredictConfig, config, options)
    target = None if out is None else _target(Path(out))
    sources = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    if target is not None:
        check_outside(target, sources, kind="file")
    saved = SavedModel.load(model)
    if config.calibrated and saved.target != CLASSES:
        raise ConfigError(
            f"calibrated belongs to models of classes, and {model} is a {saved.target}", field="calibrated"
        )
    operation = Operation(progress)
    try:
        slices, failed, skipped = find_slices(
            [Path(source) for source in sources],
            intensity=saved.intensity,
            modality=saved.modality,
            volume_pattern=saved.volume_pattern,
            threads=config.threads,
            progress=operation.pass_on,
        )
        found = [one for file in sorted(slices) for one in slices[file]]
        unreadable = {_shown(str(file)): reason for file, reason in failed.items()}
        if not found:
            reason = next(iter([*failed.values(), *skipped.values()]), "there is no file in it")
            raise SourceError(f"{', '.join(map(str, sources))}: no image can be read: {reason}")
        bags = bags_in(found, saved)
        good, probabilities = _probabilities(
            _Models(saved, calibrated=config.calibrated), saved, bags, config, operation, unreadable
        )
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was written") from None
    predictions = Predictions(
        images=[_shown(path_of(bag[0].line)) for bag in good],
        frames=[bag[0].line["frame"] for bag in good],
        probabilities=probabilities,
        classes=saved.classes,
        positive=saved.positive,
        target=saved.target,
        unreadable=unreadable,
        skipped={_shown(str(file)): reason for file, reason in skipped.items() if file not in slices},
        unit=saved.unit,
        units=[] if saved.unit == "image" else [unit_name(saved.unit, number) for number in range(len(good))],
        counts=[] if saved.unit == "image" else [len(bag) for bag in good],
    )
    if target is not None:
        _write(predictions.to_table(), target)
    return predictions


def _probabilities(
    models: _Models,
    saved: SavedModel,
    bags: list[list[FoundSlice]],
    config: PredictConfig,
    operation: Operation,
    unreadable: dict[str, str],
) -> tuple[list[list[FoundSlice]], npt.NDArray[np.float64]]:
    """The readable slices of each unit, and its probabilities; unreadable slices are recorded."""
    device = choose_device(config.device)
    good: list[list[FoundSlice]] = []
    parts = [np.zeros((0, saved.columns))]
    reading = {"intensity": saved.intensity, "modality": saved.modality, "max_slice_mb": 512}
    found = [one for bag in bags for one in bag]
    reader = ChannelReader(found, saved.channels, np.arange(len(found)), saved.folder)
    done = 0
    operation.report("predicting", 0, len(found), "images")
    for some in together(bags, _BATCH):
        batch = [one for bag in some for one in bag]
        pixels = np.empty(reader.shape(len(batch), saved.side), np.uint8)
        reasons = reader.read(pixels, reading, fit=saved.fit, start=done, threads=config.threads)
        readable = np.array([not reason for reason in reasons], np.bool_)
        for one, reason in zip(batch, reasons, strict=True):
            if reason:
                unreadable[f"{_shown(path_of(one.line))} (frame {one.line['frame']})"] = reason
        left = readable_bags(some, readable)
        good += left
        parts.append(models.probabilities(pixels[readable], left, device))
        done += len(batch)
        operation.report("predicting", done, len(found), "images")
    return good, np.concatenate(parts)


class _Models:
    """Backbones and heads of all seeds; a backbone that seeds share is loaded and run once."""

    def __init__(self, saved: SavedModel, *, calibrated: bool) -> None:
        normalization = Normalization(saved.mean, saved.std)
        self._saved = saved
        self._pooling = Pooling.of(
            mode=saved.mode,
            pool=saved.pool,
            top_k=saved.top_k,
            positive=saved.positive,
            classes=saved.classes,
            target=saved.target,
        )
        self._heads: dict[str, list[tuple[Head, float]]] = {}
        for seed, backbone in saved.backbones.items():
            head = load_head(saved.folder / saved.heads[seed])
            temperature = saved.temperatures[seed] if calibrated else 1.0
            self._heads.setdefault(backbone, []).append((head, temperature))
        self._networks = {
            name: GrayBackbone(load_backbone(saved.folder / name), normalization, transposed=saved.transposed)
            for name in self._heads
        }

    def probabilities(
        self, pixels: npt.NDArray[np.uint8], bags: list[list[FoundSlice]], device: torch.device
    ) -> npt.NDArray[np.float64]:
        """Means over the seeds for each unit, whose slices follow each other in `pixels`."""
        total = np.zeros((len(bags), self._saved.columns))
        if not bags:
            return total
        parts = np.split(np.arange(len(pixels)), np.cumsum([len(bag) for bag in bags])[:-1])
        for name, heads in self._heads.items():
            network = self._networks[name].to(device)
            rows = np.arange(len(pixels))
            features = features_of(network, pixels, rows, batch=64, device=device, precision="32")
            for head, temperature in heads:
                found = self._pooling.probabilities(head, features, parts)
                total += found if temperature == 1 else scale_by_temperature(found, temperature)
        return total / len(self._saved.heads)


def _target(out: Path) -> Path:
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigError(f"out {out}: expected a file .csv or .parquet", field="out")
    return out


def _write(table: _core.Rows, file: Path) -> None:
    with replace_file(file) as beside:
        if file.suffix.lower() == ".csv":
            with beside.open("w", newline="", encoding="utf-8") as opened:
                rows = csv.writer(opened, lineterminator="\n")
                rows.writerow([_no_formula(name) for name in table.columns])
                rows.writerows([_no_formula(value) for value in row.values()] for row in table.to_dicts())
        else:
            table.write(beside)


def _no_formula(value: Any) -> Any:
    """The text, with an apostrophe in front if a spreadsheet would take it for a formula, as OWASP advises."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _shown(path: str) -> str:
    """The path relative to the working folder, if it lies in there."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
