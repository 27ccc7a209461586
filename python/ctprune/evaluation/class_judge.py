"""Measures of classes on any part of the evaluated images, for subgroups."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.levels import Levels, levels_of
from ctprune.evaluation.measured import worth_of
from ctprune.evaluation.pooled import pooled_metrics
from ctprune.evaluation.predictions import positive_class
from ctprune.evaluation.units import no_interval_because, unit_of_images
from ctprune.evaluation.weighted import weighted_metrics

_Floats = npt.NDArray[np.float64]
_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassJudge:
    """A `Judge` of classes, see `ctprune.evaluation.subgroups`.

    Attributes:
        labels: Index of each image's class, (images,).
        probabilities: Probabilities of shape (seeds, images, classes).
        classes: Names of the classes.
        positive: The positive one of two; None with more classes.
        patients: Patient of each image, None where not known.
        each: What each label is of, such as `volume`, in words.
    """

    labels: npt.NDArray[np.int64]
    probabilities: _Floats
    classes: tuple[str, ...]
    positive: str | None
    patients: list[str | None]
    each: str = "image"
    levels: Levels = field(init=False)

    def __post_init__(self) -> None:
        one_backbone = [0] * len(self.probabilities)
        object.__setattr__(self, "levels", levels_of(self.probabilities, one_backbone))

    def pooled(self, rows: _Rows) -> dict[str, dict[str, float]]:
        """Each of `METRICS`, as for all images."""
        return pooled_metrics(
            self.labels[rows],
            self.probabilities[:, rows],
            self.classes,
            patients=self._patients(rows),
            positive=self.positive,
        )

    def weighted(self, rows: _Rows, weights: _Floats) -> dict[str, _Floats]:
        """Each of `METRICS` of each seed for weights of these images."""
        which = positive_class(self.classes, self.positive)
        found = [weighted_metrics(self.labels[rows], one[rows], weights, which) for one in self.probabilities]
        return {name: np.stack([one[name] for one in found]) for name in found[0]}

    def missing(self, rows: _Rows) -> str | None:
        """A class without an image, or too few patients of one."""
        present = set(self.labels[rows].tolist())
        for number, name in enumerate(self.classes):
            if number not in present:
                return f"no {self.each} of class {name}"
        return no_interval_because(self.labels[rows], self.classes, patients=self._patients(rows), each=self.each)

    def worth(self, rows: _Rows) -> float:
        """Of the rarest class."""
        return worth_of(self.labels[rows], unit_of_images(self._patients(rows), len(rows)))

    def _patients(self, rows: _Rows) -> list[str | None]:
        return [self.patients[row] for row in rows]
