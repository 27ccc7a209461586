"""A fine-tuning from data to result: read, split, train each seed, evaluate, write."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.extras import extra
from ctprune.environment.threads import check_threads
from ctprune.errors import ConfigError, Interrupted, OutputError, TaskError
from ctprune.files.atomic import check_writable, replace_file
from ctprune.files.run_lock import NAME as LOCK_NAME
from ctprune.files.run_lock import sole_writer
from ctprune.finetuning.card import write_card
from ctprune.finetuning.config import FinetuneConfig, weights_option
from ctprune.finetuning.images import LabelledImages, read_images
from ctprune.finetuning.outcome import PREDICTIONS_NAME, SeedOutcome, write_predictions
from ctprune.finetuning.overlaps import find_overlaps, without_overlap
from ctprune.finetuning.progress import FinetuneProgress, ProgressCallback
from ctprune.finetuning.result import METRICS_NAME, FinetuneResult
from ctprune.finetuning.saved_model import FOLDER_NAME, SavedModel
from ctprune.finetuning.splits import Splits, assign_splits
from ctprune.finetuning.tasks import list_task
from ctprune.finetuning.tasks.listing import TRAIN, Listing

with extra("train", "ctprune finetune"):
    import yaml

# Torch and scikit-learn are imported when labels and options are known to be right: a mistake in a table is not
# worth waiting for them.
if TYPE_CHECKING:
    from ctprune.finetuning.seeds import SeedTrainer

CONFIG_NAME = "config.yaml"

PathLike = str | os.PathLike[str]


def finetune(
    data: PathLike,
    *,
    out: PathLike,
    split: PathLike | None = None,
    labels: PathLike | None = None,
    weights: PathLike | None = None,
    mode: str = "finetune",
    preset: str = "default",
    backbone: str | None = None,
    seeds: int | Sequence[int] = 5,
    fraction: float = 1.0,
    epochs: int | None = None,
    frozen_epochs: int | None = None,
    batch_size: int = 64,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    flip: bool | None = None,
    class_weights: bool | None = None,
    neighbors: int | None = None,
    side: int = 224,
    fit: str | None = None,
    normalise: str | None = None,
    precision: str | None = None,
    val_fraction: float = 0.15,
    split_seed: int = 0,
    patient_pattern: str | None = None,
    drop_overlap: bool = False,
    positive: str | None = None,
    intensity: str | None = None,
    modality: str = "CT",
    device: str = "auto",
    download: bool = False,
    threads: int = 0,
    progress: ProgressCallback = lambda now: None,
) -> FinetuneResult:
    """Train a classifier on labelled images, several times, and evaluate it.

    A fine-tuning that was interrupted or killed goes on where it stopped when it is started again; one that is
    finished is only read.

    Args:
        data: A folder per class (below `train`, `val`, `test` where there are these), a CSV or Parquet table of
            `path`, `label` and where known `split`, `patient`, `frame`, a MedMNIST `.npz`, or the folder of a run
            of `ctprune.reduce`.
        out: Folder of the result; new, empty, or that of the same fine-tuning.
        split: For folders, the folder of text files that list the names of a split and class each.
        labels: For a run, the table of labels with `path`, `sop_instance_uid` or `series_instance_uid`.
        weights: See `ctprune.finetuning.config.FinetuneConfig`, also for all options down to `modality`.
        mode: `finetune`, `linear` or `knn`.
        preset: `default`, or `reference` for what the published notebooks do.
        backbone: Name of the architecture.
        seeds: Their number, or the seeds themselves.
        fraction: Part of the training labels.
        epochs: Epochs in all.
        frozen_epochs: First epochs with a frozen backbone.
        batch_size: Images that go through the network together.
        learning_rate: Of Adam.
        weight_decay: Of Adam.
        flip: Horizontal flips.
        class_weights: Weigh classes.
        neighbors: Neighbours that vote.
        side: Rows and columns of the input.
        fit: How images become squares: `pad`, `squeeze` or `crop`; default as the preset says.
        normalise: Mean and standard deviation; default as the preset says.
        precision: Mixed or 32 bits; default as the preset says.
        val_fraction: Part that is set aside.
        split_seed: Its seed.
        patient_pattern: Takes the patient from the file name.
        drop_overlap: Leave out what train shares with the evaluated split.
        positive: The positive class of two; must be given unless they are 0 and 1.
        intensity: From Hounsfield units to grey.
        modality: DICOM Modality to read.
        device: `auto`, `cpu` or `cuda`.
        download: Fetch torchvision's ResNet-50 for `weights="imagenet"` where it is not on disk.
        threads: Threads that read images, 0 for one per core.
        progress: Called now and then.

    Returns:
        The metrics; predictions, plots, weights and a model card are in `out`.

    Raises:
        ConfigError: An option cannot be used.
        SourceError: The data are not there or hold nothing that can be read.
        TaskError: Labels, splits and files do not fit together.
        WeightsError: The weights are not there or cannot be used.
        OutputError: The folder holds something else, or cannot be written.
        InUseError: Another fine-tuning is writing to it.
        Interrupted: Ctrl-C.
    """
    config = FinetuneConfig(
        preset=preset,
        mode=mode,
        weights=weights_option(weights),
        backbone=backbone,
        seeds=seeds,
        fraction=fraction,
        epochs=epochs,
        frozen_epochs=frozen_epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        flip=flip,
        class_weights=class_weights,
        neighbors=neighbors,
        side=side,
        fit=fit,
        normalise=normalise,
        precision=precision,
        val_fraction=val_fraction,
        split_seed=split_seed,
        patient_pattern=patient_pattern,
        drop_overlap=drop_overlap,
        positive=positive,
        intensity=intensity,
        modality=modality,
    )
    check_threads(threads)
    source, folder = Path(data), Path(out)
    _check_out(folder, source)
    listed = list_task(source, split=split, labels=labels, patient_pattern=config.patient_pattern)
    config = config.for_classes(listed.classes)
    run = Finetuning(config, folder, device=device, download=download, progress=progress)
    with _hold(folder):
        images = read_images(
            listed,
            side=config.side,
            fit=str(config.fit),
            intensity=run.intensity(listed.reading),
            modality=config.modality if listed.reading is None else listed.reading["modality"],
            threads=threads,
            progress=lambda done, total: progress(FinetuneProgress("reading", done, total)),
        )
        return run.carry_out(images, listed)


class Finetuning:
    """One fine-tuning on its way, for images that are read. `finetune` is the short form."""

    def __init__(
        self,
        config: FinetuneConfig,
        out: Path,
        *,
        device: str = "auto",
        download: bool = False,
        progress: ProgressCallback = lambda now: None,
    ) -> None:
        with extra("train", "ctprune finetune"):
            from ctprune.finetuning.seeds import SeedTrainer
        self.config = config
        self.out = out
        self._trainer: SeedTrainer = SeedTrainer(config, out, device=device, download=download)
        self._weights = self._trainer.weights
        self._progress = progress

    def intensity(self, reading: dict[str, Any] | None) -> str:
        """From Hounsfield units to grey: as asked for, as in the pre-training, as in the run, or `minmax`."""
        metadata = {} if self._weights is None else self._weights.metadata
        found = self.config.intensity or metadata.get("intensity") or (reading or {}).get("intensity")
        return str(found or "minmax")

    def carry_out(self, images: LabelledImages, listed: Listing) -> FinetuneResult:
        """Train all seeds and write the result, or read the result that is there already."""
        config, source = self.config, listed.source
        splits = assign_splits(images, source, fraction=config.val_fraction, seed=config.split_seed)
        overlaps = [overlap.to_dict() for overlap in find_overlaps(images, splits)]
        if config.drop_overlap:
            splits = without_overlap(images, splits)
            _check_left(splits, images, source)
        digest = images.digest()
        finished = self._claim(digest)
        if finished is not None:
            return finished
        try:
            self._trainer.prepare(images, splits, self._progress)
            outcomes, probabilities = self._trainer.train_all()
            notes = [*listed.notes, *splits.notes(images)]
            return self._write(images, splits, notes, overlaps, digest, outcomes, probabilities)
        except KeyboardInterrupt:
            raise Interrupted(
                "interrupted; what is trained is saved, and the same command goes on from there"
            ) from None

    def _claim(self, data_digest: str) -> FinetuneResult | None:
        """Take the folder for this fine-tuning; its result if it is finished."""
        file = self.out / CONFIG_NAME
        mine = {
            "config": self.config.to_dict(),
            "config_digest": self.config.digest(),
            "data_digest": data_digest,
            "weights_sha256": None if self._weights is None else self._weights.sha256,
        }
        if file.is_file():
            try:
                found = yaml.safe_load(file.read_text(encoding="utf-8"))
            except (yaml.YAMLError, OSError, UnicodeDecodeError):
                found = None
            same = ("config_digest", "data_digest", "weights_sha256")
            if not isinstance(found, dict) or any(found.get(name) != mine[name] for name in same):
                raise OutputError(
                    f"{self.out} holds a fine-tuning of other data, weights or options: choose a new folder"
                )
            return FinetuneResult.load(self.out) if (self.out / METRICS_NAME).is_file() else None
        with replace_file(file) as beside:
            beside.write_text(yaml.safe_dump(mine, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return None

    def _write(
        self,
        images: LabelledImages,
        splits: Splits,
        notes: list[str],
        overlaps: list[dict[str, Any]],
        digest: str,
        outcomes: list[SeedOutcome],
        probabilities: dict[int, npt.NDArray[np.float64]],
    ) -> FinetuneResult:
        from ctprune.evaluation.plots import save_plots
        from ctprune.finetuning.measured import measure
        from ctprune.finetuning.seeds import PROGRESS_FOLDER

        config, trainer = self.config, self._trainer
        found = measure(images, splits, probabilities, config.positive)
        self._save_model(images, outcomes, [one["temperature"] for one in found.by_seed])
        write_predictions(self.out / PREDICTIONS_NAME, images, splits, probabilities, config.to_dict())
        judged = found.evaluated
        save_plots(
            judged.labels, judged.probabilities, images.classes, self.out / "plots", positive=config.positive
        )
        result = FinetuneResult(
            out=self.out,
            config=config.to_dict(),
            classes=list(images.classes),
            positive=config.positive,
            splits=splits.counts(images),
            evaluated_split=splits.evaluated,
            selection_split=splits.selection,
            evaluation=splits.sentence(),
            overlaps=overlaps,
            weights=None if trainer.weights is None else trainer.weights.to_dict(),
            backbone=trainer.backbone,
            per_seed=[
                {
                    "seed": outcome.seed,
                    **measures,
                    "images_used": outcome.images_used,
                    "seconds": outcome.seconds,
                    **outcome.facts,
                }
                for outcome, measures in zip(outcomes, found.by_seed, strict=True)
            ],
            **found.of_all,
            patients=splits.patients(images),
            notes=notes,
            unreadable=images.unreadable,
            skipped=images.skipped,
            seconds=round(sum(outcome.seconds for outcome in outcomes), 3),
            device=trainer.device.type,
            data_digest=digest,
        )
        _write_history(self.out, outcomes)
        write_card(result)
        result.save()
        shutil.rmtree(self.out / PROGRESS_FOLDER, ignore_errors=True)
        return result

    def _save_model(self, images: LabelledImages, outcomes: list[SeedOutcome], temperatures: list[float]) -> None:
        config, normalisation = self.config, self._trainer.normalisation
        seeds = [outcome.seed for outcome in outcomes]
        SavedModel(
            folder=self.out / FOLDER_NAME,
            mode=config.mode,
            classes=images.classes,
            positive=config.positive,
            backbones={outcome.seed: outcome.backbone for outcome in outcomes},
            heads={outcome.seed: outcome.head for outcome in outcomes},
            temperatures=dict(zip(seeds, temperatures, strict=True)),
            mean=normalisation.mean,
            std=normalisation.std,
            side=config.side,
            fit=str(config.fit),
            transposed=config.transposed,
            intensity=images.intensity,
            modality=images.modality,
        ).save()


@contextmanager
def _hold(out: Path) -> Iterator[None]:
    """Be the folder's only writer; where nothing was written after all, no folder is left behind."""
    check_writable(out)
    try:
        with sole_writer(out):
            yield
    finally:
        with suppress(OSError):
            out.rmdir()


def _write_history(out: Path, outcomes: list[SeedOutcome]) -> None:
    rows = [{"seed": outcome.seed, **epoch} for outcome in outcomes for epoch in outcome.history]
    if not rows:
        return
    with replace_file(out / "history.csv") as beside:
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        beside.write_text("\n".join(lines) + "\n")


def _check_out(out: Path, source: Path) -> None:
    """Refuse a folder in the data, or one that holds something else; called before the work starts."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: expected a folder, found a file")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"--out {out} lies inside the data {source}: name a folder outside of it")
    holds = {path.name for path in out.iterdir()} - {LOCK_NAME} if out.is_dir() else set()
    if holds and CONFIG_NAME not in holds:
        raise OutputError(f"{out} is not empty and holds no fine-tuning: choose a new or an empty folder")


def _check_left(splits: Splits, images: LabelledImages, source: Path) -> None:
    for split in (TRAIN, splits.selection):
        found = set(images.labels[splits.rows(split)].tolist())
        if not found or (split == TRAIN and len(found) < len(images.classes)):
            raise TaskError(f"{source}: --drop-overlap leaves {split} without images of every class")
