"""Labeled pictures for the tests of tasks and fine-tuning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(ill: bool, number: int) -> np.ndarray:
    """A noisy disk, larger for the ill, that is no near-duplicate of any other: uint8 of shape (40, 40)."""
    random = np.random.default_rng([ill, number])
    rows, columns = np.mgrid[:40, :40]
    disk = (rows - 20) ** 2 + (columns - 20) ** 2 < (14 if ill else 8) ** 2
    clouds = np.kron(random.normal(0, 30, (8, 8)), np.ones((5, 5)))
    return np.clip(random.normal(60, 10, (40, 40)) + clouds + disk * 120, 0, 255).astype(np.uint8)


def write(file: Path, ill: bool, number: int) -> None:
    """One as a PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(ill, number)).save(file)
