"""Made-up results of several labels, levels and numbers: models of one skill each, on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.results import write_result

TARGETS = ("multi-label", "ordinal", "regression")

NAMES = {"multi-label": ("edema", "nodule"), "ordinal": ("none", "mild", "severe"), "regression": ()}

IMAGES = 120

#: Two images of each patient.
PATIENTS = [f"patient-{number // 2:04d}" for number in range(IMAGES)]


def true_labels(target: str, images: int = IMAGES) -> np.ndarray:
    """Labels as `tests.results.write_result` takes them."""
    random = np.random.default_rng(0)
    if target == "multi-label":
        return (random.random((images, 2)) < (0.3, 0.5)).astype(int)
    if target == "ordinal":
        return random.permutation(np.arange(images) % 3)
    return 20 * random.normal(size=(images, 1)) + 50


def predicted(target: str, labels: np.ndarray, *, error: float, trainings: int, seed: int) -> np.ndarray:
    """Predictions (trainings, images, columns): right up to an error that trainings share and their own."""
    shared = np.random.default_rng(1).normal(size=(len(labels), 1))
    random = np.random.default_rng([seed, 7])
    noise = error * (shared + 0.3 * random.normal(size=(trainings, len(labels), labels[:1].size)))
    if target == "regression":
        return labels + 10 * noise
    if target == "multi-label":
        return 1 / (1 + np.exp(-3 * (labels - 0.5 + noise)))
    above = 1 / (1 + np.exp(-4 * (labels[:, None] + noise - np.array([0.5, 1.5]))))
    return -np.diff(np.concatenate([np.ones_like(above[..., :1]), above, np.zeros_like(above[..., :1])], axis=2))


def result(folder: Path, target: str, *, error: float, seed: int, trainings: int = 3, **options: Any) -> Path:
    """A result of one backbone."""
    labels = true_labels(target)
    found = predicted(target, labels, error=error, trainings=trainings, seed=seed)
    about: dict[str, Any] = {"classes": NAMES[target], "target": target, "patients": PATIENTS} | options
    return write_result(folder, labels, found, weights={"slices": 900, "seconds": 60.0, "seed": seed}, **about)


def ways(
    folder: Path, target: str, errors: dict[str, float], pretrainings: int = 5
) -> tuple[list[Path], list[str]]:
    """Results and names of several pre-trainings of each way."""
    runs, names = [], []
    for number, (name, error) in enumerate(errors.items()):
        for index in range(pretrainings):
            seed = 100 * number + index
            runs.append(result(folder / f"{name}-{index}", target, error=error, seed=seed, trainings=2))
            names.append(name)
    return runs, names
