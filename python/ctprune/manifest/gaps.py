"""How far along the body dropped slices are from their exemplars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ctprune.environment.lazy import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

#: A more distant exemplar shows another part of the body: this is about two vertebrae.
FAR_MM = 50.0

#: If at least this share of the dropped slices has such distant exemplars, the user is told.
WORTH_A_WORD = 0.01


def gap_percentiles(gaps_mm: npt.NDArray[np.float32]) -> dict[str, Any] | None:
    """The summary's percentiles of the distances between n dropped slices and their exemplars; None if n is 0.

    Args:
        gaps_mm: The distances along the body in mm, of shape (n,).

    Returns:
        `slices` (n), `median`, `p90`, `p99` and `largest` in mm, and `far`: how many exceed 50 mm.

    >>> gap_percentiles(np.array([1, 2, 3, 60], np.float32))
    {'slices': 4, 'median': 2.5, 'p90': 42.9, 'p99': 58.29, 'largest': 60.0, 'far': 1}
    """
    if not len(gaps_mm):
        return None
    median, p90, p99, largest = np.percentile(gaps_mm.astype(np.float64), [50, 90, 99, 100])
    return {
        "slices": len(gaps_mm),
        "median": round(float(median), 3),
        "p90": round(float(p90), 3),
        "p99": round(float(p99), 3),
        "largest": round(float(largest), 3),
        "far": int((gaps_mm > FAR_MM).sum()),
    }
