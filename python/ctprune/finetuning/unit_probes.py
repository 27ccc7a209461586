"""A probe on the frozen features of units: its input and its judgment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ctprune.finetuning.attention_training import train_attention
from ctprune.finetuning.bags import Rows, Units, joined, renumbered
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.pooling import Pooling
from ctprune.finetuning.probes import FittedProbe, linear_probe, neighbor_probe
from ctprune.finetuning.votes import Features


def fit_probe(
    features: Features,
    units: Units,
    train: Rows,
    select: Rows,
    pooling: Pooling,
    config: FinetuneConfig,
    *,
    seed: int,
    device: torch.device,
    progress: Callable[[int, int, float | None], None],
) -> tuple[FittedProbe, dict[str, Any]]:
    """Fit a head to units.

    Args:
        features: Features of all images, float32 of shape (images, features).
        units: Units of the images.
        train: Units to train on.
        select: Units that choose the regularization or the epoch.
        pooling: How images become units.
        config: Options of the fine-tuning.
        seed: Seed of attention; the other heads are deterministic.
        device: Device that trains attention.
        progress: Function called with the number of epochs done and of all, and the accuracy.

    Returns:
        The probe, and facts about the fit.
    """
    classes, weighted = len(units.classes), bool(config.class_weights)
    if pooling.pool == "attention":
        probe = train_attention(
            features, units, train, select, weigh_classes=weighted, seed=seed, device=device, progress=progress
        )
        return probe, {"best_epoch": probe.best_epoch}
    inputs, parts = pooling.inputs(features, units.bags)
    rows = joined([parts[unit] for unit in train])
    # Every image has its unit's label.
    labels = np.repeat(units.labels[train], [len(parts[unit]) for unit in train])
    chosen = [parts[unit] for unit in select]
    judged, together = (inputs[joined(chosen)], units.labels[select]), renumbered(chosen)

    def pool(probabilities: Any) -> Any:
        return pooling.scores(probabilities, together)

    if config.mode == "linear":
        probe = linear_probe((inputs[rows], labels), judged, classes=classes, class_weights=weighted, pool=pool)
        return probe, {"strength": probe.strength, "converged": probe.converged}
    neighbors = config.neighbors or 1
    probe = neighbor_probe((inputs[rows], labels), judged, classes=classes, neighbors=neighbors, pool=pool)
    return probe, {"neighbors": min(neighbors, len(rows))}
