"""A fine-tuning from data to result: read, split, train each seed, evaluate, write."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.atomic import check_writable, replace_file
from ctprune.errors import ConfigError, Interrupted, OutputError, TaskError
from ctprune.extras import extra
from ctprune.finetuning.card import write_card
from ctprune.finetuning.config import FinetuneConfig, weights_option
from ctprune.finetuning.images import LabelledImages, read_images
from ctprune.finetuning.outcome import PREDICTIONS_NAME, SeedOutcome, patient_names, write_predictions
from ctprune.finetuning.overlaps import find_overlaps, without_overlap
from ctprune.finetuning.result import METRICS_NAME, FinetuneResult
from ctprune.finetuning.sampling import sample_part
from ctprune.finetuning.saved_model import FOLDER_NAME, SavedModel
from ctprune.finetuning.splits import Splits, assign_splits
from ctprune.finetuning.tasks import list_task
from ctprune.finetuning.tasks.listing import TRAIN

with extra("train", "ctprune finetune"):
    import yaml

    from ctprune.backbone import save_backbone
    from ctprune.evaluation.bootstrap import pooled_metrics
    from ctprune.evaluation.metrics import classification_metrics
    from ctprune.evaluation.plots import save_plots
    from ctprune.finetuning.heads import Head, save_head
    from ctprune.finetuning.network import (
        GreyBackbone,
        Normalisation,
        Weights,
        device_of,
        features_of,
        mixed_type,
        new_backbone,
    )
    from ctprune.finetuning.probes import linear_probe, neighbor_probe
    from ctprune.finetuning.training import Epoch, Training, TrainingSet

CONFIG_NAME = "config.yaml"

#: What unfinished seeds leave behind for the next session; gone when all are done.
_PROGRESS_FOLDER = "progress"

_SHARED_BACKBONE = "backbone.safetensors"

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class FinetuneProgress:
    """How far a fine-tuning has come.

    Attributes:
        stage: `reading`, `features` or `training`.
        done: Images read or epochs done of this seed.
        total: Of so many.
        seed: Place of the seed among all, from 0.
        seeds: Number of seeds.
        accuracy: On the selecting split, after the last epoch.
    """

    stage: str
    done: int = 0
    total: int = 0
    seed: int = 0
    seeds: int = 0
    accuracy: float | None = None


ProgressCallback = Callable[[FinetuneProgress], None]


def finetune(
    data: PathLike,
    *,
    out: PathLike,
    split: PathLike | None = None,
    labels: PathLike | None = None,
    weights: PathLike | None = None,
    mode: str = "finetune",
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
    normalise: str = "auto",
    precision: str = "auto",
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
        normalise: Mean and standard deviation.
        precision: Mixed or 32 bits.
        val_fraction: Part that is set aside.
        split_seed: Its seed.
        patient_pattern: Takes the patient from the file name.
        drop_overlap: Leave out what train shares with the evaluated split.
        positive: The positive class of two.
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
        Interrupted: Ctrl-C.
    """
    config = FinetuneConfig(
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
    source, folder = Path(data), Path(out)
    _check_out(folder, source)
    run = Finetuning(config, folder, device=device, download=download, progress=progress)
    listed = list_task(source, split=split, labels=labels, patient_pattern=config.patient_pattern)
    images = read_images(
        listed,
        side=config.side,
        intensity=run.intensity(listed.reading),
        modality=config.modality if listed.reading is None else listed.reading["modality"],
        threads=threads,
        progress=lambda done, total: progress(FinetuneProgress("reading", done, total)),
    )
    return run.carry_out(images, listed.source)


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
        self.config = config
        self.out = out
        self.device = device_of(device)
        self._dtype = mixed_type(config.precision, self.device)
        self._weights = Weights.find(config, download=download)
        self._progress = progress
        self._features: npt.NDArray[np.float32] | None = None
        self._backbone = self._intensity = ""
        # Mistakes in name or side come out before images are read.
        if self._weights is None or config.backbone is not None:
            _, self._backbone = new_backbone(config, self._weights, 0)

    def intensity(self, reading: dict[str, Any] | None) -> str:
        """From Hounsfield units to grey: as asked for, as in the pre-training, as in the run, or `minmax`."""
        metadata = {} if self._weights is None else self._weights.metadata
        found = self.config.intensity or metadata.get("intensity") or (reading or {}).get("intensity")
        return str(found or "minmax")

    def carry_out(self, images: LabelledImages, source: Path) -> FinetuneResult:
        """Train all seeds and write the result, or read the result that is there already."""
        config = self.config
        if config.positive is not None and (len(images.classes) != 2 or config.positive not in images.classes):
            raise ConfigError(
                f"--positive {config.positive}: expected one of two classes, found {', '.join(images.classes)}"
            )
        self._intensity = images.intensity
        splits = assign_splits(images, source, fraction=config.val_fraction, seed=config.split_seed)
        overlaps = [overlap.to_dict() for overlap in find_overlaps(images, splits)]
        if config.drop_overlap:
            splits = without_overlap(images, splits)
            _check_left(splits, images, source)
        digest = images.digest()
        finished = self._claim(digest)
        if finished is not None:
            return finished
        outcomes, probabilities = self._train_seeds(images, splits)
        return self._write(images, splits, overlaps, digest, outcomes, probabilities)

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
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
            same = ("config_digest", "data_digest", "weights_sha256")
            if not isinstance(found, dict) or any(found.get(name) != mine[name] for name in same):
                raise OutputError(
                    f"{self.out} holds a fine-tuning of other data, weights or options: choose a new folder"
                )
            return FinetuneResult.load(self.out) if (self.out / METRICS_NAME).is_file() else None
        check_writable(self.out)
        with replace_file(file) as beside:
            beside.write_text(yaml.safe_dump(mine, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return None

    def _train_seeds(
        self, images: LabelledImages, splits: Splits
    ) -> tuple[list[SeedOutcome], dict[int, npt.NDArray[np.float64]]]:
        train = splits.rows(TRAIN)
        self._normalisation = Normalisation.choose(self.config.normalise, self._weights, images.pixels[train])
        outcomes, probabilities = [], {}
        seeds = self.config.seed_list
        for place, seed in enumerate(seeds):
            stem = self.out / _PROGRESS_FOLDER / f"seed-{seed}"
            done = SeedOutcome.load(stem)
            if done is None:
                try:
                    done = self._train_seed(images, splits, place, stem)
                except KeyboardInterrupt:
                    raise Interrupted(
                        f"interrupted in seed {place + 1} of {len(seeds)}; the same command goes on from there"
                    ) from None
            outcomes.append(done[0])
            probabilities[seed] = done[1]
        return outcomes, probabilities

    def _train_seed(
        self, images: LabelledImages, splits: Splits, place: int, stem: Path
    ) -> tuple[SeedOutcome, npt.NDArray[np.float64]]:
        seed = self.config.seed_list[place]
        started = time.perf_counter()
        train = splits.rows(TRAIN)
        patients = [images.entries[row].patient for row in train]
        part = sample_part(
            images.labels[train], patients, fraction=self.config.fraction, seed=seed, leave_some=False
        )
        data = TrainingSet(
            images.pixels, images.labels, train[part], splits.rows(splits.selection), len(images.classes)
        )
        fit = self._finetune_seed if self.config.mode == "finetune" else self._probe_seed
        head, probabilities, outcome = fit(data, place, stem)
        save_head(head, self.out / FOLDER_NAME / outcome.head)
        seconds = outcome.seconds or time.perf_counter() - started
        outcome = SeedOutcome(**(vars(outcome) | {"seconds": round(seconds, 3)}))
        outcome.save(stem, probabilities)
        stem.with_suffix(".ckpt").unlink(missing_ok=True)
        return outcome, probabilities

    def _finetune_seed(
        self, data: TrainingSet, place: int, stem: Path
    ) -> tuple[Head, npt.NDArray[np.float64], SeedOutcome]:
        config, seed = self.config, self.config.seed_list[place]
        network = self._network(seed)

        def report(epoch: Epoch) -> None:
            self._report("training", epoch.epoch, config.epochs or 0, place, epoch.select_accuracy)

        self._report("training", 0, config.epochs or 0, place)
        training = Training(
            network, data, config, seed, self.device, self._dtype, stem.with_suffix(".ckpt"), report
        )
        head = training.run()
        features = self._features_of(network, data.pixels, place)
        best = training.history[training.best_epoch - 1]
        outcome = SeedOutcome(
            seed=seed,
            backbone=self._save_backbone(network, f"seed-{seed}/{_SHARED_BACKBONE}"),
            head=f"seed-{seed}/head.safetensors",
            images_used=len(data.train),
            seconds=sum(epoch.seconds for epoch in training.history),
            facts={"best_epoch": training.best_epoch, "select_accuracy": best.select_accuracy},
            history=[asdict(epoch) for epoch in training.history],
        )
        return head, head.probabilities(features), outcome

    def _probe_seed(
        self, data: TrainingSet, place: int, stem: Path
    ) -> tuple[Head, npt.NDArray[np.float64], SeedOutcome]:
        config, seed = self.config, self.config.seed_list[place]
        shared = self._weights is not None
        backbone = _SHARED_BACKBONE if shared else f"seed-{seed}/{_SHARED_BACKBONE}"
        if self._features is None or not shared:
            network = self._network(seed)
            self._features = self._features_of(network, data.pixels, place)
            self._save_backbone(network, backbone)
        features, classes = self._features, data.classes
        train = features[data.train], data.labels[data.train]
        select = features[data.select], data.labels[data.select]
        if config.mode == "linear":
            weighted = bool(config.class_weights)
            probe = linear_probe(train, select, classes=classes, class_weights=weighted)
            facts: dict[str, Any] = {"strength": probe.strength, "converged": probe.converged}
        else:
            probe = neighbor_probe(train, select, classes=classes, neighbors=config.neighbors or 1)
            facts = {"neighbors": min(config.neighbors or 1, len(data.train))}
        outcome = SeedOutcome(
            seed=seed,
            backbone=backbone,
            head=f"seed-{seed}/head.safetensors",
            images_used=len(data.train),
            seconds=0.0,
            facts=facts | {"select_accuracy": probe.accuracy},
            history=[],
        )
        return probe.head, probe.head.probabilities(features), outcome

    def _network(self, seed: int) -> GreyBackbone:
        module, self._backbone = new_backbone(self.config, self._weights, seed)
        return GreyBackbone(module, self._normalisation).to(self.device)

    def _features_of(
        self, network: GreyBackbone, pixels: npt.NDArray[np.uint8], place: int
    ) -> npt.NDArray[np.float32]:
        self._report("features", 0, len(pixels), place)
        rows = np.arange(len(pixels))
        return features_of(
            network, pixels, rows, batch=self.config.batch_size, device=self.device, dtype=self._dtype
        )

    def _save_backbone(self, network: GreyBackbone, name: str) -> str:
        before = {} if self._weights is None else self._weights.metadata
        metadata = {
            "method": before.get("method"),
            "mean": list(self._normalisation.mean),
            "std": list(self._normalisation.std),
            "side": self.config.side,
            "intensity": self._intensity,
            "finetuned": self.config.mode == "finetune",
        }
        save_backbone(network.backbone, self.out / FOLDER_NAME / name, name=self._backbone, metadata=metadata)
        return name

    def _report(self, stage: str, done: int, total: int, place: int, accuracy: float | None = None) -> None:
        self._progress(FinetuneProgress(stage, done, total, place, len(self.config.seed_list), accuracy))

    def _write(
        self,
        images: LabelledImages,
        splits: Splits,
        overlaps: list[dict[str, Any]],
        digest: str,
        outcomes: list[SeedOutcome],
        probabilities: dict[int, npt.NDArray[np.float64]],
    ) -> FinetuneResult:
        config, classes = self.config, images.classes
        if not self._backbone:
            _, self._backbone = new_backbone(config, self._weights, 0)
        SavedModel(
            folder=self.out / FOLDER_NAME,
            mode=config.mode,
            classes=classes,
            backbones={outcome.seed: outcome.backbone for outcome in outcomes},
            heads={outcome.seed: outcome.head for outcome in outcomes},
            mean=self._normalisation.mean,
            std=self._normalisation.std,
            side=config.side,
            intensity=images.intensity,
            modality=images.modality,
        ).save()
        write_predictions(self.out / PREDICTIONS_NAME, images, splits, probabilities, config.to_dict())
        rows = splits.rows(splits.evaluated)
        labels = images.labels[rows]
        evaluated = np.stack([found[rows] for found in probabilities.values()])
        names = patient_names(images)
        patients = [names[row] for row in rows]
        save_plots(labels, evaluated, classes, self.out / "plots", positive=config.positive)
        result = FinetuneResult(
            out=self.out,
            config=config.to_dict(),
            classes=list(classes),
            splits=splits.counts(images),
            evaluated_split=splits.evaluated,
            selection_split=splits.selection,
            evaluation=splits.sentence(),
            overlaps=overlaps,
            weights=None if self._weights is None else self._weights.to_dict(),
            backbone=self._backbone,
            per_seed=[
                {
                    "seed": outcome.seed,
                    "metrics": classification_metrics(labels, one, classes, positive=config.positive),
                    "images_used": outcome.images_used,
                    "seconds": outcome.seconds,
                    **outcome.facts,
                }
                for outcome, one in zip(outcomes, evaluated, strict=True)
            ],
            pooled=pooled_metrics(labels, evaluated, classes, patients=patients, positive=config.positive),
            interval_unit="patient" if any(patients) else "image",
            unreadable=images.unreadable,
            skipped=images.skipped,
            seconds=round(sum(outcome.seconds for outcome in outcomes), 3),
            device=self.device.type,
            data_digest=digest,
        )
        self._write_history(outcomes)
        write_card(result)
        result.save()
        shutil.rmtree(self.out / _PROGRESS_FOLDER, ignore_errors=True)
        return result

    def _write_history(self, outcomes: list[SeedOutcome]) -> None:
        rows = [{"seed": outcome.seed, **epoch} for outcome in outcomes for epoch in outcome.history]
        if not rows:
            return
        with replace_file(self.out / "history.csv") as beside:
            lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
            beside.write_text("\n".join(lines) + "\n")


def _check_out(out: Path, source: Path) -> None:
    """Refuse a folder in the data, or one that holds something else; called before the work starts."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: expected a folder, found a file")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"--out {out} lies inside the data {source}: name a folder outside of it")
    if out.is_dir() and any(out.iterdir()) and not (out / CONFIG_NAME).is_file():
        raise OutputError(f"{out} is not empty and holds no fine-tuning: choose a new or an empty folder")


def _check_left(splits: Splits, images: LabelledImages, source: Path) -> None:
    for split in (TRAIN, splits.selection):
        found = set(images.labels[splits.rows(split)].tolist())
        if not found or (split == TRAIN and len(found) < len(images.classes)):
            raise TaskError(f"{source}: --drop-overlap leaves {split} without images of every class")
