"""Training of gated attention on frozen features: a fixed recipe, the same result for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy

from ctprune.errors import TrainingError
from ctprune.finetuning.attention import Attention, AttentionHead
from ctprune.finetuning.bags import Bags, Rows, Units, joined
from ctprune.finetuning.network import seeded
from ctprune.finetuning.probes import FittedProbe, quality, standard
from ctprune.finetuning.training import class_weights, mixed
from ctprune.finetuning.votes import Features

#: The recipe: Adam, its decay added to the gradient.
LEARNING_RATE, WEIGHT_DECAY = 5e-4, 1e-4

#: Units per step, passes over the units, width of the attention.
UNITS_PER_STEP, EPOCHS, HIDDEN = 16, 100, 128

#: Function called with the number of epochs done and of all, and the accuracy if there is one.
Report = Callable[[int, int, float | None], None]


class GatedAttention(torch.nn.Module):
    """The computation of `AttentionHead` on standardized features, for many units at a time.

    Args:
        features: Number of features of an image.
        layer: Makes what follows attention, from the number of features.
        hidden: Width of the attention.
    """

    def __init__(self, features: int, layer: Callable[[int], torch.nn.Module], hidden: int = HIDDEN) -> None:
        super().__init__()
        self.content = torch.nn.Linear(features, hidden)
        self.gate = torch.nn.Linear(features, hidden)
        # A bias would add the same to all scores of a unit, which changes no weight.
        self.attention = torch.nn.Linear(hidden, 1, bias=False)
        self.layer = layer(features)

    def forward(self, images: torch.Tensor, sizes: list[int]) -> torch.Tensor:
        """Outputs of the layer for units, float of shape (units, outputs).

        Units may have any number of images. None is padded, so no unit depends on the others in a step.

        Args:
            images: Standardized features of all images, unit by unit, float of shape (images, features).
            sizes: Number of images of each unit.
        """
        outputs: torch.Tensor = self.layer(self.pooled(images, sizes))
        return outputs

    def pooled(self, images: torch.Tensor, sizes: list[int]) -> torch.Tensor:
        """What the layer gets, float of shape (units, features); arguments as for `forward`."""
        gated = torch.tanh(self.content(images)) * torch.sigmoid(self.gate(images))
        scores = self.attention(gated).squeeze(-1)
        parts = zip(torch.split(scores, sizes), torch.split(images, sizes), strict=True)
        return torch.stack([torch.softmax(score, dim=0) @ part for score, part in parts])


class Task(Protocol):
    """What attention learns of units."""

    def new(self, features: int) -> torch.nn.Module:
        """The layer after attention."""

    def loss(self, outputs: torch.Tensor, units: Rows) -> torch.Tensor:
        """The mean loss of the layer's outputs for these units."""

    def quality(self, layer: torch.nn.Module, pooled: torch.Tensor, units: Rows) -> tuple[float, float | None]:
        """Loss and, for classes, accuracy of these units, from what the layer gets."""

    def head(self, layer: torch.nn.Module, pooling: dict[str, Any]) -> Attention:
        """A head with the weights of the layer and those of the pooling."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """Attention of the best epoch.

    Attributes:
        head: The predictor.
        loss: Loss on the selecting units.
        accuracy: Accuracy on the selecting units; None where there are no classes.
        best_epoch: Number of the epoch, from 1.
        history: A row for each epoch.
    """

    head: Attention
    loss: float
    accuracy: float | None
    best_epoch: int
    history: list[dict[str, Any]]


def fit_attention(
    features: Features,
    units: Units,
    train: Rows,
    select: Rows,
    task: Task,
    *,
    seed: int,
    device: torch.device,
    progress: Report,
    epochs: int = EPOCHS,
) -> Fitted:
    """Gated attention of the epoch with the best accuracy on the selecting units, then the smallest loss.

    Args:
        features: Features of all images, float32 of shape (images, features).
        units: Units of the images.
        train: Units to train on.
        select: Units that choose the epoch.
        task: What is learned of the units.
        seed: Seed of the initial weights and of the order.
        device: Where to train.
        progress: Told about each epoch.
        epochs: Number of epochs.

    Raises:
        TrainingError: The loss is not finite.
    """
    mean, scale = standard(features[units.images_of(train)])
    # Not in `quick_gpu`: there are no convolutions, and the head that predicts computes in full precision, too.
    with seeded(seed):
        network = GatedAttention(features.shape[1], task.new).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    bags = [units.bags[unit] for unit in train]
    chosen = [units.bags[unit] for unit in select]

    def inputs_of(some: Bags) -> tuple[torch.Tensor, list[int]]:
        images = ((features[joined(some)] - mean) / scale).astype(np.float32)
        return torch.from_numpy(images).to(device), [len(rows) for rows in some]

    best: tuple[tuple[float, float], Fitted] | None = None
    history: list[dict[str, Any]] = []
    progress(0, epochs, None)
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(mixed(seed, epoch))).numpy()
        total = 0.0
        for start in range(0, len(order), UNITS_PER_STEP):
            step = order[start : start + UNITS_PER_STEP]
            loss = task.loss(network(*inputs_of([bags[index] for index in step])), train[step])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(step)
        if not np.isfinite(total):
            raise TrainingError(f"seed {seed}, epoch {epoch}: the loss of attention is not finite")
        with torch.inference_mode():
            steps = range(0, len(chosen), UNITS_PER_STEP)
            parts = [network.pooled(*inputs_of(chosen[start : start + UNITS_PER_STEP])) for start in steps]
            select_loss, accuracy = task.quality(network.layer, torch.cat(parts), select)
        history.append(
            {
                "epoch": epoch,
                "train_loss": total / len(train),
                "select_loss": select_loss,
                "select_accuracy": accuracy,
            }
        )
        rank = -(accuracy or 0.0), select_loss
        if best is None or rank < best[0]:
            head = task.head(network.layer, _pooling(network, mean, scale))
            best = rank, Fitted(head, select_loss, accuracy, epoch, history)
        progress(epoch, epochs, accuracy)
    assert best is not None
    return best[1]


def train_attention(
    features: Features,
    units: Units,
    train: Rows,
    select: Rows,
    *,
    weigh_classes: bool,
    seed: int,
    device: torch.device,
    progress: Report,
    epochs: int = EPOCHS,
) -> FittedProbe:
    """Gated attention for classes, see `fit_attention`.

    With `weigh_classes`, classes are weighted by their inverse frequency among the units.
    """
    weight = class_weights(units.labels[train], len(units.classes), device) if weigh_classes else None
    task = _Classes(units.labels, len(units.classes), weight)
    found = fit_attention(
        features, units, train, select, task, seed=seed, device=device, progress=progress, epochs=epochs
    )
    assert found.accuracy is not None
    return FittedProbe(found.head, None, found.accuracy, best_epoch=found.best_epoch, history=found.history)


@dataclass(frozen=True, eq=False)
class _Classes:
    """Cross-entropy of classes; see `Task`."""

    labels: npt.NDArray[np.int64]
    classes: int
    weight: torch.Tensor | None

    def new(self, features: int) -> torch.nn.Module:
        return torch.nn.Linear(features, self.classes)

    def loss(self, outputs: torch.Tensor, units: Rows) -> torch.Tensor:
        labels = torch.from_numpy(self.labels[units]).to(outputs.device)
        return cross_entropy(outputs, labels, weight=self.weight)

    def quality(self, layer: torch.nn.Module, pooled: torch.Tensor, units: Rows) -> tuple[float, float | None]:
        probabilities = layer(pooled).softmax(1).cpu().numpy().astype(np.float64)
        accuracy, loss = quality(probabilities, self.labels[units])
        return loss, accuracy

    def head(self, layer: torch.nn.Module, pooling: dict[str, Any]) -> Attention:
        weight, bias = (tensor.detach().cpu().numpy().copy() for tensor in layer.parameters())
        return AttentionHead(class_weight=weight, class_bias=bias, **pooling)


def _pooling(
    network: GatedAttention, mean: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]
) -> dict[str, Any]:
    """The weights of the pooling as they are now, for a head that needs no torch."""
    found = {name: tensor.detach().cpu().numpy().copy() for name, tensor in network.state_dict().items()}
    return {
        "mean": mean,
        "scale": scale,
        "content_weight": found["content.weight"],
        "content_bias": found["content.bias"],
        "gate_weight": found["gate.weight"],
        "gate_bias": found["gate.bias"],
        "attention": found["attention.weight"][0],
    }
