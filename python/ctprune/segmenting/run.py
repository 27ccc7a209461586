"""A segmentation from data to result: read, split, train each seed, evaluate, write."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctprune.environment.extras import extra
from ctprune.environment.progress import Operation, ProgressCallback
from ctprune.errors import Interrupted
from ctprune.finetuning.run_folder import PROGRESS_FOLDER, check_out, claim, hold, write_history
from ctprune.finetuning.splits import Splits
from ctprune.finetuning.training_result import METRICS_NAME
from ctprune.options.configure import configure
from ctprune.segmenting.card import write_card
from ctprune.segmenting.cases import Cases, list_cases
from ctprune.segmenting.config import SegmentConfig, SegmentOptions, named_labels
from ctprune.segmenting.dice import Counts, by_patient
from ctprune.segmenting.measured import measure
from ctprune.segmenting.result import PATIENTS_NAME, SegmentResult, write_patients
from ctprune.segmenting.splits import assign_splits, counts_of, notes_of, overlaps_of, slices_of
from ctprune.segmenting.volumes import Volumes, read_volumes
from ctprune.tasks.listing import TRAIN

# Torch is imported only once the data are known to be right, so that mistakes show without waiting for it.
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ctprune.segmenting.seeds import SeedOutcome, SeedTrainer

#: Kind of result that the folder holds, for messages.
_WHAT = "segmentation"

PathLike = str | os.PathLike[str]


def segment(
    data: PathLike,
    config: SegmentConfig | None = None,
    /,
    *,
    out: PathLike,
    progress: ProgressCallback | None = None,
    **options: Unpack[SegmentOptions],
) -> SegmentResult:
    """Train a small U-Net on volumes with masks several times, with different seeds; report its Dice by patient.

    Call it again to resume an interrupted or killed segmentation; the result of a finished one is only read.

    Args:
        data: Folder with `imagesTr` and `labelsTr`, folder of volumes with masks beside them, or a CSV or Parquet
            table of `image`, `mask` and, if known, `split` and `patient`.
        config: How to train and evaluate; cannot be combined with single options that decide it.
        out: Folder of the result: new, empty, or of the same segmentation.
        progress: Called a few times a second with a `ctprune.Progress`. Stages: `finding` (volumes), `reading
            masks` and `reading` (slices), then for each seed, which is the part, `training` (epochs), and
            `predicting` (volumes). Fact: `dice` on the selecting split after the last epoch.
        options: Those of `ctprune.SegmentConfig`, such as `weights="backbone.safetensors"` and `mode="frozen"`.

    Returns:
        The measures; the table of patients, weights and a model card are in `out`.

    Raises:
        ConfigError: An option cannot be used.
        SourceError: The data are not there or cannot be read.
        TaskError: Volumes, masks, labels and splits do not fit together.
        WeightsError: The weights are not there or cannot be used.
        OutputError: The folder holds something else, or cannot be written.
        InUseError: Another segmentation is writing to it.
        TrainingError: The loss is not finite.
        Interrupted: Ctrl-C.
    """
    config = configure(SegmentConfig, config, options)
    source, folder = Path(data), Path(out)
    check_out(folder, source, _WHAT)
    names = None if config.classes is None else named_labels(config.classes)
    cases = list_cases(source, config.patient_pattern, names)
    operation = Operation(progress)
    with extra("train", "ctprune segment"):
        from ctprune.segmenting.seeds import SeedTrainer
    trainer = SeedTrainer(config, folder, operation)
    with hold(folder):
        volumes = read_volumes(
            cases,
            side=config.side,
            intensity=_intensity(config, trainer),
            modality=config.modality,
            threads=config.threads,
            operation=operation,
        )
        try:
            return _Segmentation(config, folder, cases, volumes, trainer, operation).carry_out()
        except KeyboardInterrupt:
            raise Interrupted("interrupted; what is trained is saved: rerun to resume") from None


class _Segmentation:
    """One segmentation of volumes that are read."""

    def __init__(
        self,
        config: SegmentConfig,
        out: Path,
        cases: Cases,
        volumes: Volumes,
        trainer: SeedTrainer,
        operation: Operation,
    ) -> None:
        self._config, self._out, self._cases, self._volumes = config, out, cases, volumes
        self._trainer, self._operation = trainer, operation

    def carry_out(self) -> SegmentResult:
        """Train all seeds and write the result, or read the result of an earlier call."""
        from ctprune.segmenting.prediction import MASKS_FOLDER
        from ctprune.segmenting.training import TrainingSet

        config, volumes = self._config, self._volumes
        splits = assign_splits(volumes, fraction=config.val_fraction, seed=config.split_seed)
        finished = self._finished()
        masks = self._out / MASKS_FOLDER if config.save_masks else None
        if finished is not None:
            if masks is not None and not masks.is_dir():
                self._evaluate(splits, masks)
            return finished
        train, select = (slices_of(volumes, splits.rows(split)) for split in (TRAIN, splits.selection))
        data = TrainingSet(volumes.pixels, volumes.labels, train, select)
        outcomes = self._trainer.train_all(volumes, data)
        result = self._write(splits, outcomes, self._evaluate(splits, masks))
        shutil.rmtree(self._out / PROGRESS_FOLDER, ignore_errors=True)
        return result

    def _finished(self) -> SegmentResult | None:
        """Take the folder for this segmentation; its result if it is finished."""
        weights = self._trainer.weights
        is_known = claim(
            self._out,
            self._config,
            _WHAT,
            data_digest=self._volumes.digest,
            weights_sha256=None if weights is None else weights.sha256,
        )
        return SegmentResult.load(self._out) if is_known and (self._out / METRICS_NAME).is_file() else None

    def _evaluate(self, splits: Splits, masks: Path | None) -> Counts:
        """Counts of voxels of the evaluated split's volumes, see `ctprune.segmenting.prediction.evaluate`."""
        from ctprune.segmenting.prediction import evaluate
        from ctprune.segmenting.saved_model import SavedModel

        trainer = self._trainer
        return evaluate(
            SavedModel.load(self._out).networks(trainer.device),
            self._volumes,
            splits.rows(splits.evaluated),
            batch=self._config.batch_size,
            device=trainer.device,
            precision=trainer.precision,
            threads=self._config.threads,
            operation=self._operation,
            masks=masks,
        )

    def _write(self, splits: Splits, outcomes: list[SeedOutcome], counts: Counts) -> SegmentResult:
        config, volumes, trainer = self._config, self._volumes, self._trainer
        rows = splits.rows(splits.evaluated)
        all_patients = volumes.patients()
        of_rows = [all_patients[row] for row in rows]
        patients, voxels = by_patient(counts, of_rows)
        sizes = np.array([volumes.volumes[row].grid.voxel_ml for row in rows])
        milliliters = by_patient(counts * sizes[:, None, None], of_rows)[1]
        seeds = [one.seed for one in outcomes]
        found = measure(voxels[:-1], patients, volumes.classes)
        together = measure(voxels[-1:], patients, volumes.classes)
        write_patients(self._out / PATIENTS_NAME, seeds, patients, volumes.classes, voxels, milliliters)
        result = SegmentResult(
            out=self._out,
            config=config.to_dict(),
            classes=list(volumes.classes),
            labels=list(volumes.values),
            splits=counts_of(volumes, splits),
            evaluated_split=splits.evaluated,
            selection_split=splits.selection,
            evaluation=splits.sentence("volumes", "the epoch was"),
            overlaps=[one.to_dict() for one in overlaps_of(volumes, splits)],
            weights=None if trainer.weights is None else trainer.weights.to_dict(),
            backbone=trainer.backbone,
            per_seed=[
                {
                    "seed": one.seed,
                    **measures,
                    "best_epoch": one.best_epoch,
                    "select_dice": one.select_dice,
                    "seconds": one.seconds,
                }
                for one, measures in zip(outcomes, found.by_seed, strict=True)
            ],
            pooled=found.pooled,
            by_class=found.by_class,
            ensemble={"pooled": together.pooled, "by_class": together.by_class},
            defined=found.defined,
            no_interval=found.no_interval,
            notes=[*self._cases.notes, *notes_of(volumes, splits)],
            seconds=round(sum(one.seconds for one in outcomes), 3),
            device=trainer.device.type,
            data_digest=volumes.digest,
        )
        write_history(self._out, {one.seed: one.history for one in outcomes})
        write_card(result)
        result.save()
        return result


def _intensity(config: SegmentConfig, trainer: SeedTrainer) -> str:
    """From Hounsfield units to gray: as asked for, as in the pre-training, or `minmax`."""
    metadata: dict[str, Any] = {} if trainer.weights is None else trainer.weights.metadata
    return str(config.intensity or metadata.get("intensity") or "minmax")
