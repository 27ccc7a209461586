"""Prediction for new images with the models of a fine-tuning."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ctprune.environment.extras import extra
from ctprune.environment.threads import check_threads
from ctprune.errors import ConfigError, Interrupted, SourceError
from ctprune.files import parquet_file
from ctprune.files.atomic import replace_file
from ctprune.finetuning.fitting import read_fitted
from ctprune.finetuning.images import FoundSlice, find_slices
from ctprune.finetuning.saved_model import SavedModel
from ctprune.reading.squares import path_of

with extra("train", "ctprune predict"):
    import torch

    from ctprune.evaluation.temperature import scale_by_temperature
    from ctprune.finetuning.heads import Head, load_head
    from ctprune.finetuning.network import GreyBackbone, Normalisation, device_of, features_of
    from ctprune.networks.backbone import load_backbone

#: A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA = r"^([=+\-@\t\r])"

#: Images that are decoded at a time.
_BATCH = 256

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities of images.

    Attributes:
        images: File of each image, as its source was given.
        frames: Frame of each within its file, from 0.
        probabilities: float64 of shape (n, classes): means over the seeds.
        classes: Names of the classes.
        positive: The positive one of two classes; None where there are more.
        unreadable: Reason for each file or frame that could not be read.
        skipped: Reason for each file that is no image of the modality.
    """

    images: list[str]
    frames: list[int]
    probabilities: npt.NDArray[np.float64]
    classes: tuple[str, ...]
    positive: str | None = None
    unreadable: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The most probable class of each image."""
        return [self.classes[place] for place in self.probabilities.argmax(1)]

    def to_table(self) -> pa.Table:
        """A row for each image: `image`, `frame`, `label` and a column for each class's probability."""
        columns = {"image": pa.array(self.images, pa.string()), "frame": pa.array(self.frames, pa.int64())}
        columns["label"] = pa.array(self.labels, pa.string())
        for place, name in enumerate(self.classes):
            columns[f"probability_{name}"] = pa.array(self.probabilities[:, place])
        return pa.table(columns)


def predict(
    model: PathLike,
    images: PathLike | Sequence[PathLike],
    *,
    out: PathLike | None = None,
    calibrated: bool = False,
    device: str = "auto",
    threads: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Predictions:
    """Predict the class of images with all seeds of a fine-tuning; the probabilities are means over the seeds.

    Args:
        model: Folder of a finished fine-tuning, or its folder `model`.
        images: Files or folders of whatever `ctprune.reduce` reads; every frame of a file counts as an image.
        out: A file `.csv` or `.parquet` for the table; None writes nothing. In a CSV file an apostrophe stands
            before texts that a spreadsheet would take for a formula.
        calibrated: Scale each seed's probabilities by the temperature that was fitted on the selecting split.
        device: `auto`, `cpu` or `cuda`.
        threads: Threads that read images, 0 for one per core.
        progress: Called with the numbers of images done and of all.

    Raises:
        ConfigError: An option cannot be used.
        SourceError: A source is not there, or no image in it can be read.
        WeightsError: The model is not there or damaged.
        OutputError: The table cannot be written.
        Interrupted: Ctrl-C; nothing is written.
    """
    check_threads(threads)
    target = None if out is None else _target(Path(out))
    saved = SavedModel.load(model)
    sources = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    try:
        slices, failed, skipped = find_slices(
            [Path(source) for source in sources],
            intensity=saved.intensity,
            modality=saved.modality,
            threads=threads,
        )
        found = [one for file in sorted(slices) for one in slices[file]]
        unreadable = {_shown(str(file)): reason for file, reason in failed.items()}
        if not found:
            reason = next(iter([*failed.values(), *skipped.values()]), "there is no file in it")
            raise SourceError(f"{', '.join(map(str, sources))}: no image can be read: {reason}")
        good, features_ready = _probabilities(
            _Models(saved, calibrated=calibrated), saved, found, device, threads, progress, unreadable
        )
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was written") from None
    predictions = Predictions(
        images=[_shown(path_of(one.line)) for one in good],
        frames=[one.line["frame"] for one in good],
        probabilities=features_ready,
        classes=saved.classes,
        positive=saved.positive,
        unreadable=unreadable,
        skipped={_shown(str(file)): reason for file, reason in skipped.items() if file not in slices},
    )
    if target is not None:
        _write(predictions.to_table(), target)
    return predictions


def _probabilities(
    models: _Models,
    saved: SavedModel,
    found: list[FoundSlice],
    device_name: str,
    threads: int,
    progress: Callable[[int, int], None],
    unreadable: dict[str, str],
) -> tuple[list[FoundSlice], npt.NDArray[np.float64]]:
    """Which slices could be read, and their probabilities; the others are noted."""
    device = device_of(device_name)
    good: list[FoundSlice] = []
    parts = [np.zeros((0, len(saved.classes)))]
    reading = {"intensity": saved.intensity, "modality": saved.modality, "max_slice_mb": 512}
    for start in range(0, len(found), _BATCH):
        batch = found[start : start + _BATCH]
        pixels = np.empty((len(batch), saved.side, saved.side), np.uint8)
        reasons = read_fitted([one.line for one in batch], pixels, reading, fit=saved.fit, threads=threads)
        readable = np.array([not reason for reason in reasons], np.bool_)
        for one, reason in zip(batch, reasons, strict=True):
            if reason:
                unreadable[f"{_shown(path_of(one.line))} (frame {one.line['frame']})"] = reason
            else:
                good.append(one)
        parts.append(models.probabilities(pixels[readable], device))
        progress(start + len(batch), len(found))
    return good, np.concatenate(parts)


class _Models:
    """Backbones and heads of all seeds; a backbone that seeds share is loaded and run once."""

    def __init__(self, saved: SavedModel, *, calibrated: bool) -> None:
        self._normalisation = Normalisation(saved.mean, saved.std)
        self._saved = saved
        self._heads: dict[str, list[tuple[Head, float]]] = {}
        for seed, backbone in saved.backbones.items():
            head = load_head(saved.folder / saved.heads[seed])
            temperature = saved.temperatures[seed] if calibrated else 1.0
            self._heads.setdefault(backbone, []).append((head, temperature))
        self._networks = {
            name: GreyBackbone(
                load_backbone(saved.folder / name), self._normalisation, transposed=saved.transposed
            )
            for name in self._heads
        }

    def probabilities(self, pixels: npt.NDArray[np.uint8], device: torch.device) -> npt.NDArray[np.float64]:
        """Means over the seeds."""
        total = np.zeros((len(pixels), len(self._saved.classes)))
        for name, heads in self._heads.items():
            network = self._networks[name].to(device)
            rows = np.arange(len(pixels))
            features = features_of(network, pixels, rows, batch=64, device=device, dtype=None)
            for head, temperature in heads:
                found = head.probabilities(features)
                total += found if temperature == 1 else scale_by_temperature(found, temperature)
        return total / len(self._saved.heads)


def _target(out: Path) -> Path:
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigError(f"--out {out}: expected a file .csv or .parquet")
    return out


def _write(table: pa.Table, file: Path) -> None:
    with replace_file(file) as beside:
        if file.suffix.lower() == ".csv":
            pyarrow.csv.write_csv(_without_formulas(table), beside)
        else:
            parquet_file.write_table(table, beside)


def _without_formulas(table: pa.Table) -> pa.Table:
    """The same with an apostrophe before every text that a spreadsheet would compute, as OWASP advises."""
    columns = [
        pc.replace_substring_regex(column, _FORMULA, r"'\1") if pa.types.is_string(column.type) else column
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names)


def _shown(path: str) -> str:
    """Relative to the working folder where it lies in it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
