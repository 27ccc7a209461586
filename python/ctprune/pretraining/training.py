"""The loop: batches to views to a loss to a step, on Lightning's Fabric, with checkpoints that resume exactly.

The random numbers of a step depend only on the seed, the epoch and the step, the order of slices only on the seed
and the epoch. So a resumed training equals an uninterrupted one.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ctprune.environment.precision import quick_gpu
from ctprune.environment.progress import Operation
from ctprune.errors import ConfigError, Interrupted, TrainingError
from ctprune.pretraining.ahead import Ahead
from ctprune.pretraining.batches import StoreBatches
from ctprune.pretraining.checkpoints import (
    load_module_state,
    module_state,
    newest_checkpoint,
    random_state,
    restore_random_state,
    write_checkpoint,
)
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.health import CollapseAlarm, assignment_entropy, feature_std, rankme
from ctprune.pretraining.methods import Method, Outcome, TrainingState
from ctprune.pretraining.moving_average import MovingAverage
from ctprune.pretraining.optimizers import (
    create_optimizer,
    learning_rate,
    rate_factor,
    set_rates,
    weight_decay,
)
from ctprune.pretraining.probe import Probe
from ctprune.pretraining.records import Line, Records
from ctprune.pretraining.unchanged import refuse_changes
from ctprune.pretraining.view_parameters import ViewPlan, view_generator
from ctprune.pretraining.views import BatchViews

#: Number of slices, the last ones of an epoch, whose features RankMe is computed from.
RANKED = 1024


class TrainingLoop:
    """The optimizer steps of one pre-training, with its checkpoints and its log.

    Args:
        config: Options of the pre-training.
        method: The networks and their loss.
        batches: Batches of slices.
        views: Makes views of the slices.
        fabric: Devices and precision.
        checkpoints: Folder of the checkpoints.
        digest: Digest of the slices; a checkpoint of other slices is refused.
        probe: Probe on a small labeled set, or None.
        operation: Receives the progress of each step, and says whether to stop.
        note: Function called with a sentence about a harmless surprise, such as a damaged checkpoint.
        keep_backbone: Function called with the number of finished epochs when a backbone is to be kept.
    """

    def __init__(
        self,
        config: PretrainConfig,
        method: Method,
        batches: StoreBatches,
        views: BatchViews,
        fabric: Fabric,
        *,
        checkpoints: Path,
        digest: str,
        probe: Probe | None,
        operation: Operation,
        note: Callable[[str], None],
        keep_backbone: Callable[[int], None] = lambda epochs: None,
    ) -> None:
        self.config = config
        self.steps_per_epoch = batches.steps_per_epoch // config.accumulate
        if not self.steps_per_epoch:
            raise ConfigError(
                f"batch_size {config.batch_size} × `accumulate` {config.accumulate} × {fabric.world_size} "
                f"devices is more than the {batches.slices} slices: use a smaller batch",
                field="batch_size",
            )
        self.steps = config.steps or config.epochs * self.steps_per_epoch
        self.epochs = math.ceil(self.steps / self.steps_per_epoch)
        self.rate_factor = rate_factor(config, fabric.world_size)
        self.step = 0
        self.seconds = 0.0
        self.lines: list[Line] = []
        self.alarms: list[str] = []
        # Before it is copied: tensors of another memory format are not averaged in one launch.
        self.method = method.to(memory_format=torch.channels_last)
        self._batches = batches
        self._views = views
        self._fabric = fabric
        self._folder = checkpoints
        self._digest = digest
        self._probe = probe
        self._operation = operation
        self._note = note
        self._keep_backbone = keep_backbone
        momentum = config.average_momentum
        self.average = None if momentum is None else MovingAverage(self.method.exported, momentum)
        self._alarm = CollapseAlarm(prototypes=getattr(config.settings, "prototypes", None))
        self._module, self._optimizer = self._set_up()
        self._loss = torch.zeros((), device=fabric.device)
        self._losses = 0
        # Batches since the last line of the log in this process, for its speed.
        self._timed = 0
        self._last_loss, self._last_rate = math.nan, 0.0
        self._features: list[Tensor] = []
        self._outcome: Outcome | None = None

    def _set_up(self) -> tuple[Any, Any]:
        # Fused optimizers remove fp16's loss scale themselves, but clipping needs it removed before.
        clipped = self._fabric.strategy.precision.precision == "16-mixed" and self.config.clip_gradients > 0
        fused = self._fabric.device.type == "cuda" and not clipped
        optimizer = create_optimizer(self.config, self.method, fused=fused)
        if self.config.compile:
            self.method.compile_networks()
        module, wrapped = self._fabric.setup(self.method, optimizer)
        self._views.to(self._fabric.device)
        if self.average is not None:
            self.average.network.to(self._fabric.device)
        return module, wrapped

    def resume(self) -> None:
        """Continue from the newest intact checkpoint.

        Raises:
            ConfigError: The checkpoint belongs to another configuration, or to other slices.
            WeightsError: No checkpoint can be read.
        """
        file, content = newest_checkpoint(self._folder, self._note)
        refuse_changes(json.loads(content["config"]), self.config, file)
        if content["digest"] != self._digest:
            raise ConfigError(
                f"{file} was trained on slices other than those of the reduction now: start again in another "
                f"folder"
            )
        load_module_state(self.method, content["module"], file)
        self._optimizer.load_state_dict(content["optimizer"])
        self._fabric.strategy.precision.load_state_dict(content["precision"])
        restore_random_state(content["random"])
        if self.average is not None:
            load_module_state(self.average.network, content["average"], file)
        self.step, self.seconds = content["step"], content["seconds"]
        self.lines, self.alarms = content["lines"], content["alarms"]
        self._loss.copy_(content["loss"])
        self._losses = content["losses"]
        self._features = [features.to(self._fabric.device) for features in content["features"]]
        self._alarm.restore(content["alarm"])

    def save(self) -> None:
        """Write a checkpoint."""
        self._tick()
        self._saved = time.perf_counter()
        if not self._fabric.is_global_zero:
            return
        write_checkpoint(
            self._folder,
            {
                "config": json.dumps(self.config.deciding()),
                "digest": self._digest,
                "module": module_state(self.method),
                "optimizer": self._optimizer.state_dict(),
                "precision": self._fabric.strategy.precision.state_dict(),
                "average": {} if self.average is None else module_state(self.average.network),
                "random": random_state(),
                "step": self.step,
                "seconds": self.seconds,
                "lines": self.lines,
                "alarms": self.alarms,
                "loss": self._loss.cpu(),
                "losses": self._losses,
                "features": [features.cpu() for features in self._features],
                "alarm": self._alarm.state(),
            },
            keep=self.config.keep_checkpoints,
        )

    def run(self, records: Records | None) -> None:
        """Train to the end.

        Raises:
            Interrupted: The user asked to stop; a checkpoint is saved.
            TrainingError: The loss is not finite.
        """
        self._records = records
        mixed = "mixed" in self._fabric.strategy.precision.precision
        with quick_gpu(self._fabric.device, mixed=mixed):
            self._run()

    def _run(self) -> None:
        self._module.train()
        self._clock = self._saved = self._logged = time.perf_counter()
        while self.step < self.steps:
            epoch, done = divmod(self.step, self.steps_per_epoch)
            # Closing ends the threads that work ahead.
            with closing(self._inputs(epoch, done * self.config.accumulate)) as inputs:
                while self.step < min(self.steps, (epoch + 1) * self.steps_per_epoch):
                    self._one_step(epoch, inputs)
                    self._after_step(epoch)
                    if self.step % self.steps_per_epoch and self._must_stop():
                        self._stop(epoch)
            self._finish_epoch(epoch)
            if self.step < self.steps:
                if self._must_stop():
                    self._stop(epoch)
                self._save_if_due()
        self.save()

    def _inputs(self, epoch: int, start: int) -> Generator[tuple[Any, ViewPlan], None, None]:
        """The slices of an epoch's batches from `start` on, and the parameters of their views."""
        ahead = Ahead(self._plan(epoch, batch) for batch in itertools.count(start))
        try:
            with closing(self._batches.epoch(epoch, start_step=start)) as batches:
                for (pixels, _), plan in zip(batches, ahead, strict=False):
                    yield pixels, plan
        finally:
            ahead.stop()

    def _plan(self, epoch: int, batch: int) -> ViewPlan:
        config = self.config
        of_all = epoch * self.steps_per_epoch * config.accumulate + batch
        generator = view_generator(config.seed, epoch, of_all, rank=self._fabric.global_rank)
        plan = self._views.draw(config.batch_size, config.side, generator)
        return plan.pinned() if self._fabric.device.type == "cuda" else plan

    def _one_step(self, epoch: int, inputs: Generator[tuple[Any, ViewPlan], None, None]) -> None:
        state = TrainingState(epoch=epoch, step=self.step, steps=self.steps)
        rate = self.rate_factor * learning_rate(self.config, self.step, self.steps, self.steps_per_epoch)
        decay = weight_decay(self.config, self.step, self.steps)
        set_rates(self._optimizer, learning_rate=rate, weight_decay=decay)
        self.method.before_step(state)
        for part in range(self.config.accumulate):
            state = state._replace(batch=self.step * self.config.accumulate + part)
            views = self._views(*next(inputs))
            last = part == self.config.accumulate - 1
            with self._fabric.no_backward_sync(self._module, enabled=not last):
                outcome = self._module(views, state)
                self._fabric.backward(outcome.loss / self.config.accumulate)
            self._loss += outcome.loss.detach()
            self._losses += 1
            self._timed += 1
        if self.config.clip_gradients:
            # In half precision a gradient may be infinite now and then; its step is skipped.
            self._fabric.clip_gradients(
                self._module, self._optimizer, max_norm=self.config.clip_gradients, error_if_nonfinite=False
            )
        self.method.after_backward(state)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.step += 1
        self.method.after_step(state._replace(step=self.step))
        if self.average is not None:
            self.average.follow(self.method.exported, self.step)
        self._remember(outcome)

    def _remember(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._features.append(outcome.features)
        while sum(map(len, self._features[1:])) >= RANKED:
            self._features.pop(0)

    def _after_step(self, epoch: int) -> None:
        if self.step % self.config.log_every == 0 or self.step == self.steps:
            self._log(epoch)
            # At the end of an epoch, the checkpoint must include the epoch's last line.
            if self.step % self.steps_per_epoch and self.step < self.steps:
                self._save_if_due()
        self._report(epoch)

    def _report(self, epoch: int, **facts: str) -> None:
        self._operation.report(
            "training",
            self.step,
            self.steps,
            "steps",
            epoch=epoch + 1,
            epochs=self.epochs,
            loss=self._last_loss,
            slices_per_second=self._last_rate,
            **facts,
        )

    def _log(self, epoch: int) -> None:
        assert self._outcome is not None
        # Reading the loss waits for the device, so it is read only once per line.
        mean: Any = self._fabric.all_reduce(self._loss / self._losses, reduce_op="mean")
        loss = float(mean)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {self.step}: the training has diverged: use a smaller "
                "`learning_rate` or `precision` 32"
            )
        now = time.perf_counter()
        images = self._timed * self.config.batch_size * self._fabric.world_size
        self._last_loss, self._last_rate = loss, images / max(now - self._logged, 1e-9)
        self._logged = now
        self._loss.zero_()
        self._losses = self._timed = 0
        line: Line = {
            "step": self.step,
            "epoch": epoch,
            "loss": loss,
            "learning_rate": self._optimizer.param_groups[0]["lr"],
            "slices_per_second": round(self._last_rate, 2),
            "feature_std": feature_std(self._outcome.features),
        }
        if self._outcome.assignments is not None:
            line["assignment_entropy"] = assignment_entropy(self._outcome.assignments)
        alarm = self._alarm.check(
            loss=loss, features=self._outcome.features, assignments=self._outcome.assignments
        )
        if alarm and alarm not in self.alarms:
            self.alarms.append(alarm)
        self._record(line)

    def _save_if_due(self) -> None:
        if time.perf_counter() - self._saved > 60 * self.config.checkpoint_minutes:
            self.save()

    def _finish_epoch(self, epoch: int) -> None:
        line: Line = {"step": self.step, "epoch": epoch, "rankme": rankme(torch.cat(self._features)[-RANKED:])}
        self._features.clear()
        if self._probe is not None:
            self._report(epoch, now="probing")
            line |= self._probe.measure(self.method.exported, self._fabric.device)._asdict()
            if self.average is not None:
                of_average = self._probe.measure(self.average.network, self._fabric.device)._asdict()
                line |= {f"average_{name}": value for name, value in of_average.items()}
            self._module.train()
        self._record(line)
        self._share_loss()
        every = self.config.backbone_every
        if every and (epoch + 1) % every == 0 and self.step < self.steps and self._fabric.is_global_zero:
            self._tick()
            self._keep_backbone(epoch + 1)

    def _share_loss(self) -> None:
        """Average the loss over processes: the first one's checkpoint must hold the mean."""
        self._loss = self._fabric.all_reduce(self._loss, reduce_op="mean")  # type: ignore[assignment]

    def _record(self, line: Line) -> None:
        self.lines.append(line)
        if self._records is not None:
            self._records.add(line)

    def _must_stop(self) -> bool:
        if self._fabric.world_size == 1:
            return self._operation.stop_requested
        # All processes must stop at the same step; asking each other at every step would cost time.
        if self.step % self.config.log_every and self.step % self.steps_per_epoch:
            return False
        asked = torch.tensor(float(self._operation.stop_requested), device=self._fabric.device)
        return bool(self._fabric.all_reduce(asked, reduce_op="sum"))

    def _stop(self, epoch: int) -> None:
        self._share_loss()
        self.save()
        raise Interrupted(
            f"interrupted at step {self.step:,} of {self.steps:,} (epoch {epoch + 1} of {self.epochs}); rerun "
            "with `resume` to continue from there"
        )

    def _tick(self) -> None:
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now
