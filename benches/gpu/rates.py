"""Slices per second of a pre-training: the model alone, with ctprune's input, its input alone, the usual way.

One training is fed in turn by each, A B C A B C …, until the time is over. Each measurement is written at once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightly.transforms.dino_transform import DINOTransform

from benches.gpu.box import Box, cores
from benches.gpu.pack import unpack_series
from benches.gpu.stage_times import StageTimes
from benches.gpu.utilization import Utilization
from benches.throughput import Scale, UnsavedLoop, check_views, create_training, epoch_of_views, packed_store
from benches.training_inputs import (
    AsTheyAre,
    LoaderBatches,
    Pictures,
    ResidentBatches,
    TrainingInput,
    lightly_transform,
    repeated,
    write_pictures,
)
from ctprune.pretraining.batches import StoreBatches
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.views import BatchViews, normalization

#: Seconds that a measurement should take, and the rounds that are enough.
_LONG_ENOUGH, _ROUNDS = 6.0, 5

#: Steps at the beginning of a measurement that are not counted.
_SKIPPED = 3

#: Steps whose stages are timed.
_STAGED = 12

#: The goals: with the input, of the model alone; times the usual way.
GOALS = (0.97, 5.0)


def swav(box: Box) -> None:
    """ResNet-50, 2 × 224 + 6 × 96, batch 128, LARS, bf16."""
    options = {"backbone": "test_resnet"} if box.tiny else {}
    _measure(box, PretrainConfig.resolve(options | _tiny(box), preset_name="smoke" if box.tiny else "paper"))


def vit(box: Box) -> None:
    """ViT-S/16 by DINO, likewise, AdamW."""
    options = {"method": "dino", "backbone": "test_vit" if box.tiny else "vit_small_patch16_224"}
    _measure(box, PretrainConfig.resolve(options | _tiny(box), preset_name="smoke" if box.tiny else "vit"))


def _tiny(box: Box) -> dict[str, Any]:
    return {"batch_size": 4} if box.tiny else {}


@dataclass(frozen=True)
class _Inputs:
    """Of one training."""

    own: TrainingInput
    resident: TrainingInput
    usual: TrainingInput
    usual_seconds: float


def _measure(box: Box, config: PretrainConfig) -> None:
    scale = Scale(
        config=config,
        device=torch.device(box.device),
        workers=1 if box.tiny else min(cores(), 32),
        # The most of any measurement; how many fit is seen on the way.
        steps=4 if box.tiny else 200,
        loader_steps=0,
        rounds=1 if box.tiny else _ROUNDS,
    )
    views = " + ".join(f"{crop.count} × {crop.size}" for crop in config.views.crops)
    files = unpack_series(Path(box.data), Path(box.work) / "series")
    inputs = _create(box, files, scale)
    training = create_training(inputs.own, Path(box.work), scale)
    facts = {
        "method": config.method,
        "backbone": config.backbone,
        "optimizer": config.optimizer,
        "views": views,
        "batch_size": config.batch_size,
        "precision": training._fabric.strategy.precision.precision,
        "workers": scale.workers,
        "slices": len(files),
    }
    box.write("facts", **facts)
    _Measurement(box, scale, training, inputs).carry_out()


def _create(box: Box, files: Sequence[Path], scale: Scale) -> _Inputs:
    config, work = scale.config, Path(box.work)
    store = packed_store(files, work, config.side)
    positions = repeated(len(store), scale.steps * config.batch_size)
    own = TrainingInput(
        name="both",
        batches=StoreBatches(store, config.batch_size, config.seed, positions=positions, device=scale.device),
        views=BatchViews(config.views, *normalization(store, config.views)).to(scale.device),
    )
    first = positions[: config.batch_size]
    few = StoreBatches(store, config.batch_size, config.seed, positions=first, device=scale.device)
    views = check_views(replace(own, batches=few), scale)
    pictures = Pictures(write_pictures(files, work / "pictures"), usual_transform(config))
    seconds, steps = _usual_steps(box, pictures, scale)
    return _Inputs(
        own=own,
        resident=TrainingInput(name="model alone", batches=ResidentBatches(views, scale.steps), views=AsTheyAre()),
        usual=TrainingInput(
            name="usual way",
            batches=LoaderBatches(pictures, config.batch_size, steps, workers=scale.workers, device=scale.device),
            views=AsTheyAre(),
            channels=3,
        ),
        usual_seconds=seconds,
    )


def usual_transform(config: PretrainConfig) -> Any:
    """lightly's transform for the method as it comes, but for the number and size of crops."""
    if config.method != "dino":
        return lightly_transform(config.views.crops)
    large, small = config.views.crops
    return DINOTransform(global_crop_size=large.size, local_crop_size=small.size, n_local_views=small.count)


def _usual_steps(box: Box, pictures: Pictures, scale: Scale) -> tuple[float, int]:
    """Seconds that a measurement of the usual way takes, and its steps: each worker's first batch is not counted.

    The workers make their batches at the same time, so that these come in bursts: whole ones are counted.
    """
    pictures[0]
    began = time.perf_counter()
    for number in range(4):
        pictures[number]
    burst = (time.perf_counter() - began) / 4 * scale.config.batch_size
    counted = 2 if 4 * burst < 0.4 * box.left() else 1
    return (1.2 + counted) * burst + 3, (1 + counted) * max(scale.workers, 1)


class Timed:
    """Batches of which the first ones are not counted."""

    def __init__(self, batches: Any, skipped: int, device: torch.device) -> None:
        self.steps_per_epoch = batches.steps_per_epoch
        self.began = 0.0
        self._batches, self._skipped, self._device = batches, skipped, device

    def epoch(self, number: int, start_step: int = 0) -> Generator[Any, None, None]:
        with closing(self._batches.epoch(number, start_step)) as inner:
            for step, batch in enumerate(inner):
                if step == self._skipped:
                    synchronize(self._device)
                    self.began = time.perf_counter()
                yield batch


class _Staged:
    """Batches whose arrival is marked."""

    def __init__(self, batches: Any, times: StageTimes) -> None:
        self.steps_per_epoch = batches.steps_per_epoch
        self._batches, self._times = batches, times

    def epoch(self, number: int, start_step: int = 0) -> Generator[Any, None, None]:
        with closing(self._batches.epoch(number, start_step)) as inner:
            yield from self._times.batches(inner)


class _Measurement:
    """All measurements of one training, in the order of their worth."""

    def __init__(self, box: Box, scale: Scale, training: UnsavedLoop, inputs: _Inputs) -> None:
        self._box, self._scale, self._training, self._inputs = box, scale, training, inputs
        self._skipped = 1 if box.tiny else _SKIPPED
        self._rates: dict[str, list[float]] = {}

    def carry_out(self) -> None:
        self._training.take_steps(_SKIPPED if not self._box.tiny else 1, self._inputs.resident)
        steps = self._steps()
        for turn in range(self._scale.rounds):
            if turn and self._box.left() < 3 * self._longest + 5:
                break
            self._round(turn, steps)
            self._summary()
            if turn == 0:
                self._load(steps)
                self._stages()
                # Last, as it takes longest and how long is least certain.
                self._usual()
                self._summary()

    def _steps(self) -> int:
        """Steps of a measurement, from the time of some."""
        if self._box.tiny:
            return self._scale.steps
        began = time.perf_counter()
        self._training.take_steps(5, self._inputs.resident)
        step = (time.perf_counter() - began) / 5
        seconds = min(_LONG_ENOUGH, 0.06 * self._box.left())
        return max(10, min(self._scale.steps, round(seconds / step)))

    def _round(self, turn: int, steps: int) -> None:
        began = time.perf_counter()
        self._train(self._inputs.resident, steps, turn)
        self._longest = time.perf_counter() - began
        self._train(self._inputs.own, steps, turn)
        self._input_alone(steps, turn)

    def _train(self, one: TrainingInput, steps: int, turn: int, skipped: int | None = None) -> None:
        skipped = self._skipped if skipped is None else skipped
        timed = Timed(one.batches, skipped, self._scale.device)
        self._training.take_steps(steps, replace(one, batches=timed))  # type: ignore[arg-type]
        synchronize(self._scale.device)
        self._write(one.name, steps - skipped, time.perf_counter() - timed.began, turn)

    def _input_alone(self, steps: int, turn: int) -> None:
        timed = Timed(self._inputs.own.batches, self._skipped, self._scale.device)
        with closing(epoch_of_views(replace(self._inputs.own, batches=timed), self._scale)) as views:  # type: ignore[arg-type]
            for _ in zip(range(steps), views, strict=False):
                pass
        synchronize(self._scale.device)
        self._write("input alone", steps - self._skipped, time.perf_counter() - timed.began, turn)

    def _usual(self) -> None:
        needed = self._inputs.usual_seconds
        if needed > self._box.left() - 5:
            left = round(self._box.left(), 1)
            self._box.write("not measured", name="usual way", seconds_needed=round(needed, 1), seconds_left=left)
            return
        usual = self._inputs.usual
        self._train(usual, usual.batches.steps_per_epoch, 0, skipped=self._scale.workers)

    def _load(self, steps: int) -> None:
        """Memory and utilization; by itself, since asking the driver takes time."""
        gpu = self._box.device == "cuda"
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        with Utilization(self._box.device) as utilization:
            self._training.take_steps(steps)
        peak = torch.cuda.max_memory_allocated() if gpu else None
        self._box.write("load", peak_bytes=peak, means=utilization.means())

    def _stages(self) -> None:
        times = StageTimes(self._scale.device)
        own = self._inputs.own
        with times.watching(self._training.method):
            steps = min(_STAGED, self._scale.steps)
            self._training.take_steps(steps, replace(own, batches=_Staged(own.batches, times)))  # type: ignore[arg-type]
        self._box.write("stages", milliseconds=times.medians())

    def _write(self, name: str, steps: int, seconds: float, turn: int) -> None:
        rate = steps * self._scale.config.batch_size / seconds
        self._rates.setdefault(name, []).append(rate)
        self._box.write(
            "rate", name=name, round=turn, steps=steps, seconds=round(seconds, 4), slices_per_second=round(rate, 2)
        )

    def _summary(self) -> None:
        """The shares that the goals speak of, so far."""
        both = self._rates["both"]
        of_alone = [one / alone for one, alone in zip(both, self._rates["model alone"], strict=True)]
        found: dict[str, Any] = {"of_model_alone": round(statistics.median(of_alone), 4), "goals": list(GOALS)}
        if "usual way" in self._rates:
            found["times_usual_way"] = round(statistics.median(both) / self._rates["usual way"][0], 3)
        self._box.write("summary", rounds=len(both), **found)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
