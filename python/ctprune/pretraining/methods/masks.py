"""Block masks: the patches of an image that are hidden from a student (Bao et al. 2022, arXiv 2106.08254)."""

from __future__ import annotations

import math
import random

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

#: Smallest number of patches of a block, while as many are left to mask.
_LEAST = 4

#: Smallest ratio of rows to columns of a block; the largest is its inverse.
_RATIO = 0.3

#: Largest number of tries to find a block that fits.
_TRIES = 10


def draw_masks(
    chance: random.Random,
    *,
    crops: int,
    slices: int,
    grid: tuple[int, int],
    probability: float,
    ratio: tuple[float, float],
    rank: int = 0,
    processes: int = 1,
) -> Mask:
    """Masks of a process's images; they depend on the images' places in the batch of all processes.

    As in DINOv2, a fixed share of all images is masked. The range of shares of masked patches is divided into as
    many equal parts as images are masked, and one share is drawn from each part. At least one image is masked, and
    at least one patch of each masked image.

    Args:
        chance: Random numbers, alike in all processes.
        crops: Views of a slice that may be masked.
        slices: Slices of each process.
        grid: Rows and columns of patches of an image.
        probability: Share of the images that are masked.
        ratio: Smallest and largest share of an image's patches that are masked.
        rank: Number of the process.
        processes: Number of processes.

    Returns:
        bool of shape (crops × slices, rows, columns), all slices of one crop after the other; true where masked.

    >>> half = {"grid": (8, 8), "probability": 0.5, "ratio": (0.1, 0.5)}
    >>> masks = draw_masks(random.Random(0), crops=2, slices=4, **half)
    >>> masks.shape, int(masks.any(axis=(1, 2)).sum())
    ((8, 8, 8), 4)
    """
    images = crops * slices * processes
    masked = max(1, int(images * probability))
    # All processes draw for all images, then keep the masks of their own.
    low, high = ratio
    shares = [low + (high - low) * (part + chance.random()) / masked for part in range(masked)]
    shares += [0.0] * (images - masked)
    chance.shuffle(shares)
    seeds = [chance.getrandbits(64) for _ in range(images)]
    masks = np.zeros((crops, slices, *grid), bool)
    for crop, own in np.ndindex(crops, slices):
        place = (crop * processes + rank) * slices + own
        if shares[place]:
            count = max(1, int(grid[0] * grid[1] * shares[place]))
            mask_blocks(masks[crop, own], count, random.Random(seeds[place]))
    return masks.reshape(crops * slices, *grid)


def mask_blocks(mask: Mask, count: int, chance: random.Random) -> None:
    """Mask blocks of patches until `count` are masked, or no block fits any more; at least one patch is.

    Args:
        mask: bool of shape (rows, columns), all false; is written to.
        count: Patches to mask, 1 or more.
        chance: Random numbers.

    >>> mask = np.zeros((8, 8), bool)
    >>> mask_blocks(mask, 20, random.Random(0))
    >>> int(mask.sum()) in range(1, 21)
    True
    """
    left = count
    while left and (added := _add_block(mask, left, chance)):
        left -= added
    if left == count:
        mask[chance.randrange(mask.shape[0]), chance.randrange(mask.shape[1])] = True


def _add_block(mask: Mask, most: int, chance: random.Random) -> int:
    """Mask one more block with up to `most` new patches; how many they are, 0 if none was found."""
    rows, columns = mask.shape
    for _ in range(_TRIES):
        area = chance.uniform(_LEAST, most)
        ratio = math.exp(chance.uniform(math.log(_RATIO), -math.log(_RATIO)))
        height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if height >= rows or width >= columns:
            continue
        top, left = chance.randint(0, rows - height), chance.randint(0, columns - width)
        block = mask[top : top + height, left : left + width]
        new = block.size - int(block.sum())
        if 0 < new <= most:
            block[:] = True
            return new
    return 0
