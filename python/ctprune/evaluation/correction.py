"""Many comparisons at once: p-values that allow for how many there are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ctprune.errors import EvaluationError


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Holm's step-down adjusted p-values: the chance of even one false alarm among all (Holm 1979).

    nan stays nan and does not count as a comparison.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    return _adjusted(p_values, _holm)


def benjamini_hochberg(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Adjusted p-values of Benjamini and Hochberg (1995): the share of false alarms among all alarms.

    nan stays nan and does not count as a comparison.

    >>> benjamini_hochberg([0.01, 0.02, 0.06]).tolist()
    [0.03, 0.03, 0.06]
    """
    return _adjusted(p_values, _benjamini_hochberg)


def _adjusted(
    p_values: npt.ArrayLike, adjust: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    found = np.array(p_values, dtype=np.float64)
    defined = np.flatnonzero(~np.isnan(found))
    if ((found[defined] < 0) | (found[defined] > 1)).any():
        raise EvaluationError("p-values: expected 0 to 1, found others")
    rising = defined[np.argsort(found[defined], kind="stable")]
    found[rising] = np.minimum(adjust(found[rising]), 1)
    return found


def _holm(rising: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.maximum.accumulate(rising * np.arange(len(rising), 0, -1))


def _benjamini_hochberg(rising: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    scaled = rising * len(rising) / np.arange(1, len(rising) + 1)
    return np.minimum.accumulate(scaled[::-1])[::-1]


def decision_levels(p_values: npt.ArrayLike, correction: str, *, alpha: float) -> npt.NDArray[np.float64]:
    """The level at which a correction decides each comparison: an interval at 1 − level agrees with the decision.

    Holm's method tests the smallest of m p-values at alpha / m, the next at alpha / (m − 1), and stops at the
    first that fails; all later ones are decided at that one's level. Benjamini and Hochberg's decides all at alpha
    · R / m, where R differences are found; such intervals of those found miss the truth in a share of alpha
    (Benjamini and Yekutieli 2005). nan is not decided and has the level of the strictest.

    >>> decision_levels([0.001, 0.2, 0.03], "holm", alpha=0.06).tolist()
    [0.02, 0.03, 0.03]
    >>> decision_levels([0.001, 0.2, 0.03], "benjamini-hochberg", alpha=0.06).tolist()
    [0.04, 0.04, 0.04]
    """
    found = np.asarray(p_values, dtype=np.float64)
    defined = ~np.isnan(found)
    count = max(1, int(defined.sum()))
    real = int((CORRECTIONS[correction](found)[defined] < alpha).sum())
    if correction == "benjamini-hochberg":
        return np.where(defined, alpha * max(1, real) / count, alpha / count)
    ranks = np.zeros(len(found))
    ranks[np.flatnonzero(defined)[np.argsort(found[defined], kind="stable")]] = np.arange(defined.sum())
    levels: npt.NDArray[np.float64] = alpha / (count - np.minimum(ranks, min(real, count - 1)))
    return levels


#: By the name in options and results.
CORRECTIONS: dict[str, Callable[[npt.ArrayLike], npt.NDArray[np.float64]]] = {
    "holm": holm,
    "benjamini-hochberg": benjamini_hochberg,
}
