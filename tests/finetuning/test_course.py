"""Augmentation and the schedule of the learning rate: against a plain loop, on resuming, and what is refused."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import ctprune
from ctprune.finetuning import training
from ctprune.finetuning.augmentation import Augmentation
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.course_options import AUGMENTATIONS, augmented_view
from ctprune.finetuning.recipe import recipe_of
from ctprune.finetuning.training import Epoch, SeedTraining, TrainingSet
from ctprune.networks.gray_backbone import GrayBackbone, Normalization
from ctprune.pretraining.view_parameters import ViewParameters, draw_numbers, view_generator, view_parameters
from tests.test_recipe import CPU, Tiny, data
from tests.test_views import slow_view

SIDE = 12

COURSE: dict[str, Any] = {
    "epochs": 3,
    "frozen_epochs": 1,
    "warmup_epochs": 1,
    "schedule": "cosine",
    "batch_size": 8,
    "learning_rate": 0.01,
    "side": SIDE,
}


def training_of(
    config: FinetuneConfig,
    checkpoint: Path,
    progress: Callable[[Epoch], None] = lambda _: None,
    given: TrainingSet | None = None,
) -> SeedTraining:
    torch.manual_seed(3)
    network = GrayBackbone(Tiny(), Normalization((0.56,), (0.29,)))
    return SeedTraining(network, given or data(), config, 5, CPU, "32", checkpoint, progress)


def slow_changes(augment: str, pixels: torch.Tensor, epoch: int) -> torch.Tensor:
    """The images of an epoch, one by one by torchvision's functions, as fractions of white."""
    view = augmented_view(augment, SIDE)
    if view is None:
        return pixels.float() / 255
    (numbers,) = draw_numbers(view, len(pixels), view_generator(5, epoch, 1))
    chosen = view_parameters(view, view.crops[0], SIDE, numbers)
    return torch.stack([slow_view(image, view, SIDE, chosen, i, 255) for i, image in enumerate(pixels)])


def slow_rate(step: int, batches: int) -> float:
    """From 0 in the first epoch, then down a cosine over the other two."""
    if step < batches:
        return 0.01 * step / batches
    return 0.01 * 0.5 * (1 + math.cos(math.pi * (step - batches) / (2 * batches)))


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_a_training_equals_a_plain_loop(augment: str, tmp_path: Path) -> None:
    given, losses = data(), []
    run = training_of(FinetuneConfig(augment=augment, **COURSE), tmp_path / "no")
    backbone, head = copy.deepcopy(run.network.backbone), copy.deepcopy(run.head)
    run.run()

    optimizer = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=0.01, weight_decay=5e-4)
    labels = torch.from_numpy(given.labels)
    step = 0
    for epoch in (1, 2, 3):
        backbone.train(epoch > 1)
        backbone.requires_grad_(epoch > 1)
        generator = torch.Generator().manual_seed(training.mixed(5, epoch))
        order = torch.randperm(33, generator=generator)
        flipped = torch.rand(33, generator=generator) < 0.5
        pixels = torch.from_numpy(given.pixels)[order]
        pixels = torch.stack([one.fliplr() if flip else one for one, flip in zip(pixels, flipped, strict=True)])
        images = ((slow_changes(augment, pixels, epoch) - 0.56) / 0.29)[:, None].expand(-1, 3, -1, -1)
        total = 0.0
        # The last image joins the batch before.
        for start, stop in ((0, 8), (8, 16), (16, 24), (24, 33)):
            loss = cross_entropy(head(backbone(images[start:stop])), labels[order[start:stop]])
            optimizer.param_groups[0]["lr"] = slow_rate(step, 4)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * (stop - start)
            step += 1
        losses.append(total / 33)
    assert [epoch.train_loss for epoch in run.history] == pytest.approx(losses, rel=2e-3)


def test_each_image_is_changed_by_itself_and_anew_in_each_epoch() -> None:
    view = augmented_view("standard", 32)
    assert view is not None
    augmentation = Augmentation(view)
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (9, 3, 32, 32), dtype=np.uint8))
    pixels[:, 1:] = pixels[:, :1]
    plan = augmentation.plan(9, 32, seed=4, epoch=2)
    whole = augmentation(pixels, plan, 0, 9)
    parts = [augmentation(pixels[start : start + 2], plan, start, min(start + 2, 9)) for start in range(0, 9, 2)]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-4)
    # What chance decides holds for all channels of an image.
    torch.testing.assert_close(whole[:, 0], whole[:, 2])
    assert whole.min() >= 0
    assert whole.max() <= 255
    again = augmentation.plan(9, 32, seed=4, epoch=2)
    assert torch.equal(again.table, plan.table)
    degrees = [
        ViewParameters.of_table(augmentation.plan(9, 32, seed=seed, epoch=epoch).table).degrees
        for seed, epoch in ((4, 2), (4, 3), (5, 2))
    ]
    assert len(torch.cat(degrees).unique()) == 27
    # Else an image's place in the epoch would say how it is turned.
    assert view_generator(4, 2, 1).initial_seed() != training.mixed(4, 2)


def test_what_is_stopped_continues_to_the_same_bits(tmp_path: Path) -> None:
    config = FinetuneConfig(augment="standard", **COURSE)
    whole = training_of(config, tmp_path / "no")
    expected = whole.run()

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training_of(config, tmp_path / "ckpt", stop).run()
    rest = training_of(config, tmp_path / "ckpt")
    found = rest.run()
    np.testing.assert_array_equal(found.weight, expected.weight)
    assert [epoch.train_loss for epoch in rest.history] == [epoch.train_loss for epoch in whole.history]


def test_by_default_one_rate_and_flips_alone() -> None:
    config = FinetuneConfig()
    assert (config.augment, config.schedule, config.warmup_epochs) == ("none", "constant", 0)
    assert {recipe_of(config).rate(epoch, step, 7) for epoch in range(1, 71) for step in range(7)} == {1e-4}
    assert augmented_view("none", 224) is None
    warmed = recipe_of(FinetuneConfig(warmup_epochs=2, learning_rate=0.8))
    assert [warmed.rate(epoch, step, 2) for epoch in (1, 2, 3) for step in (0, 1)] == pytest.approx(
        [0, 0.2, 0.4, 0.6, 0.8, 0.8]
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mode": "linear", "augment": "light"}, "augment belongs to `mode` finetune, not to linear"),
        ({"mode": "knn", "schedule": "cosine"}, "schedule belongs to `mode` finetune, not to knn"),
        ({"mode": "linear", "warmup_epochs": 3}, "warmup_epochs belongs to `mode` finetune, not to linear"),
        ({"augment": "light", "features": "cache"}, "features belongs to `mode` linear or knn, not to finetune"),
        ({"preset": "reference", "augment": "light"}, "augment light belongs to `preset` default"),
        ({"preset": "reference", "schedule": "cosine"}, "schedule cosine belongs to `preset` default"),
        ({"preset": "reference", "warmup_epochs": 1}, "warmup_epochs 1 belongs to `preset` default"),
        ({"epochs": 3, "warmup_epochs": 4}, "warmup_epochs 4: expected 0 to 3"),
        ({"augment": "light", "side": 2048}, "side 2048: expected up to 1024 with `augment` light"),
        ({"augment": "heavy"}, "augment heavy"),
    ],
)
def test_what_does_not_fit_is_refused_with_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ctprune.ConfigError, match=re.escape(sentence)):
        FinetuneConfig(**options)
