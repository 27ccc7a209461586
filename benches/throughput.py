"""Slices per second of a pre-training: its input alone, the model alone, both together, and other ways of input.

All go through `ctprune pretrain`'s own training, so that they differ in nothing but the input.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

import ctprune
from benches.measure import Contender, Table, compare
from benches.series import about, picture, series
from benches.settings import Settings
from benches.training_inputs import (
    AsTheyAre,
    DicomFiles,
    LoaderBatches,
    Pictures,
    ResidentBatches,
    TrainingInput,
    lightly_transform,
    repeated,
    square,
    write_pictures,
)
from ctprune.environment.progress import Operation
from ctprune.networks.backbone import create_backbone
from ctprune.pretraining.batches import StoreBatches
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods import create_method
from ctprune.pretraining.training import TrainingLoop
from ctprune.pretraining.view_parameters import view_generator
from ctprune.pretraining.views import BatchViews, normalization
from ctprune.store.store import SliceStore

ABOUT = (
    "SwAV; every line trains with the same code and differs in its input alone. The usual way: PNG files of the "
    "slices, lightly's transform as it comes, torch's DataLoader. Decoding in every epoch: pydicom and Pillow in "
    "the DataLoader's workers, then ctprune's views. The slices are repeated to fill the steps, and all files are "
    "in the page cache. "
)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is measured, and where.

    Attributes:
        config: Of the pre-training.
        workers: Processes of each DataLoader.
        steps: Steps per measurement.
        loader_steps: The same for what a DataLoader feeds: a multiple of its workers, each of which makes a
            batch at a time.
        rounds: Measurements.
    """

    config: PretrainConfig
    device: torch.device
    workers: int
    steps: int
    loader_steps: int
    rounds: int


def run(settings: Settings, threads: int) -> dict[str, Any]:
    options = {"batch_size": 32, "side": 256}
    scale = Scale(
        config=PretrainConfig.resolve(options, preset_name="small"),
        device=torch.device("cpu"),
        workers=threads,
        steps=4,
        loader_steps=2 * threads,
        rounds=min(settings.rounds, 3),
    )
    tables = measure(series(settings), Path(settings.work), scale)
    return {
        "input": about(settings),
        "about": ABOUT
        + "On a CPU the input and the model share the cores, so that neither hides behind the other.",
        "tables": tables,
    }


def measure(files: Sequence[Path], work: Path, scale: Scale) -> list[Table]:
    """Both tables, after the answers are checked."""
    store = packed_store(files, work, scale.config.side)
    inputs = create_inputs(files, store, work, scale)
    views = [check_views(one, scale) for one in inputs]
    resident = TrainingInput(
        name="model alone",
        batches=ResidentBatches(views[0], scale.steps),
        views=AsTheyAre(),
        note="the same views again and again, on the device",
    )
    return [_input_alone(inputs, scale), _with_model([inputs[0], resident, *inputs[1:]], work, scale)]


def create_inputs(files: Sequence[Path], store: SliceStore, work: Path, scale: Scale) -> list[TrainingInput]:
    """ctprune's own input first, the usual way next, then the others."""
    config = scale.config
    views = BatchViews(config.views, *normalization(store, config.views)).to(scale.device)
    positions = repeated(len(store), scale.steps * config.batch_size)
    transform = lightly_transform(config.views.crops)

    def loaded(dataset: Any) -> LoaderBatches:
        return LoaderBatches(
            dataset, config.batch_size, scale.loader_steps, workers=scale.workers, device=scale.device
        )

    return [
        TrainingInput(
            name="ctprune",
            batches=StoreBatches(store, config.batch_size, config.seed, positions=positions, device=scale.device),
            views=views,
            note=f"packed store of {store.side} × {store.side}",
        ),
        TrainingInput(
            name="usual way",
            batches=loaded(Pictures(write_pictures(files, work / "pictures"), transform)),
            views=AsTheyAre(),
            channels=3,
            note=f"PNG of whole slices, {scale.workers} workers",
        ),
        TrainingInput(
            name="usual way, small PNG",
            batches=loaded(Pictures(write_pictures(files, work / "squares", store.side), transform)),
            views=AsTheyAre(),
            channels=3,
            note=f"resized to {store.side} × {store.side} beforehand, {scale.workers} workers",
        ),
        TrainingInput(
            name="pydicom in every epoch",
            batches=loaded(DicomFiles(files, store.side)),
            views=views,
            note=f"then ctprune's views, {scale.workers} workers",
        ),
    ]


def check_views(one: TrainingInput, scale: Scale) -> list[torch.Tensor]:
    """Views of the last batch of an epoch, all of which have been seen to be of the right shape and finite."""
    expected = [
        (scale.config.batch_size, one.channels, crop.size, crop.size)
        for crop in scale.config.views.crops
        for _ in range(crop.count)
    ]
    for views in epoch_of_views(one, scale):
        if [tuple(view.shape) for view in views] != expected:
            raise AssertionError(f"{one.name}: views of other shapes than {expected}")
        if not all(bool(view.isfinite().all()) and float(view.std()) > 0 for view in views):
            raise AssertionError(f"{one.name}: views that are constant or not finite")
    return [view.clone() for view in views]


class UnsavedLoop(TrainingLoop):
    """A training without what comes after its epochs: checkpoints and RankMe. Steps and their log are its own."""

    def take_steps(self, steps: int, fed_by: TrainingInput | None = None) -> None:
        """Do the first steps of the next epoch, with this input in place of the training's own."""
        own = self._batches, self._views
        if fed_by is not None:
            self._batches, self._views = fed_by.batches, fed_by.views  # type: ignore[assignment]
        self.step = -(-self.step // self.steps_per_epoch) * self.steps_per_epoch
        self.steps = self.step + steps
        # The last step is logged, which waits for the device and refuses a loss that is not a number.
        self.run(None)
        self._batches, self._views = own

    def warm_up(self, resident: TrainingInput) -> None:
        """Take one step: with it come memory, the optimizer's state and the choice of algorithms."""
        # Not from a DataLoader: its workers would go on reading ahead while others are measured.
        self.take_steps(1, resident)

    def save(self) -> None:
        pass

    def _finish_epoch(self, epoch: int) -> None:
        self._features.clear()


def create_training(one: TrainingInput, work: Path, scale: Scale) -> UnsavedLoop:
    """A training on this input; all start with the same weights."""
    torch.manual_seed(scale.config.seed)
    cuda = scale.device.type == "cuda"
    fabric = Fabric(accelerator=scale.device.type, devices=1, precision="bf16-mixed" if cuda else "32-true")
    return UnsavedLoop(
        scale.config,
        create_method(scale.config, create_backbone(scale.config.backbone)),
        one.batches,  # type: ignore[arg-type]
        one.views,  # type: ignore[arg-type]
        fabric,
        checkpoints=work / "checkpoints",
        digest="",
        probe=None,
        operation=Operation(),
        note=lambda _: None,
    )


def packed_store(files: Sequence[Path], work: Path, side: int) -> SliceStore:
    """The packed store, which holds what pydicom and Pillow make of the slices."""
    ctprune.reduce(files[0].parent, out=work / "throughput-run", method="all")
    store = ctprune.build_store(work / "throughput-run", use="all", side=side)
    expected = np.stack([np.array(square(picture(file), side)) for file in files])
    if not np.array_equal(store.pixels, expected):
        raise AssertionError("the store's pixels differ from those of pydicom and Pillow")
    return store


def epoch_of_views(one: TrainingInput, scale: Scale) -> Any:
    with closing(one.batches.epoch(0)) as batches:
        for step, (data, _) in enumerate(batches):
            yield one.views(data, view_generator(scale.config.seed, 0, step))
    if scale.device.type == "cuda":
        torch.cuda.synchronize()


def _input_alone(inputs: Sequence[TrainingInput], scale: Scale) -> Table:
    def read(one: TrainingInput) -> Any:
        return lambda: sum(1 for _ in epoch_of_views(one, scale))

    contenders = [
        Contender(name=one.name, run=read(one), items=one.batches.slices, note=one.note, loops=1) for one in inputs
    ]
    return compare(f"Input alone: {_views(scale)}", contenders, rounds=scale.rounds, unit="slices")


def _with_model(inputs: Sequence[TrainingInput], work: Path, scale: Scale) -> Table:
    """Of ctprune's input, resident views, the usual way and the others, in this order."""

    def train(training: UnsavedLoop, steps: int) -> Any:
        return lambda: training.take_steps(steps)

    contenders = []
    for one in inputs:
        training = create_training(one, work, scale)
        training.warm_up(inputs[1])
        steps = one.batches.steps_per_epoch
        contenders.append(
            Contender(name=one.name, run=train(training, steps), items=one.batches.slices, note=one.note, loops=1)
        )
    config = scale.config
    title = f"With the model: {config.backbone}, {config.optimizer}, {_views(scale)}"
    table = compare(title, contenders, rounds=scale.rounds, unit="slices")
    alone, usual = (statistics.median(line["ratios"]) for line in table.raw[1:3])
    table.notes.append(
        f"With ctprune's input the model reaches {100 * alone:.1f} % of its rate alone, "
        f"{usual:.2f} × the usual way's."
    )
    return table


def _views(scale: Scale) -> str:
    crops = " + ".join(f"{crop.count} × {crop.size}" for crop in scale.config.views.crops)
    return f"{crops}, batch {scale.config.batch_size}, {scale.device.type}"
