"""Training for one seed, epoch by epoch; a killed training resumes from its last checkpoint."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ctprune.environment.precision import quick_gpu
from ctprune.finetuning.checkpoint import Checkpoint, State
from ctprune.finetuning.network import seeded
from ctprune.finetuning.recipe import joined_batches
from ctprune.finetuning.training import mean_loss, mixed, shuffled
from ctprune.networks.device import autocast
from ctprune.networks.gray_backbone import Pixels, on_device
from ctprune.pretraining.schedule import along_cosine
from ctprune.segmenting.config import SegmentConfig
from ctprune.segmenting.dice import count_voxels, measures_of
from ctprune.segmenting.loss import segmentation_loss
from ctprune.segmenting.network import Segmenter

_Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Epoch:
    """One line of the history: the mean loss, and the Dice on the selecting split at the network's size."""

    epoch: int
    train_loss: float
    select_dice: float
    seconds: float


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Squares and labels of all slices, and which of them train and select."""

    pixels: Pixels
    labels: npt.NDArray[np.uint8]
    train: npt.NDArray[np.int64]
    select: npt.NDArray[np.int64]


@dataclass(eq=False)
class SeedTraining:
    """The training of one seed. `run` leaves the network with the weights of the best epoch.

    Attributes:
        network: The network.
        history: The epochs that are done.
        best_epoch: Number of the first epoch with the best Dice on the selecting split, from 1; where that is
            never defined, the last one.
    """

    network: Segmenter
    data: TrainingSet
    config: SegmentConfig
    seed: int
    device: torch.device
    precision: str
    checkpoint: Path
    progress: Callable[[Epoch], None]
    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0

    def __post_init__(self) -> None:
        self.network.to(self.device)
        self._first_rate = self.config.learning_rate or 0.0
        self._optimizer = torch.optim.AdamW(
            [one for one in self.network.parameters() if one.requires_grad],
            lr=self._first_rate,
            weight_decay=self.config.weight_decay,
        )
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self._batches = joined_batches(len(self.data.train), self.config.batch_size)
        self._best: _Weights = {}
        self._checkpoint = Checkpoint(self.checkpoint)

    def run(self) -> None:
        """Train to the last epoch.

        Raises:
            WeightsError: The checkpoint is damaged.
            OutputError: A checkpoint cannot be written.
            TrainingError: The loss is not finite.
            KeyboardInterrupt: Ctrl-C; the last whole epoch is in the checkpoint.
        """
        self._checkpoint.restore(self._resume)
        epochs = self.config.epochs
        with self._checkpoint.saved_on_interrupt(), quick_gpu(self.device, mixed=self.precision != "32"):
            for number in range(len(self.history) + 1, epochs + 1):
                self._epoch(number)
                self._checkpoint.keep(self._state_now(), is_last=number == epochs)
                self.progress(self.history[-1])
        self.network.load_state_dict(self._best, strict=False)

    def _epoch(self, number: int) -> None:
        started = time.perf_counter()
        loss = self._train(number)
        dice = self._select_dice()
        self.history.append(Epoch(number, loss, dice, time.perf_counter() - started))
        before = self.history[self.best_epoch - 1].select_dice if self.best_epoch else math.nan
        if math.isnan(before) or dice > before:
            self.best_epoch = number
            self._best = self._trained()

    def _train(self, number: int) -> float:
        """One pass in an order that depends on seed and epoch alone; the mean loss."""
        self.network.train()
        order, flips = shuffled(self.data.train, self.seed, number)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        # Networks with dropout draw from torch's own generator.
        with seeded(mixed(self.seed, number)):
            for step, (start, stop) in enumerate(self._batches):
                self._set_rate((number - 1) * len(self._batches) + step)
                images = on_device(self.data.pixels[order[start:stop]], self.device)
                labels = on_device(self.data.labels[order[start:stop]], self.device).long()
                if self.config.flip:
                    chosen = flips[start:stop].to(self.device)[:, None, None]
                    images = torch.where(chosen, images.flip(-1), images)
                    labels = torch.where(chosen, labels.flip(-1), labels)
                total += self._step(images, labels).double() * (stop - start)
        return mean_loss(total, len(order), self.seed, number)

    def _set_rate(self, done: int) -> None:
        share = done / (self.config.epochs * len(self._batches))
        for group in self._optimizer.param_groups:
            group["lr"] = along_cosine(self._first_rate, 0.0, share)

    def _step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.precision):
            logits = self.network(images)
        loss = segmentation_loss(logits.float(), labels)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return loss.detach()

    def _select_dice(self) -> float:
        """Mean Dice of the classes over all pixels of the selecting split; nan where none is defined."""
        self.network.eval()
        rows, counts = self.data.select, None
        with torch.inference_mode(), autocast(self.device, self.precision):
            for start in range(0, len(rows), self.config.batch_size):
                batch = rows[start : start + self.config.batch_size]
                logits = self.network(on_device(self.data.pixels[batch], self.device))
                predicted = logits.argmax(1).to(torch.uint8).cpu().numpy()
                found = count_voxels(predicted, self.data.labels[batch], logits.shape[1] - 1)
                counts = found if counts is None else counts + found
        dice = measures_of(counts)["dice"] if counts is not None else np.array([np.nan])
        return float(np.nanmean(dice)) if not np.isnan(dice).all() else math.nan

    def _trained(self) -> _Weights:
        """Copies of the weights and statistics that training changes, so not those of a frozen backbone."""
        state = self.network.state_dict()
        return {
            name: tensor.detach().clone()
            for name, tensor in state.items()
            if not (self.network.frozen and name.startswith("encoder."))
        }

    def _state_now(self) -> State:
        """Copies of the state that the next epoch begins with: when Ctrl-C comes, the weights have changed."""
        return {
            "network": self._trained(),
            "optimizer": copy.deepcopy(self._optimizer.state_dict()),
            "scaler": self._scaler.state_dict(),
            "best": self._best,
            "best_epoch": self.best_epoch,
            "history": [list(vars(epoch).values()) for epoch in self.history],
        }

    def _resume(self, state: State) -> None:
        self.network.load_state_dict(self.network.state_dict() | state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self._best, self.best_epoch = state["best"], state["best_epoch"]
        self.history = [Epoch(*line) for line in state["history"]]
