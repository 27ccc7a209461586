"""Intervals and tests that count the images and the trainings, as Obuchowski, Rockette and Hillis do for readers.

A reader study asks how two ways of reading differ, whoever reads and whoever is ill; here trainings take the place
of readers. The trainings of a model are its own ("readers nested within tests"), and all models see the same
images:

    variance of a difference = Σ s²/n of both models + covariance within A + covariance within B − 2 · between them

where s² is the variance of a measure between n trainings on these images, and the covariances are those of two
trainings' measures over samples of images (DeLong's for the AUC, the bootstrap's for others). So s² holds what
trainings vary by, one by one, and the covariances what the images do to all of them together; nothing is counted
twice. s² is never taken for less than the images alone make single trainings differ by. Degrees of freedom are
Satterthwaite's, so that two trainings give a wide interval and not a wrong one. Where trainings come in pairs, s²
is the variance of their differences, and the covariances are those of two differences. `benches/calibration.py`
and `benches/pair_seeds.py` measure how often intervals hold the truth.

Obuchowski and Rockette, Communications in Statistics 24 (1995) 285; Hillis, Statistics in Medicine 26 (2007) 596
and 33 (2014) 330.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

_Floats: TypeAlias = npt.NDArray[np.float64]

#: Chance with which a difference of the smallest size that can be shown is shown.
POWER = 0.8

#: Rounding leaves about 1e-18, of either sign, where a variance is zero.
_NO_VARIANCE = 1e-15


@dataclass(frozen=True)
class Estimate:
    """A measure or a difference with its standard error.

    Attributes:
        value: The mean over trainings.
        error: Standard error of the value, from trainings and images; nan where it cannot be estimated.
        freedom: Degrees of freedom of the error.
    """

    value: float
    error: float
    freedom: float

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Both ends of the interval at level 1 − alpha.

        >>> low, high = Estimate(0.1, 0.02, math.inf).interval()
        >>> round(low, 4), round(high, 4)
        (0.0608, 0.1392)
        """
        half = _quantile(1 - alpha / 2, self.freedom) * self.error
        return self.value - half, self.value + half

    def p_value(self) -> float:
        """The two-sided p-value of no difference; without any noise 1 for equal values, else nan.

        >>> Estimate(0.1, 0.05, 4.0).p_value() > Estimate(0.1, 0.05, 100.0).p_value()
        True
        """
        if self.error == 0:
            return 1.0 if self.value == 0 else math.nan
        return 2 * self._beyond(abs(self.value))

    def equivalence_p_value(self, margin: float) -> float:
        """The larger p of both one-sided tests that the difference lies within ± margin (Schuirmann 1987).

        >>> Estimate(0.0, 0.01, math.inf).equivalence_p_value(0.02) < 0.05
        True
        """
        if self.error == 0:
            return math.nan
        return self._beyond(margin - abs(self.value))

    def detectable(self, alpha: float = 0.05) -> float:
        """The smallest true difference that a test at this level would show with a chance of 80 %.

        >>> round(Estimate(0.01, 0.02, math.inf).detectable(), 4)
        0.056
        """
        return (_quantile(1 - alpha / 2, self.freedom) + _quantile(POWER, self.freedom)) * self.error

    def _beyond(self, distance: float) -> float:
        return float(stdtr(self.freedom, -distance / self.error)) if self.freedom > 0 else math.nan


def mean_estimate(values: _Floats, covariance: _Floats, *, image_freedom: float) -> Estimate:
    """The mean measure of one model.

    Args:
        values: Measure of each level (see `Levels`), (levels,).
        covariance: Covariance of the levels over samples of images, (levels, levels).
        image_freedom: Degrees of freedom of the covariance.

    >>> one = mean_estimate(np.array([0.8]), np.array([[0.0004]]), image_freedom=50)
    >>> one.value, one.error, one.freedom
    (0.8, 0.02, 50.0)
    """
    parts = _parts(values, covariance)
    return _estimate(float(values.mean()), [parts], parts.shared, image_freedom)


def difference_estimate(
    values: _Floats,
    other_values: _Floats,
    covariance: _Floats,
    other_covariance: _Floats,
    across: _Floats,
    *,
    image_freedom: float,
) -> Estimate:
    """How much larger one model's mean measure is than the other's.

    Args:
        values: Measure of each level of the model, (levels,).
        other_values: Measure of each level of the other model, (other levels,).
        covariance: Covariance of the model's levels, (levels, levels).
        other_covariance: Covariance of the other model's levels, (other levels, other levels).
        across: Covariance between the levels of both models, (levels, other levels).
        image_freedom: Degrees of freedom of the covariances.

    >>> values, covariance = np.array([0.80, 0.82, 0.84]), np.full((3, 3), 0.001)
    >>> found = difference_estimate(values, values - 0.1, covariance, covariance, covariance, image_freedom=50)
    >>> round(found.value, 6), round(found.error, 6), round(found.freedom, 6)
    (0.1, 0.01633, 4.0)
    """
    parts, other = _parts(values, covariance), _parts(other_values, other_covariance)
    return _estimate(
        float(values.mean() - other_values.mean()),
        [parts, other],
        parts.shared + other.shared - 2 * float(across.mean()),
        image_freedom,
    )


def combined_estimate(
    values: Sequence[_Floats],
    weights: Sequence[float],
    covariances: Sequence[Sequence[_Floats]],
    *,
    image_freedom: float,
) -> Estimate:
    """A weighted sum of several models' mean measures, such as a mean of differences or a slope.

    Args:
        values: Measure of each level of each model, (levels,) each.
        weights: Weight of each model.
        covariances: For each two models the covariance between their levels, (levels, other levels).
        image_freedom: Degrees of freedom of the covariances.

    >>> values, covariance = [np.array([0.80, 0.82, 0.84]), np.array([0.70, 0.72, 0.74])], np.full((3, 3), 0.001)
    >>> found = combined_estimate(values, [1, -1], [[covariance] * 2] * 2, image_freedom=50)
    >>> round(found.value, 6), round(found.error, 6), round(found.freedom, 6)
    (0.1, 0.01633, 4.0)
    """
    parts = [_parts(one, covariances[index][index]) for index, one in enumerate(values)]
    shared = sum(weight**2 * part.shared for weight, part in zip(weights, parts, strict=True))
    for (a, first), (b, second) in itertools.combinations(enumerate(weights), 2):
        shared += 2 * first * second * float(covariances[a][b].mean())
    weighted = [
        replace(part, observed=weight**2 * part.observed, between=weight**2 * part.between)
        for weight, part in zip(weights, parts, strict=True)
    ]
    value = sum(weight * float(one.mean()) for weight, one in zip(weights, values, strict=True))
    return _estimate(value, weighted, shared, image_freedom)


def paired_estimate(
    values: Sequence[_Floats],
    weights: Sequence[float],
    covariances: Sequence[Sequence[_Floats]],
    *,
    image_freedom: float,
) -> Estimate:
    """A weighted sum of several models' measures, taken level by level and then averaged.

    The first levels of all models belong together, so do the second ones, and so on. What they share, such as the
    random weights that they start from, then counts only as far as the sum does not cancel it.

    Args:
        values: Measure of each level of each model, (levels,) each.
        weights: Weight of each model.
        covariances: For each two models the covariance between their levels, (levels, levels).
        image_freedom: Degrees of freedom of the covariances.

    >>> luck, nothing = np.array([0.80, 0.82, 0.90]), np.zeros((3, 3))
    >>> values, none = [luck + [0.01, 0.02, 0.03], luck], [[nothing] * 2] * 2
    >>> found = paired_estimate(values, [1, -1], none, image_freedom=50)
    >>> round(found.value, 6), round(found.error, 6), found.freedom
    (0.02, 0.005774, 2.0)
    """
    sums = np.tensordot(weights, np.stack(values), axes=1)
    covariance = np.einsum("a,b,abij->ij", weights, weights, np.array(covariances))
    return mean_estimate(sums, covariance, image_freedom=image_freedom)


@dataclass(frozen=True)
class _Parts:
    """Where the variance of one model's mean comes from.

    Attributes:
        observed: Variance s²/n between the trainings' own values.
        between: Variance that is used: `observed`, but at least the variance that the images alone cause between
            single trainings, as two trainings may agree by chance.
        freedom: Degrees of freedom of `observed`.
        shared: Covariance that the images cause in all trainings together.
    """

    observed: float
    between: float
    freedom: int
    shared: float


def _parts(values: _Floats, covariance: _Floats) -> _Parts:
    count = len(values)
    if count == 1:
        return _Parts(0.0, 0.0, 1, float(covariance[0, 0]))
    shared = (covariance.sum() - covariance.trace()) / (count * (count - 1))
    observed = float(values.var(ddof=1)) / count
    from_images = float(covariance.trace() / count - shared) / count
    return _Parts(observed, max(observed, from_images), count - 1, float(shared))


def _estimate(value: float, models: list[_Parts], shared: float, image_freedom: float) -> Estimate:
    # Estimated covariances may leave less than nothing.
    from_images = max(shared, 0.0) if not math.isnan(shared) else math.nan
    variance = sum(parts.between for parts in models) + from_images
    if variance < _NO_VARIANCE:
        return Estimate(value, 0.0, image_freedom)
    if image_freedom <= 0:
        return Estimate(value, math.nan, math.nan)
    below = sum(parts.observed**2 / parts.freedom for parts in models) + from_images**2 / image_freedom
    return Estimate(value, math.sqrt(variance), variance**2 / below if below > 0 else image_freedom)


def _quantile(share: float, freedom: float) -> float:
    return float(stdtrit(freedom, share)) if freedom > 0 else math.nan
