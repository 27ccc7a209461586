"""Training of gated attention on frozen features: a fixed recipe, the same result for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy

from ctprune.errors import TrainingError
from ctprune.finetuning.attention import AttentionHead
from ctprune.finetuning.bags import Bags, Rows, Units, joined
from ctprune.finetuning.network import seeded
from ctprune.finetuning.probes import FittedProbe, quality, standard
from ctprune.finetuning.training import class_weights, mixed
from ctprune.finetuning.votes import Features

#: The recipe: Adam, its decay added to the gradient.
LEARNING_RATE, WEIGHT_DECAY = 5e-4, 1e-4

#: Units per step, passes over the units, width of the attention.
UNITS_PER_STEP, EPOCHS, HIDDEN = 16, 100, 128

_Floats = npt.NDArray[np.float64]


class GatedAttention(torch.nn.Module):
    """The computation of `AttentionHead` on standardized features, for many units at a time.

    Args:
        features: Number of features of an image.
        classes: Number of classes.
        hidden: Width of the attention.
    """

    def __init__(self, features: int, classes: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.content = torch.nn.Linear(features, hidden)
        self.gate = torch.nn.Linear(features, hidden)
        # A bias would add the same to all scores of a unit, which changes no weight.
        self.attention = torch.nn.Linear(hidden, 1, bias=False)
        self.classify = torch.nn.Linear(features, classes)

    def forward(self, images: torch.Tensor, sizes: list[int]) -> torch.Tensor:
        """Logits of units, float of shape (units, classes).

        Units may have any number of images. None is padded, so no unit depends on the others in a step.

        Args:
            images: Standardized features of all images, unit by unit, float of shape (images, features).
            sizes: Number of images of each unit.
        """
        gated = torch.tanh(self.content(images)) * torch.sigmoid(self.gate(images))
        scores = self.attention(gated).squeeze(-1)
        parts = zip(torch.split(scores, sizes), torch.split(images, sizes), strict=True)
        pooled = torch.stack([torch.softmax(score, dim=0) @ part for score, part in parts])
        logits: torch.Tensor = self.classify(pooled)
        return logits


def train_attention(
    features: Features,
    units: Units,
    train: Rows,
    select: Rows,
    *,
    weigh_classes: bool,
    seed: int,
    device: torch.device,
    progress: Callable[[int, int, float | None], None],
    epochs: int = EPOCHS,
) -> FittedProbe:
    """Gated attention of the epoch with the best accuracy on the selecting units, then the smallest log loss.

    Args:
        features: Features of all images, float32 of shape (images, features).
        units: Units of the images.
        train: Units to train on.
        select: Units that choose the epoch.
        weigh_classes: Whether to weight classes by their inverse frequency among the units.
        seed: Seed of the initial weights and of the order.
        device: Where to train.
        progress: Function called with the number of epochs done and of all, and the accuracy.
        epochs: Number of epochs.

    Raises:
        TrainingError: The loss is not finite.
    """
    classes, width = len(units.classes), features.shape[1]
    known = features[units.images_of(train)]
    mean, scale = standard(known)
    with seeded(seed):
        network = GatedAttention(width, classes).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    weight = class_weights(units.labels[train], classes, device) if weigh_classes else None
    bags = [units.bags[unit] for unit in train]
    chosen = [units.bags[unit] for unit in select]

    def logits_of(some: Bags) -> torch.Tensor:
        images = ((features[joined(some)] - mean) / scale).astype(np.float32)
        logits: torch.Tensor = network(torch.from_numpy(images).to(device), [len(rows) for rows in some])
        return logits

    best: tuple[tuple[float, float], AttentionHead, int] | None = None
    history: list[dict[str, Any]] = []
    progress(0, epochs, None)
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(mixed(seed, epoch))).numpy()
        total = 0.0
        for start in range(0, len(order), UNITS_PER_STEP):
            step = order[start : start + UNITS_PER_STEP]
            labels = torch.from_numpy(units.labels[train[step]]).to(device)
            loss = cross_entropy(logits_of([bags[index] for index in step]), labels, weight=weight)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(step)
        if not np.isfinite(total):
            raise TrainingError(f"seed {seed}, epoch {epoch}: the loss of attention is not finite")
        with torch.inference_mode():
            steps = range(0, len(chosen), UNITS_PER_STEP)
            parts = [logits_of(chosen[start : start + UNITS_PER_STEP]).softmax(1).cpu().numpy() for start in steps]
        accuracy, select_loss = quality(np.concatenate(parts).astype(np.float64), units.labels[select])
        history.append(
            {
                "epoch": epoch,
                "train_loss": total / len(train),
                "select_loss": select_loss,
                "select_accuracy": accuracy,
            }
        )
        if best is None or (-accuracy, select_loss) < best[0]:
            best = ((-accuracy, select_loss), _head(network, mean, scale), epoch)
        progress(epoch, epochs, accuracy)
    assert best is not None
    return FittedProbe(best[1], None, -best[0][0], best_epoch=best[2], history=history)


def _head(network: GatedAttention, mean: _Floats, scale: _Floats) -> AttentionHead:
    """The network's weights as they are now, in a head that needs no torch."""
    found = {name: tensor.detach().cpu().numpy().copy() for name, tensor in network.state_dict().items()}
    return AttentionHead(
        mean=mean,
        scale=scale,
        content_weight=found["content.weight"],
        content_bias=found["content.bias"],
        gate_weight=found["gate.weight"],
        gate_bias=found["gate.bias"],
        attention=found["attention.weight"][0],
        class_weight=found["classify.weight"],
        class_bias=found["classify.bias"],
    )
