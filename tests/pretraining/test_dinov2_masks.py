"""Which patches DINOv2 masks: the published code's blocks, from chance that depends on seed and batch alone."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import torch

from ctprune.networks.backbone import create_backbone
from ctprune.pretraining.methods import create_method
from ctprune.pretraining.methods.masks import draw_masks, mask_blocks
from tests.pretraining.test_dinov2 import HALF, created, views
from tests.pretraining.tiny import START, tiny


def published_mask(rows: int, columns: int, count: int, chance: random.Random) -> Any:
    """Patch by patch, as the published code of DINOv2 has it."""
    mask = np.zeros((rows, columns), bool)
    done = 0
    while done < count:
        most, delta = count - done, 0
        for _ in range(10):
            area = chance.uniform(4, most)
            ratio = math.exp(chance.uniform(math.log(0.3), math.log(1 / 0.3)))
            height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if width < columns and height < rows:
                top, left = chance.randint(0, rows - height), chance.randint(0, columns - width)
                places = [(y, x) for y in range(top, top + height) for x in range(left, left + width)]
                new = [place for place in places if not mask[place]]
                if 0 < len(new) <= most:
                    for place in new:
                        mask[place] = True
                    delta = len(new)
            if delta:
                break
        if not delta:
            break
        done += delta
    return mask


def test_blocks_are_those_of_the_published_code() -> None:
    for seed in range(100):
        shape = [(14, 14), (6, 9), (2, 2)][seed % 3]
        count = 1 + seed % (shape[0] * shape[1])
        mask = np.zeros(shape, bool)
        mask_blocks(mask, count, random.Random(seed))
        expected = published_mask(*shape, count, random.Random(seed))
        # Where none fits, one patch is masked nevertheless.
        assert np.array_equal(mask, expected) if expected.any() else mask.sum() == 1
        assert 1 <= mask.sum() <= count


def test_masks_cover_the_range_evenly_and_leave_the_other_images_whole() -> None:
    masks = draw_masks(random.Random(1), crops=2, slices=16, grid=(14, 14), **HALF)
    counts = sorted(masks.sum(axis=(1, 2)).tolist())
    assert counts[:16] == [0] * 16
    # The largest number of each of 16 parts of the range.
    assert all(1 <= found <= 196 * (0.1 + 0.025 * (part + 1)) for part, found in enumerate(counts[16:]))
    assert sum(counts) > 0.8 * 16 * 196 * 0.3
    first = masks.any(axis=(1, 2))
    assert 0 < first[:16].sum() < 16


def test_masks_depend_on_seed_and_batch_but_not_on_the_number_of_processes() -> None:
    whole = draw_masks(random.Random(5), crops=2, slices=8, grid=(4, 4), **HALF).reshape(2, 8, 4, 4)
    parts = [
        draw_masks(random.Random(5), crops=2, slices=4, grid=(4, 4), rank=rank, processes=2, **HALF)
        for rank in (0, 1)
    ]
    assert np.array_equal(whole, np.concatenate([part.reshape(2, 4, 4, 4) for part in parts], axis=1))
    method, image = created(), views()[0]
    states = [START, START._replace(step=3), START._replace(batch=1)]
    masks = [method._masks(image, state).tokens for state in states]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    other: Any = create_method(tiny("dinov2", seed=1), create_backbone("test_vit"))
    assert not torch.equal(masks[0], other._masks(image, START).tokens)
