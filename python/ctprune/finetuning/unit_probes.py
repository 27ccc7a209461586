"""A probe on the frozen features of units: its input and its judgment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from ctprune.finetuning.attention_training import train_attention
from ctprune.finetuning.bags import Rows, Units, joined, renumbered
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.pooling import Pooling
from ctprune.finetuning.probes import FittedProbe, Pool, linear_probe, neighbor_probe
from ctprune.finetuning.votes import Features

#: Indices of classes, or targets.
_Truth = TypeVar("_Truth", npt.NDArray[np.int64], npt.NDArray[np.float64])


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
    # Every image has its unit's label.
    known, judged, pool = probe_parts(features, units, units.labels, train, select, pooling)
    if config.mode == "linear":
        probe = linear_probe(known, judged, classes=classes, class_weights=weighted, pool=pool)
        return probe, {"strength": probe.strength, "converged": probe.converged}
    neighbors = config.neighbors or 1
    probe = neighbor_probe(known, judged, classes=classes, neighbors=neighbors, pool=pool)
    return probe, {"neighbors": min(neighbors, len(known[0]))}


def probe_parts(
    features: Features, units: Units, truth: _Truth, train: Rows, select: Rows, pooling: Pooling
) -> tuple[tuple[Features, _Truth], tuple[Features, _Truth], Pool]:
    """What a probe on frozen features is fitted to, and what it is judged by.

    Args:
        features: Features of all images, float32 of shape (images, features).
        units: Units of the images.
        truth: What is true of each unit, of shape (units, …).
        train: Units to train on.
        select: Units that choose.
        pooling: How images become units.

    Returns:
        Input and truth of training, row by row; input of the selecting units and the truth of each of these units;
        and what turns predictions for that input into those of these units.
    """
    inputs, parts = pooling.inputs(features, units.bags)
    known, chosen = [parts[unit] for unit in train], [parts[unit] for unit in select]
    repeated = np.repeat(truth[train], [len(rows) for rows in known], axis=0)
    together = renumbered(chosen)
    return (
        (inputs[joined(known)], repeated),
        (inputs[joined(chosen)], truth[select]),
        lambda predicted: pooling.scores(predicted, together),
    )
