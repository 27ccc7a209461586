"""Training of each seed in turn, in one of the three modes; finished seeds are not trained again."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.progress import Operation
from ctprune.errors import WeightsError
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.heads import Head, save_head
from ctprune.finetuning.images import LabeledImages
from ctprune.finetuning.network import choose_normalization, find_weights, new_backbone
from ctprune.finetuning.outcome import SeedOutcome
from ctprune.finetuning.probes import linear_probe, neighbor_probe
from ctprune.finetuning.sampling import sample_part
from ctprune.finetuning.saved_model import FOLDER_NAME
from ctprune.finetuning.splits import Splits
from ctprune.finetuning.training import Epoch, SeedTraining, TrainingSet
from ctprune.networks.backbone import BACKBONE_NAME, save_backbone
from ctprune.networks.device import choose_device, choose_precision
from ctprune.networks.gray_backbone import GrayBackbone, features_of
from ctprune.tasks.listing import TRAIN

#: What unfinished seeds leave behind for the next session; gone when all are done.
PROGRESS_FOLDER = "progress"


class SeedTrainer:
    """The seeds of one fine-tuning.

    Attributes:
        config: Options of the fine-tuning.
        device: Device of the network.
        weights: File of weights that the training starts from; None for random weights.
        backbone: Name of the architecture.
        normalization: Mean and standard deviation of the input.
    """

    def __init__(self, config: FinetuneConfig, out: Path) -> None:
        self.config = config
        self.device = choose_device(config.device)
        self.weights = find_weights(config)
        # A mistake in name or side is found before images are read.
        self.backbone = new_backbone(config, self.weights, 0)[1]
        self._out = out
        self._precision = choose_precision(str(config.precision), self.device)
        self._features: npt.NDArray[np.float32] | None = None

    def prepare(self, images: LabeledImages, splits: Splits, operation: Operation) -> None:
        """Take the images to train on."""
        self._images, self._splits, self._operation = images, splits, operation
        train = images.pixels[splits.rows(TRAIN)]
        self.normalization = choose_normalization(str(self.config.normalize), self.weights, train)

    def train_all(self) -> tuple[list[SeedOutcome], dict[int, npt.NDArray[np.float64]]]:
        """What each seed gives, and by seed the probabilities of all images; finished seeds are read."""
        outcomes, probabilities = [], {}
        for index, seed in enumerate(self.config.seed_list):
            stem = self._out / PROGRESS_FOLDER / f"seed-{seed}"
            done = SeedOutcome.load(stem) or self._train_seed(index, stem)
            outcomes.append(done[0])
            probabilities[seed] = done[1]
        return outcomes, probabilities

    def _train_seed(self, index: int, stem: Path) -> tuple[SeedOutcome, npt.NDArray[np.float64]]:
        images, splits, seed = self._images, self._splits, self.config.seed_list[index]
        started = time.perf_counter()
        train = splits.rows(TRAIN)
        patients = [images.entries[row].patient for row in train]
        part = sample_part(
            images.strata[train], patients, fraction=self.config.fraction, seed=seed, leave_some=False
        )
        data = TrainingSet(
            images.pixels, images.labels, train[part], splits.rows(splits.selection), len(images.classes)
        )
        fit = self._finetune_seed if self.config.mode == "finetune" else self._probe_seed
        head, probabilities, outcome = fit(data, index, stem)
        save_head(head, self._out / FOLDER_NAME / outcome.head)
        seconds = outcome.seconds or time.perf_counter() - started
        outcome = SeedOutcome(**(vars(outcome) | {"seconds": round(seconds, 3)}))
        outcome.save(stem, probabilities)
        stem.with_suffix(".ckpt").unlink(missing_ok=True)
        return outcome, probabilities

    def _finetune_seed(
        self, data: TrainingSet, index: int, stem: Path
    ) -> tuple[Head, npt.NDArray[np.float64], SeedOutcome]:
        config, seed = self.config, self.config.seed_list[index]
        network = self._network(seed)

        def report(epoch: Epoch) -> None:
            self._report("training", epoch.epoch, config.epochs or 0, "epochs", index, epoch.select_accuracy)

        self._report("training", 0, config.epochs or 0, "epochs", index)
        training = self._training(
            network, data, config, seed, self.device, self._precision, stem.with_suffix(".ckpt"), report
        )
        head = training.run()
        features = self._features_of(network, data.pixels, index)
        best = training.history[training.best_epoch - 1]
        quality = (
            {"select_loss": best.select_loss}
            if best.select_accuracy is None
            else {"select_accuracy": best.select_accuracy}
        )
        outcome = SeedOutcome(
            seed=seed,
            backbone=self._save_backbone(network, f"seed-{seed}/{BACKBONE_NAME}"),
            head=f"seed-{seed}/head.safetensors",
            images_used=len(data.train),
            seconds=sum(epoch.seconds for epoch in training.history),
            facts={"best_epoch": training.best_epoch} | quality,
            history=[asdict(epoch) for epoch in training.history],
        )
        return head, head.probabilities(features), outcome

    def _probe_seed(
        self, data: TrainingSet, index: int, stem: Path
    ) -> tuple[Head, npt.NDArray[np.float64], SeedOutcome]:
        config, seed = self.config, self.config.seed_list[index]
        shared = self.weights is not None
        backbone = BACKBONE_NAME if shared else f"seed-{seed}/{BACKBONE_NAME}"
        if self._features is None or not shared:
            network = self._network(seed)
            self._features = self._features_of(network, data.pixels, index)
            self._save_backbone(network, backbone)
        head, facts = self._probe(self._features, data)
        if config.mode == "knn":
            facts["neighbors"] = min(config.neighbors or 1, len(data.train))
        outcome = SeedOutcome(
            seed=seed,
            backbone=backbone,
            head=f"seed-{seed}/head.safetensors",
            images_used=len(data.train),
            seconds=0.0,
            facts=facts,
            history=[],
        )
        return head, head.probabilities(self._features), outcome

    def _training(self, *inputs: Any) -> SeedTraining:
        return SeedTraining(*inputs)

    def _probe(self, features: npt.NDArray[np.float32], data: TrainingSet) -> tuple[Head, dict[str, Any]]:
        """A classifier on frozen features, and facts about its fit."""
        config = self.config
        train = features[data.train], data.labels[data.train]
        select = features[data.select], data.labels[data.select]
        if config.mode == "knn":
            probe = neighbor_probe(train, select, classes=data.classes, neighbors=config.neighbors or 1)
            return probe.head, {"select_accuracy": probe.accuracy}
        probe = linear_probe(train, select, classes=data.classes, class_weights=bool(config.class_weights))
        facts = {"strength": probe.strength, "converged": probe.converged, "select_accuracy": probe.accuracy}
        return probe.head, facts

    def _network(self, seed: int) -> GrayBackbone:
        module, self.backbone = new_backbone(self.config, self.weights, seed)
        return GrayBackbone(module, self.normalization, transposed=self.config.transposed).to(self.device)

    def _features_of(
        self, network: GrayBackbone, pixels: npt.NDArray[np.uint8], index: int
    ) -> npt.NDArray[np.float32]:
        self._report("features", 0, len(pixels), "images", index)
        rows = np.arange(len(pixels))
        found = features_of(
            network, pixels, rows, batch=self.config.batch_size, device=self.device, precision=self._precision
        )
        without = int((~np.isfinite(found).all(axis=1)).sum())
        if without:
            origin = "random weights" if self.weights is None else self.weights.file
            raise WeightsError(
                f"{origin}: the network's features of {without:,} of {len(found):,} images are not finite: its "
                f"weights are too large"
            )
        return found

    def _save_backbone(self, network: GrayBackbone, name: str) -> str:
        before = {} if self.weights is None else self.weights.metadata
        metadata = {
            "method": before.get("method"),
            "mean": list(self.normalization.mean),
            "std": list(self.normalization.std),
            "side": self.config.side,
            "fit": self.config.fit,
            "intensity": self._images.intensity,
            "finetuned": self.config.mode == "finetune",
        }
        save_backbone(network.backbone, self._out / FOLDER_NAME / name, name=self.backbone, metadata=metadata)
        return name

    def _report(
        self, stage: str, done: int, total: int, unit: str, index: int, accuracy: float | None = None
    ) -> None:
        part = f"seed {index + 1}/{len(self.config.seed_list)}"
        self._operation.report(stage, done, total, unit, part=part, accuracy=accuracy)
