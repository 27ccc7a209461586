"""Measures of any kind of prediction, over seeds and any part of the images, with intervals from resamples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.bootstrap import resample_weights, resampled_covariance
from ctprune.evaluation.estimate import mean_estimate
from ctprune.evaluation.levels import Levels, levels_of
from ctprune.evaluation.measured import worth_of
from ctprune.evaluation.scales import Scale, scaled_interval
from ctprune.evaluation.units import too_few_units, unit_of_images

_Floats = npt.NDArray[np.float64]
_Rows = npt.NDArray[np.int64]

#: A function of truth and one seed's prediction, (images, columns) each, and of how often each image counts,
#: (weightings, images), to measures by name, (weightings,); nan where a weighting does not define one.
Weighted = Callable[[_Floats, _Floats, _Floats], dict[str, _Floats]]

_RESAMPLES = 500


@dataclass(frozen=True, eq=False)
class PredictionJudge:
    """What measures predictions, see `ctprune.evaluation.subgroups.Judge`.

    An interval covers the variation over patients and over seeds, as `ctprune.evaluation.estimate` says, on a
    scale that suits the measure.

    Attributes:
        truth: What is true, (images, columns).
        predictions: What is predicted, (seeds, images, columns).
        patients: Patient of each image, None where not known.
        measures: What measures one seed.
        scales: Scale of each measure, by name; None for fractions.
        labelings: Ways to sort images into groups that all need enough patients: group of each image, (images,),
            and what its images are, such as `with label nodule`.
        unit: What is judged, for sentences: `image`, `volume` or `patient`.
    """

    truth: _Floats
    predictions: _Floats
    patients: Sequence[str | None]
    measures: Weighted
    scales: Mapping[str, Scale | None]
    labelings: Sequence[tuple[npt.NDArray[np.int64], Sequence[str]]] = ()
    unit: str = "image"
    levels: Levels = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", levels_of(self.predictions, [0] * len(self.predictions)))

    def weighted(self, rows: _Rows, weights: _Floats) -> dict[str, _Floats]:
        """Each measure of each seed for weights of these images, (seeds, weightings)."""
        found = [self.measures(self.truth[rows], one[rows], weights) for one in self.predictions]
        return {name: np.stack([one[name] for one in found]) for name in found[0]}

    def pooled(self, rows: _Rows) -> dict[str, dict[str, float]]:
        """Mean, standard deviation over seeds and 95 % interval of each measure."""
        values = {name: one[:, 0] for name, one in self.weighted(rows, np.ones((1, len(rows)))).items()}
        unit = unit_of_images(self._patients(rows), len(rows))
        samples: dict[str, list[_Floats]] = {name: [] for name in values}
        sure = self.missing(rows) is None
        for _, weights in resample_weights(unit, _RESAMPLES, seed=0) if sure else ():
            for name, one in self.weighted(rows, weights).items():
                samples[name].append(self.levels.weights @ one)
        return {name: self._described(name, of_seeds, samples[name], rows) for name, of_seeds in values.items()}

    def missing(self, rows: _Rows) -> str | None:
        """A group without an image, or too few patients (images where none are known), of all or of a group."""
        for labels, names in self._labelings(rows):
            for number, name in enumerate(names):
                if not (labels == number).any():
                    return f"no {self.unit} {name}"
            reason = too_few_units(labels, names, patients=self._patients(rows), each=self.unit)
            if reason is not None:
                return reason
        return None

    def worth(self, rows: _Rows) -> float:
        """Effective number of patients, of the rarest group where there are some."""
        unit = unit_of_images(self._patients(rows), len(rows))
        return min(worth_of(labels, unit) for labels, _ in self._labelings(rows))

    def _labelings(self, rows: _Rows) -> list[tuple[npt.NDArray[np.int64], Sequence[str]]]:
        """Those of these images; without any, all are one group."""
        return [(labels[rows], names) for labels, names in self.labelings] or [
            (np.zeros(len(rows), np.int64), [""])
        ]

    def _described(self, name: str, of_seeds: _Floats, samples: list[_Floats], rows: _Rows) -> dict[str, float]:
        nan = float("nan")
        low, high = nan, nan
        if samples:
            units = len(np.unique(unit_of_images(self._patients(rows), len(rows))))
            covariance = resampled_covariance(np.concatenate(samples, axis=1), units)
            worth = self.worth(rows)
            found = mean_estimate(self.levels.weights @ of_seeds, covariance, image_freedom=worth - 1)
            low, high = scaled_interval(found, self.scales[name], worth)
        std = float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else nan
        return {"mean": float(of_seeds.mean()), "std": std, "low": low, "high": high}

    def _patients(self, rows: _Rows) -> list[str | None]:
        return [self.patients[row] for row in rows]
