"""A fine-tuning from data to result: read, split, train each seed, evaluate, write."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.extras import extra
from ctprune.environment.progress import Operation, ProgressCallback
from ctprune.errors import ConfigError, Interrupted, TaskError
from ctprune.finetuning.bags import Units, units_of
from ctprune.finetuning.card import write_card
from ctprune.finetuning.config import FinetuneConfig, FinetuneOptions
from ctprune.finetuning.images import LabeledImages, read_images
from ctprune.finetuning.outcome import UNITS_NAME, SeedOutcome, write_predictions, write_units
from ctprune.finetuning.overlaps import find_overlaps, without_overlap
from ctprune.finetuning.result import PREDICTIONS_NAME, FinetuneResult
from ctprune.finetuning.run_folder import PROGRESS_FOLDER, check_out, claim, hold, write_history
from ctprune.finetuning.saved_model import FOLDER_NAME, SavedModel
from ctprune.finetuning.splits import Splits, assign_splits
from ctprune.finetuning.training_result import METRICS_NAME
from ctprune.networks.facts import channels_of
from ctprune.options.configure import configure
from ctprune.options.neighbors import GRAY
from ctprune.options.option import all_options
from ctprune.options.shared import CLASSES
from ctprune.pretraining.launch import Launch, find_launch
from ctprune.tasks import list_task
from ctprune.tasks.columns import columns_of
from ctprune.tasks.listing import TRAIN, Listing

# Torch and scikit-learn are imported only once labels and options are known to be right, so that a mistake in a
# table shows without waiting for them.
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ctprune.finetuning.seeds import SeedTrainer

#: Kind of result that the folder holds, for messages.
_WHAT = "fine-tuning"

PathLike = str | os.PathLike[str]


def finetune(
    data: PathLike,
    config: FinetuneConfig | None = None,
    /,
    *,
    out: PathLike,
    split: PathLike | None = None,
    labels: PathLike | None = None,
    progress: ProgressCallback | None = None,
    **options: Unpack[FinetuneOptions],
) -> FinetuneResult:
    """Train a network on labeled images several times, with different seeds, and evaluate it.

    Call it again to resume an interrupted or killed fine-tuning; the result of a finished one is only read.

    Args:
        data: A folder per class (below folders `train`, `val` and `test`, if there are any); a CSV or Parquet
            table of `path`, `label` and, if known, `split`, `patient` and `frame`; a MedMNIST `.npz`; or the
            folder of a reduction.
        config: How to train and evaluate; cannot be combined with single options that decide it.
        out: Folder of the result: new, empty, or of the same fine-tuning.
        split: For folders of classes, the folder with a text file of names for each split and class.
        labels: For a reduction, the table of labels with `path`, or with `sop_instance_uid`,
            `series_instance_uid` or `study_instance_uid`.
        progress: Called a few times a second with a `ctprune.Progress`. Stages: `reading` (images), then for each
            seed, which is the part, `training` (epochs) and `features` (images). Fact: `accuracy` on the selecting
            split after the last epoch.
        options: Those of `ctprune.FinetuneConfig`, such as `weights="backbone.safetensors"` and `seeds=5`.

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
    return take_part_in(
        data, configure(FinetuneConfig, config, options), out=out, split=split, labels=labels, progress=progress
    )


def take_part_in(
    data: PathLike,
    config: FinetuneConfig,
    *,
    out: PathLike,
    split: PathLike | None,
    labels: PathLike | None,
    progress: ProgressCallback | None = None,
    launch: Launch | None = None,
) -> FinetuneResult:
    """Fine-tune as `finetune` does, as one process of several if there are any.

    Args:
        data: The data.
        config: How to train and evaluate.
        out: Folder of the result.
        split: As for `finetune`.
        labels: As for `finetune`.
        progress: As for `finetune`.
        launch: This process's rank, if another process has started it.
    """
    source, folder = Path(data), Path(out)
    launch = launch or _launch_of(config)
    if launch.is_first:
        check_out(folder, source, _WHAT)
    listed = list_task(
        source,
        split=split,
        labels=labels,
        patient_pattern=config.patient_pattern,
        columns=columns_of(config.to_dict()),
        target=config.target,
        levels=config.levels,
        subgroups=config.subgroup_columns,
    )
    config = config.for_classes(listed.classes)
    operation = Operation(progress)
    run = Finetuning(config, folder, operation=operation, launch=launch)
    run.order = {
        "data": str(data),
        "out": str(out),
        "split": None if split is None else str(split),
        "labels": None if labels is None else str(labels),
        "config": all_options(config),
    }
    with hold(folder) if launch.is_first else nullcontext():
        images = read_images(
            listed,
            side=config.side,
            fit=str(config.fit),
            intensity=run.intensity(listed.reading),
            modality=config.modality if listed.reading is None else listed.reading["modality"],
            volume_pattern=run.volume_pattern(listed.reading),
            channels=run.channels,
            threads=config.threads,
            operation=operation,
        )
        return run.carry_out(images, listed)


class Finetuning:
    """One fine-tuning of images that are read. `finetune` is the short form."""

    def __init__(
        self,
        config: FinetuneConfig,
        out: Path,
        *,
        operation: Operation | None = None,
        launch: Launch | None = None,
    ) -> None:
        with extra("train", "ctprune finetune"):
            from ctprune.finetuning.seeds import SeedTrainer
            from ctprune.finetuning.target_seeds import TargetTrainer
        self.config = config
        self.out = out
        kind = SeedTrainer if config.target == CLASSES else TargetTrainer
        self._trainer: SeedTrainer = kind(config, out)
        self._weights = self._trainer.weights
        self._operation = operation or Operation()
        self._launch = launch or Launch()
        #: What the processes that this one starts are told.
        self.order: dict[str, Any] = {}

    def intensity(self, reading: dict[str, Any] | None) -> str:
        """From Hounsfield units to gray: as asked for, as in the pre-training, as in the run, or `minmax`."""
        metadata = {} if self._weights is None else self._weights.metadata
        found = self.config.intensity or metadata.get("intensity") or (reading or {}).get("intensity")
        return str(found or "minmax")

    def volume_pattern(self, reading: dict[str, Any] | None) -> str | None:
        """How names of pictures tell their volumes: as asked for, or as in the run."""
        found: str | None = self.config.volume_pattern or (reading or {}).get("volume_pattern")
        return found

    @property
    def channels(self) -> str:
        """What the backbone sees in its channels: as in the pre-training."""
        return GRAY if self._weights is None else channels_of(self._weights.metadata)

    def carry_out(self, images: LabeledImages, listed: Listing) -> FinetuneResult:
        """Train all seeds and write the result, or read the result of an earlier call."""
        from ctprune.finetuning.target_measured import check_labels

        config, source = self.config, listed.source
        units = units_of(images, config.unit, source)
        splits = assign_splits(units, source, fraction=config.val_fraction, seed=config.split_seed)
        overlaps = [overlap.to_dict() for overlap in find_overlaps(images, splits.of_images(units.of_image))]
        if config.drop_overlap:
            splits = without_overlap(images, splits, units.of_image)
            _check_left(splits, units, source)
        check_labels(units, splits, source)
        digest = images.digest()
        notes = [*listed.notes, *splits.notes(units), *images.notes()]

        def train() -> FinetuneResult:
            self._trainer.prepare(images, units, splits, self._operation)
            found = self._trainer.train_all()
            return self._trainer.peers.made_by_first(
                lambda: self._write(images, units, splits, notes, overlaps, digest, *found)
            )

        try:
            # The other processes are started when only the training is left.
            if self._launch.starts_all and self._is_finished(digest):
                return FinetuneResult.load(self.out)
            return train() if self._launch.processes == 1 else self._train_together(train, source, digest)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; what is trained is saved: rerun to resume") from None

    def _is_finished(self, digest: str) -> bool:
        """Take the folder of the result; return whether it already holds the result."""
        weights_sha256 = None if self._weights is None else self._weights.sha256
        is_known = claim(self.out, self.config, _WHAT, data_digest=digest, weights_sha256=weights_sha256)
        return is_known and (self.out / METRICS_NAME).is_file()

    def _train_together(self, train: Callable[[], FinetuneResult], source: Path, digest: str) -> FinetuneResult:
        """Train as one of several processes, some of which this one may start."""
        from ctprune.pretraining.devices import create_fabric
        from ctprune.pretraining.workers import Workers

        launch, trainer = self._launch, self._trainer
        with Workers(launch, self.order, program="ctprune.finetuning.worker") as workers:
            fabric = create_fabric(launch, "32", workers.environment(), trainer.device)
            fabric.launch()
            trainer.join(fabric)
            peers = trainer.peers
            if peers.made_by_first(lambda: not launch.starts_all and self._is_finished(digest)):
                return peers.made_by_first(lambda: FinetuneResult.load(self.out))
            if peers.made_by_first(lambda: digest) != digest:
                raise TaskError(f"{source}: the processes of the training have not read the same images from it")
            return train()

    def _write(
        self,
        images: LabeledImages,
        units: Units,
        splits: Splits,
        notes: list[str],
        overlaps: list[dict[str, Any]],
        digest: str,
        outcomes: list[SeedOutcome],
        probabilities: dict[int, npt.NDArray[np.float64]],
    ) -> FinetuneResult:
        from ctprune.finetuning.measured import measure
        from ctprune.finetuning.target_measured import label_counts, measure_target

        config, trainer = self.config, self._trainer
        if config.target == CLASSES:
            found = measure(units, splits, probabilities, config.positive, config.subgroup_columns)
        else:
            found = measure_target(units, splits, probabilities, config.subgroup_columns)
        self._save_model(images, outcomes, [one["temperature"] for one in found.by_seed])
        write_predictions(self.out / PREDICTIONS_NAME, units, splits, probabilities, config.to_dict())
        if units.unit != "image":
            write_units(self.out / UNITS_NAME, images, units, splits)
        found.plot(self.out / "plots")
        result = FinetuneResult(
            out=self.out,
            config=config.to_dict(),
            classes=list(images.class_names),
            positive=config.positive,
            splits=splits.counts(units),
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
            patients=splits.patients(units),
            label_counts=label_counts(units, splits),
            notes=notes,
            unreadable=images.unreadable,
            skipped=images.skipped,
            seconds=round(sum(outcome.seconds for outcome in outcomes), 3),
            device=trainer.device.type,
            data_digest=digest,
        )
        write_history(self.out, {outcome.seed: outcome.history for outcome in outcomes})
        write_card(result)
        result.save()
        shutil.rmtree(self.out / PROGRESS_FOLDER, ignore_errors=True)
        return result

    def _save_model(
        self, images: LabeledImages, outcomes: list[SeedOutcome], temperatures: list[float | None]
    ) -> None:
        config, normalization = self.config, self._trainer.normalization
        seeds = [outcome.seed for outcome in outcomes]
        SavedModel(
            folder=self.out / FOLDER_NAME,
            mode=config.mode,
            target=images.target,
            classes=images.class_names,
            positive=config.positive,
            backbones={outcome.seed: outcome.backbone for outcome in outcomes},
            heads={outcome.seed: outcome.head for outcome in outcomes},
            temperatures={seed: one for seed, one in zip(seeds, temperatures, strict=True) if one is not None},
            mean=normalization.mean,
            std=normalization.std,
            side=config.side,
            fit=str(config.fit),
            transposed=config.transposed,
            intensity=images.intensity,
            modality=images.modality,
            unit=config.unit,
            pool=config.pool,
            top_k=config.top_k,
            patient_pattern=config.patient_pattern,
            volume_pattern=images.volume_pattern,
            channels=images.channels,
        ).save()


def _launch_of(config: FinetuneConfig) -> Launch:
    """The rank of this process among those that train together.

    Raises:
        ConfigError: There are fewer GPUs than asked for, the processes that were started do not fit, or a batch is
            too small for all of them.
    """
    if config.devices == config.nodes == 1:
        return find_launch(1, 1)
    with extra("train", "ctprune finetune"):
        from ctprune.networks.device import choose_device
        from ctprune.pretraining.devices import device_count

        launch = find_launch(device_count(config.devices, choose_device(config.device)), config.nodes)
    if launch.processes > 1 and config.batch_size < 2 * launch.processes:
        raise ConfigError(
            f"batch_size {config.batch_size}: expected at least {2 * launch.processes}, two images for each of "
            f"{launch.processes} devices",
            field="batch_size",
        )
    return launch


def _check_left(splits: Splits, units: Units, source: Path) -> None:
    for split in (TRAIN, splits.selection):
        found = set(units.labels[splits.rows(split)].tolist())
        if not found or (split == TRAIN and len(found) < len(units.classes)):
            raise TaskError(f"{source}: `drop_overlap` leaves {split} without {units.unit}s of some classes")
