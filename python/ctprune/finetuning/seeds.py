"""Training of each seed in turn, in one of the three modes; finished seeds are not trained again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from ctprune.environment.progress import Operation
from ctprune.environment.words import counted
from ctprune.errors import WeightsError
from ctprune.finetuning.bags import Rows, Units, renumbered
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.feature_cache import FeatureCache
from ctprune.finetuning.heads import Head, save_head
from ctprune.finetuning.images import LabeledImages
from ctprune.finetuning.network import choose_normalization, find_weights, new_backbone
from ctprune.finetuning.outcome import SeedOutcome
from ctprune.finetuning.peers import Peers
from ctprune.finetuning.pooling import Pooling
from ctprune.finetuning.probes import quality
from ctprune.finetuning.run_folder import PROGRESS_FOLDER
from ctprune.finetuning.sampling import sample_part
from ctprune.finetuning.saved_model import FOLDER_NAME
from ctprune.finetuning.splits import Splits
from ctprune.finetuning.training import Epoch, SeedTraining, TrainingSet
from ctprune.finetuning.unit_probes import fit_probe
from ctprune.networks.backbone import BACKBONE_NAME, save_backbone
from ctprune.networks.device import choose_device, choose_precision
from ctprune.networks.facts import trained_facts
from ctprune.networks.gray_backbone import GrayBackbone, features_of
from ctprune.tasks.listing import TRAIN

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class SeedTrainer:
    """The seeds of one fine-tuning.

    Attributes:
        config: Options of the fine-tuning.
        device: Device of the network.
        weights: File of weights that the training starts from; None for random weights.
        backbone: Name of the architecture.
        normalization: Mean and standard deviation of the input.
        peers: The processes that train together; the first one writes.
    """

    def __init__(self, config: FinetuneConfig, out: Path) -> None:
        self.config = config
        self.device = choose_device(config.device)
        self.weights = find_weights(config)
        # Mistakes in name or side should show before images are read.
        self.backbone = new_backbone(config, self.weights, 0)[1]
        self._out = out
        self._precision = choose_precision(str(config.precision), self.device)
        self.peers = Peers()
        self._features: npt.NDArray[np.float32] | None = None
        self._cache: FeatureCache | None = None

    def join(self, fabric: Fabric) -> None:
        """Train with the other processes of a launch, each on its own device."""
        self.peers, self.device = Peers(fabric), fabric.device

    def prepare(self, images: LabeledImages, units: Units, splits: Splits, operation: Operation) -> None:
        """Take the images to train on, their units, and the splits of the units."""
        self._images, self._units, self._splits, self._operation = images, units, splits, operation
        config = self.config
        self._pooling = Pooling.of(
            mode=config.mode,
            pool=config.pool,
            top_k=config.top_k,
            positive=config.positive,
            classes=units.classes,
            target=config.target,
        )
        train = images.pixels[units.images_of(splits.rows(TRAIN))]
        self.normalization = choose_normalization(str(self.config.normalize), self.weights, train)

    def train_all(self) -> tuple[list[SeedOutcome], dict[int, npt.NDArray[np.float64]]]:
        """The outcome of each seed, and the probabilities of all units by seed; finished seeds are read."""
        outcomes, probabilities = [], {}
        for index, seed in enumerate(self.config.seed_list):
            stem = self._out / PROGRESS_FOLDER / f"seed-{seed}"
            done = self.peers.made_by_first(partial(SeedOutcome.load, stem)) or self._train_seed(index, stem)
            if done is not None:
                outcomes.append(done[0])
                probabilities[seed] = done[1]
        return outcomes, probabilities

    def _train_seed(self, index: int, stem: Path) -> tuple[SeedOutcome, npt.NDArray[np.float64]] | None:
        """The outcome of the seed; None in processes that only take part."""
        units, splits, seed = self._units, self._splits, self.config.seed_list[index]
        started = time.perf_counter()
        train = splits.rows(TRAIN)
        patients = [units.entries[row].patient for row in train]
        part = sample_part(
            units.strata[train], patients, fraction=self.config.fraction, seed=seed, leave_some=False
        )
        fit = self._finetune_seed if self.config.mode == "finetune" else self._probe_seed
        found = fit(train[part], splits.rows(splits.selection), index, stem)
        if found is None:
            return None
        head, probabilities, outcome = found
        save_head(head, self._out / FOLDER_NAME / outcome.head)
        seconds = outcome.seconds or time.perf_counter() - started
        outcome = SeedOutcome(**(vars(outcome) | {"seconds": round(seconds, 3)}))
        outcome.save(stem, probabilities)
        stem.with_suffix(".ckpt").unlink(missing_ok=True)
        return outcome, probabilities

    def _finetune_seed(
        self, train: Rows, select: Rows, index: int, stem: Path
    ) -> tuple[Head, npt.NDArray[np.float64], SeedOutcome] | None:
        config, seed = self.config, self.config.seed_list[index]
        network, units = self._network(seed), self._units
        data = TrainingSet(
            self._images.pixels,
            # Every image has its unit's label.
            units.labels[units.of_image],
            units.images_of(train),
            units.images_of(select),
            len(units.classes),
            None if self._pooling.pool is None else self._judge(select),
        )

        def report(epoch: Epoch) -> None:
            self._report("training", epoch.epoch, config.epochs or 0, "epochs", index, epoch.select_accuracy)

        self._report("training", 0, config.epochs or 0, "epochs", index)
        file = stem.with_suffix(".ckpt")
        training = self._training(
            network, data, config, seed, self.device, self._precision, file, report, self.peers
        )
        head = training.run()
        if not self.peers.is_first:
            return None
        features = self._features_of(network, data.pixels, index)
        best = training.history[training.best_epoch - 1]
        chosen = (
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
            facts={"best_epoch": training.best_epoch} | chosen | self._units_used(train),
            history=[asdict(epoch) for epoch in training.history],
        )
        return head, self._pooling.probabilities(head, features, units.bags), outcome

    def _judge(self, select: Rows) -> Callable[[npt.NDArray[np.float64]], tuple[float, float | None]]:
        """A function from what is predicted for images to the loss and accuracy of their units."""
        bags = renumbered([self._units.bags[unit] for unit in select])
        return lambda predicted: self._quality(self._pooling.scores(predicted, bags), select)

    def _quality(self, predicted: npt.NDArray[np.float64], units: Rows) -> tuple[float, float | None]:
        """Loss and accuracy of what is predicted for these units."""
        accuracy, loss = quality(predicted, self._units.labels[units])
        return loss, accuracy

    def _units_used(self, train: Rows) -> dict[str, int]:
        return {} if self._units.unit == "image" else {"units_used": len(train)}

    def _probe_seed(
        self, train: Rows, select: Rows, index: int, stem: Path
    ) -> tuple[Head, npt.NDArray[np.float64], SeedOutcome]:
        seed = self.config.seed_list[index]
        shared = self.weights is not None
        backbone = BACKBONE_NAME if shared else f"seed-{seed}/{BACKBONE_NAME}"
        if self._features is None or not shared:
            network = self._network(seed)
            self._features = self._frozen_features(network, None if shared else seed, index)
            self._save_backbone(network, backbone)
        features, units, pooling = self._features, self._units, self._pooling
        head, facts, history = self._probe(features, train, select, index)
        outcome = SeedOutcome(
            seed=seed,
            backbone=backbone,
            head=f"seed-{seed}/head.safetensors",
            images_used=sum(len(units.bags[unit]) for unit in train),
            seconds=0.0,
            facts=facts | self._units_used(train),
            history=history,
        )
        return head, pooling.probabilities(head, features, units.bags), outcome

    def _training(self, *inputs: Any) -> SeedTraining:
        return SeedTraining(*inputs)

    def _probe(
        self, features: npt.NDArray[np.float32], train: Rows, select: Rows, index: int
    ) -> tuple[Head, dict[str, Any], list[dict[str, Any]]]:
        """A classifier on frozen features, facts about its fit, and a row for each epoch."""
        probe, facts = fit_probe(
            features,
            self._units,
            train,
            select,
            self._pooling,
            self.config,
            seed=self.config.seed_list[index],
            device=self.device,
            progress=partial(self._report_epoch, index),
        )
        return probe.head, facts | {"select_accuracy": probe.accuracy}, probe.history

    def _frozen_features(self, network: GrayBackbone, drawn: int | None, index: int) -> npt.NDArray[np.float32]:
        """Features of all images, by a network with the file's weights or with a seed's random weights."""
        config = self.config
        decisive = {
            "weights": drawn if self.weights is None else self.weights.sha256,
            "backbone": self.backbone,
            "normalization": asdict(self.normalization),
            "transposed": config.transposed,
            # Batch size and device change the last bits.
            "batch": config.batch_size,
            "precision": self._precision,
            "device": self.device.type,
            "torch": torch.__version__,
        }
        if self._cache is None:
            folder = self._out / PROGRESS_FOLDER if config.features is None else Path(config.features)
            self._cache = FeatureCache(folder, self._images.pixels)
        return self._cache.of(decisive, lambda: self._features_of(network, self._images.pixels, index))

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
                f"{origin}: the network's features of {without:,} of {counted(len(found), 'image')} are not "
                "finite: its weights are too large"
            )
        return found

    def _save_backbone(self, network: GrayBackbone, name: str) -> str:
        facts = trained_facts(
            {} if self.weights is None else self.weights.metadata,
            mean=self.normalization.mean,
            std=self.normalization.std,
            side=self.config.side,
            intensity=self._images.intensity,
            channels=self._images.channels,
            finetuned=self.config.mode == "finetune",
        )
        metadata = facts | {"fit": self.config.fit}
        save_backbone(network.backbone, self._out / FOLDER_NAME / name, name=self.backbone, metadata=metadata)
        return name

    def _report_epoch(self, index: int, done: int, epochs: int, accuracy: float | None) -> None:
        self._report("training", done, epochs, "epochs", index, accuracy)

    def _report(
        self, stage: str, done: int, total: int, unit: str, index: int, accuracy: float | None = None
    ) -> None:
        part = f"seed {index + 1}/{len(self.config.seed_list)}"
        self._operation.report(stage, done, total, unit, part=part, accuracy=accuracy)
