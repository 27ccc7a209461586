"""Made-up results of several pre-trainings of one way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.results import predictions, write_result

LABELS = np.random.default_rng(0).permutation(np.r_[np.ones(60, int), np.zeros(58, int)])


NOISE = np.random.default_rng(1).normal(size=(118, 2))


def of_one_way(
    folder: Path, skills: Sequence[float], *, seed: int, finetunings: int = 2, images: int = 118, **options: Any
) -> list[Path]:
    """Results of several pre-trainings of one way, which are skilled as it happens."""
    labels = LABELS if images == 118 else np.arange(images) % 2
    shared = NOISE if images == 118 else np.random.default_rng(1).normal(size=(images, 2))
    return [
        write_result(
            folder / str(index),
            labels,
            predictions(labels, skill=skill, seeds=finetunings, seed=seed + index, shared=shared),
            weights={"slices": 1000, "seconds": 60.0, "seed": index, "way": folder.name},
            **options,
        )
        for index, skill in enumerate(skills)
    ]
