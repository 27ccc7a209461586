"""Training of each seed for other targets than classes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.progress import Operation
from ctprune.errors import TaskError
from ctprune.finetuning.attention_training import fit_attention
from ctprune.finetuning.bags import Rows, Units
from ctprune.finetuning.heads import Head
from ctprune.finetuning.images import LabeledImages
from ctprune.finetuning.probes import Pool, neighbor_probe, standard
from ctprune.finetuning.seeds import SeedTrainer
from ctprune.finetuning.splits import Splits
from ctprune.finetuning.target_attention import TargetTask
from ctprune.finetuning.target_balance import balanced
from ctprune.finetuning.target_layers import layer_of
from ctprune.finetuning.target_probes import (
    FittedTarget,
    label_probe,
    level_loss,
    level_probe,
    neighbor_mean_probe,
    ridge_probe,
    target_loss,
)
from ctprune.finetuning.target_training import TargetTraining
from ctprune.finetuning.training import SeedTraining
from ctprune.finetuning.unit_probes import probe_parts
from ctprune.finetuning.votes import Features
from ctprune.options.shared import ORDINAL, REGRESSION
from ctprune.tasks.listing import TRAIN
from ctprune.tasks.targets import targets_of

_Part = tuple[Features, npt.NDArray[np.float64]]


class TargetTrainer(SeedTrainer):
    """The seeds of one fine-tuning for another target than classes."""

    def prepare(self, images: LabeledImages, units: Units, splits: Splits, operation: Operation) -> None:
        """Take the images to train on, their units, and the targets of the units."""
        super().prepare(images, units, splits, operation)
        self._targets = targets_of(units.entries, units.target, units.class_names)
        self._outputs = len(units.class_names) or 1
        self._spread = standard(self._targets[splits.rows(TRAIN)])[1]
        # How much units count where they choose the epoch, by the units that a seed is trained on.
        self._balance: npt.NDArray[np.float64] | None = None

    def _training(self, *inputs: Any) -> SeedTraining:
        # Every image has its unit's target.
        of_image = self._units.of_image
        if self.config.class_weights:
            train = np.unique(of_image[inputs[1].train])
            self._balance = balanced(self._targets, self._targets[train])
        return TargetTraining(*inputs, targets=self._targets[of_image], outputs=self._outputs)

    def _quality(self, predicted: npt.NDArray[np.float64], units: Rows) -> tuple[float, float | None]:
        balance = None if self._balance is None else self._balance[units]
        return target_loss(self.config.target, predicted, self._targets[units], self._spread, balance), None

    def _probe(
        self, features: Features, train: Rows, select: Rows, index: int
    ) -> tuple[Head, dict[str, Any], list[dict[str, Any]]]:
        """A predictor on frozen features, facts about its fit, and a row for each epoch."""
        if self._pooling.pool == "attention":
            return self._attention(features, train, select, index)
        parts = probe_parts(features, self._units, self._targets, train, select, self._pooling)
        if self.config.mode == "knn":
            found = self._neighbors(*parts)
            facts: dict[str, Any] = {"neighbors": min(self.config.neighbors or 1, len(parts[0][0]))}
        else:
            found = self._regression(*parts)
            facts = {"strength": found.strength, "converged": found.converged}
        return found.head, facts | {"select_loss": found.loss}, []

    def _attention(
        self, features: Features, train: Rows, select: Rows, index: int
    ) -> tuple[Head, dict[str, Any], list[dict[str, Any]]]:
        target = self.config.target
        layer = layer_of(target, self._targets, self._outputs, train, weigh=bool(self.config.class_weights))
        found = fit_attention(
            features,
            self._units,
            train,
            select,
            TargetTask(target, self._targets, layer, self._spread),
            seed=self.config.seed_list[index],
            device=self.device,
            progress=partial(self._report_epoch, index),
        )
        return found.head, {"best_epoch": found.best_epoch, "select_loss": found.loss}, found.history

    def _neighbors(self, train: _Part, select: _Part, pool: Pool) -> FittedTarget:
        neighbors = self.config.neighbors or 1
        if self.config.target != ORDINAL:
            numbers = self.config.target == REGRESSION
            return neighbor_mean_probe(train, select, neighbors=neighbors, numbers=numbers, pool=pool)
        levels = [(part[0], part[1][:, 0].astype(np.int64)) for part in (train, select)]
        head = neighbor_probe(levels[0], levels[1], classes=self._outputs, neighbors=neighbors).head
        return FittedTarget(head, None, level_loss(head.probabilities(select[0]), select[1]))

    def _regression(self, train: _Part, select: _Part, pool: Pool) -> FittedTarget:
        if self.config.target == REGRESSION:
            return ridge_probe(train, select)
        weigh = bool(self.config.class_weights)
        if self.config.target == ORDINAL:
            return level_probe(train, select, levels=self._outputs, weigh=weigh)
        for name, column in zip(self._images.class_names, train[1].T, strict=True):
            if len(np.unique(column)) < 2:
                raise TaskError(
                    f"label {name}: `fraction` {self.config.fraction:g} leaves only {self._units.unit}s "
                    f"{'with' if column[0] else 'without'} it to train on: give a larger one"
                )
        return label_probe(train, select, weigh=weigh, pool=pool)
