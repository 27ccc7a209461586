"""Training of all weights for one seed, epoch by epoch; a killed training resumes from its last checkpoint."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy

from ctprune.environment.precision import quick_gpu
from ctprune.errors import TrainingError
from ctprune.finetuning.augmentation import Augmentation
from ctprune.finetuning.checkpoint import Checkpoint, State
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.course_options import PLAIN, augmented_view
from ctprune.finetuning.heads import Head, LinearHead
from ctprune.finetuning.network import seeded
from ctprune.finetuning.peers import Peers
from ctprune.finetuning.recipe import recipe_of
from ctprune.networks.device import autocast
from ctprune.networks.gray_backbone import GrayBackbone, Pixels, on_device

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Epoch:
    """One line of the history: losses and accuracies are means over images (in the selecting split, over units).

    Only classes have an accuracy.
    """

    epoch: int
    frozen: bool
    train_loss: float
    select_loss: float
    select_accuracy: float | None
    seconds: float


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Images of a training: the pixels of all, their labels, and the rows that train and that select.

    Attributes:
        judge: Function from the probabilities of the selecting images, float64 of shape (images, classes), to the
            log loss of their units and, for classes, their accuracy; None if each image is a unit.
    """

    pixels: Pixels
    labels: npt.NDArray[np.int64]
    train: Rows
    select: Rows
    classes: int
    judge: Callable[[npt.NDArray[np.float64]], tuple[float, float | None]] | None = None


@dataclass(eq=False)
class SeedTraining:
    """The training of one seed. `run` leaves the network and head with the weights of the best epoch.

    Attributes:
        network: The backbone.
        head: The linear layer.
        peers: The processes that train together; the first one saves.
        history: The epochs that are done.
        best_epoch: Number of the epoch with the best accuracy on the selecting split, from 1; the recipe decides
            between equals.
    """

    network: GrayBackbone
    data: TrainingSet
    config: FinetuneConfig
    seed: int
    device: torch.device
    precision: str
    checkpoint: Path
    progress: Callable[[Epoch], None]
    peers: Peers = field(default_factory=Peers)
    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0

    def __post_init__(self) -> None:
        with seeded(self.seed):
            self.head = self._new_head()
        self.network = self.peers.with_batchnorm(self.network).to(self.device)
        self.head.to(self.device)
        self._optimizer = torch.optim.Adam(
            [*self.network.parameters(), *self.head.parameters()],
            lr=self.config.learning_rate or 0.0,
            weight_decay=self.config.weight_decay or 0.0,
        )
        self._recipe = recipe_of(self.config)
        view = augmented_view(self.config.augment or PLAIN, self.config.side)
        self._augment = None if view is None else Augmentation(view)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self._weight = self._class_weights()
        self._best: dict[str, dict[str, torch.Tensor]] = {}
        self._checkpoint = Checkpoint(self.checkpoint)

    def run(self) -> Head:
        """Train to the last epoch; returns the head of the best one.

        Raises:
            WeightsError: The checkpoint is damaged.
            OutputError: A checkpoint cannot be written.
            TrainingError: The loss is not finite, or there are more devices than pairs of images.
            KeyboardInterrupt: Ctrl-C; the last whole epoch is in the checkpoint.
        """
        least = 2 * self.peers.count
        if self.peers.count > 1 and len(self.data.train) < least:
            raise TrainingError(
                f"{len(self.data.train)} training images: expected at least {least}, two for each of "
                f"{self.peers.count} devices"
            )
        for state in self.peers.made_by_first(self._saved):
            if not self.peers.is_first:
                self._resume(state)
        epochs = self.config.epochs or 0
        with self._checkpoint.saved_on_interrupt(), quick_gpu(self.device, mixed=self.precision != "32"):
            for number in range(len(self.history) + 1, epochs + 1):
                self._epoch(number)
                if self.peers.is_first:
                    self._checkpoint.keep(self._state_now(), is_last=number == epochs)
        self.network.load_state_dict(self._best["network"])
        self.head.load_state_dict(self._best["head"])
        return self._trained_head()

    def _saved(self) -> list[State]:
        """The state of an earlier session, if there is any; this process has resumed from it."""
        found: list[State] = []

        def take(state: State) -> None:
            self._resume(state)
            found.append(state)

        self._checkpoint.restore(take)
        return found

    def _new_head(self) -> torch.nn.Module:
        return torch.nn.Linear(self.network.num_features, self.data.classes)

    def _trained_head(self) -> Head:
        weight, bias = (tensor.detach().float().cpu().numpy() for tensor in self.head.parameters())
        return LinearHead(weight, bias)

    def _epoch(self, number: int) -> None:
        started = time.perf_counter()
        frozen = number <= (self.config.frozen_epochs or 0)
        loss = self._train(number)
        # In every process, so that no process waits longer for another than for a step.
        select_loss, accuracy = self._evaluate()
        seconds = time.perf_counter() - started
        epoch = Epoch(number, frozen, loss, select_loss, accuracy, seconds)
        best = self.history[self.best_epoch - 1] if self.best_epoch else None
        self.history.append(epoch)
        # Without an accuracy, all epochs tie in it, and the loss decides.
        if best is None or self._recipe.is_better(
            accuracy or 0.0, select_loss, (best.select_accuracy or 0.0, best.select_loss)
        ):
            self.best_epoch = number
            self._best = {"network": _copy(self.network), "head": _copy(self.head)}
        self.progress(epoch)

    def _train(self, number: int) -> float:
        """One pass in an order that depends on seed and epoch alone; the mean loss."""
        self._recipe.begin(number, self.network)
        order, flips = shuffled(self.data.train, self.seed, number)
        batches = self._recipe.batches(len(order), self.config.batch_size, self.peers.count)
        augment, side = self._augment, self.config.side
        plan = None if augment is None else augment.plan(len(order), side, self.seed, number)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        # Networks with dropout draw from torch's own generator.
        with seeded(mixed(self.seed, number) + self.peers.rank):
            for step, whole in enumerate(batches):
                self._set_rate(self._recipe.rate(number, step, len(batches)))
                start, stop = self.peers.part(*whole)
                images = on_device(self.data.pixels[order[start:stop]], self.device)
                if self.config.flip:
                    chosen = flips[start:stop].to(self.device).reshape(-1, *(1 for _ in images.shape[1:]))
                    images = torch.where(chosen, images.flip(-1), images)
                if augment is not None and plan is not None:
                    images = augment(images, plan, start, stop)
                rows = order[start:stop]
                share = self._share(rows, order[slice(*whole)])
                total += self._step(images, rows, number, share).double() * (whole[1] - whole[0])
        return mean_loss(self.peers.add_up(total), len(order), self.seed, number)

    def _set_rate(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def _share(self, rows: Rows, whole: Rows) -> float:
        """The weight of the mean loss of some images in the mean loss of the whole batch."""
        if self._weight is None or len(rows) == len(whole):
            return len(rows) / len(whole)
        weights = self._weight.double().cpu().numpy()
        return float(weights[self.data.labels[rows]].sum() / weights[self.data.labels[whole]].sum())

    def _step(self, images: torch.Tensor, rows: Rows, epoch: int, share: float) -> torch.Tensor:
        """Train on this process's images of a batch; their share of the loss."""
        self._optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.precision):
            with torch.set_grad_enabled(self._recipe.reaches_backbone(epoch)):
                features = self.network(images)
            loss = self._loss(self.head(features).float(), rows) * share
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.peers.add_up_gradients([*self.network.parameters(), *self.head.parameters()])
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return loss.detach()

    def _loss(self, outputs: torch.Tensor, rows: Rows) -> torch.Tensor:
        """The mean over images, weighted by class if `class_weights` is set."""
        labels = torch.from_numpy(self.data.labels[rows]).to(self.device)
        return cross_entropy(outputs, labels, weight=self._weight)

    def _evaluate(self) -> tuple[float, float | None]:
        """Mean loss and accuracy on the selecting split."""
        self.network.eval()
        rows, loss, right = self.data.select, 0.0, 0
        probabilities: list[npt.NDArray[np.float64]] = []
        with torch.inference_mode(), autocast(self.device, self.precision):
            for start in range(0, len(rows), self.config.batch_size):
                batch = rows[start : start + self.config.batch_size]
                logits = self.head(self.network(on_device(self.data.pixels[batch], self.device))).float()
                labels = torch.from_numpy(self.data.labels[batch]).to(self.device)
                loss += float(cross_entropy(logits, labels, reduction="sum"))
                right += int((logits.argmax(1) == labels).sum())
                if self.data.judge is not None:
                    probabilities.append(logits.double().softmax(1).cpu().numpy())
        if self.data.judge is not None:
            return self.data.judge(np.concatenate(probabilities))
        return loss / len(rows), right / len(rows)

    def _class_weights(self) -> torch.Tensor | None:
        if not self.config.class_weights:
            return None
        return class_weights(self.data.labels[self.data.train], self.data.classes, self.device)

    def _state_now(self) -> State:
        """Copies of the state that the next epoch begins with: when Ctrl-C comes, the weights have changed."""
        return {
            "network": _copy(self.network),
            "head": _copy(self.head),
            "optimizer": copy.deepcopy(self._optimizer.state_dict()),
            "scaler": self._scaler.state_dict(),
            "best": self._best,
            "best_epoch": self.best_epoch,
            "history": [list(vars(epoch).values()) for epoch in self.history],
        }

    def _resume(self, state: State) -> None:
        self.network.load_state_dict(state["network"])
        self.head.load_state_dict(state["head"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self._best, self.best_epoch = state["best"], state["best_epoch"]
        self.history = [Epoch(*line) for line in state["history"]]


def mixed(seed: int, epoch: int) -> int:
    """One number for both, the same everywhere."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def class_weights(labels: Rows, classes: int, device: torch.device) -> torch.Tensor:
    """Weight of each class, float32 of shape (classes,): its inverse frequency, 1 if all are equally frequent.

    >>> class_weights(np.array([0, 0, 0, 1]), 2, torch.device("cpu"))
    tensor([0.6667, 2.0000])
    """
    counts = np.bincount(labels, minlength=classes)
    return torch.tensor(len(labels) / (classes * counts), dtype=torch.float32, device=device)


def shuffled(train: Rows, seed: int, epoch: int) -> tuple[Rows, torch.Tensor]:
    """The training rows in this epoch's order, and which of them a flip applies to, bool."""
    generator = torch.Generator().manual_seed(mixed(seed, epoch))
    order = train[torch.randperm(len(train), generator=generator).numpy()]
    return order, torch.rand(len(order), generator=generator) < 0.5


def mean_loss(total: torch.Tensor, count: int, seed: int, epoch: int) -> float:
    """The mean from the sum over `count` images.

    Raises:
        TrainingError: It is not finite.
    """
    if not torch.isfinite(total):
        raise TrainingError(
            f"seed {seed}, epoch {epoch}: the loss is not finite: try a smaller `learning_rate`, or `precision` 32"
        )
    return float(total) / count


def _copy(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
