"""Training of each seed for other targets than classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.progress import Operation
from ctprune.finetuning.heads import Head
from ctprune.finetuning.images import LabeledImages
from ctprune.finetuning.seeds import SeedTrainer
from ctprune.finetuning.splits import Splits
from ctprune.finetuning.target_probes import neighbor_mean_probe, ridge_probe
from ctprune.finetuning.target_training import NumberTraining
from ctprune.finetuning.training import SeedTraining, TrainingSet
from ctprune.tasks.targets import targets_of


class TargetTrainer(SeedTrainer):
    """The seeds of one fine-tuning whose labels are numbers."""

    def prepare(self, images: LabeledImages, splits: Splits, operation: Operation) -> None:
        """Take the images to train on, and what is known of them."""
        super().prepare(images, splits, operation)
        self._targets = targets_of(images.entries, images.target)

    def _training(self, *inputs: Any) -> SeedTraining:
        return NumberTraining(*inputs, targets=self._targets)

    def _probe(self, features: npt.NDArray[np.float32], data: TrainingSet) -> tuple[Head, dict[str, Any]]:
        """A predictor on frozen features, and facts about its fit."""
        train = features[data.train], self._targets[data.train]
        select = features[data.select], self._targets[data.select]
        if self.config.mode == "knn":
            found = neighbor_mean_probe(train, select, neighbors=self.config.neighbors or 1)
            return found.head, {"select_loss": found.loss}
        found = ridge_probe(train, select)
        return found.head, {"strength": found.strength, "converged": found.converged, "select_loss": found.loss}
