"""Labels and probabilities, checked once for all measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ctprune.errors import EvaluationError

#: Largest distance of a row's sum from one: probabilities may have been stored as float16.
_SUM_TOLERANCE = 1e-2


def checked_labels(labels: npt.ArrayLike, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """The labels as int64 of shape (images,), each the index of a class.

    Raises:
        EvaluationError: Fewer than two classes, no image, or a label that is not the index of a class.
    """
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise EvaluationError(f"classes {list(classes)}: expected two or more different names")
    array = np.asarray(labels)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
        raise EvaluationError(
            f"labels: expected whole numbers of shape (images,), found {array.dtype} of {array.shape}"
        )
    if array.min() < 0 or array.max() >= len(classes):
        raise EvaluationError(f"labels: expected 0 to {len(classes) - 1}, found {array.min()} to {array.max()}")
    return array.astype(np.int64)


def checked_probabilities(
    probabilities: npt.ArrayLike, images: int, classes: Sequence[str]
) -> npt.NDArray[np.float64]:
    """The probabilities as float64 of shape (seeds, images, classes); without seeds there is one.

    Raises:
        EvaluationError: Another shape, a value that is not a probability, or a row that does not sum to one.
    """
    array = np.asarray(probabilities, dtype=np.float64)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[1:] != (images, len(classes)) or not array.shape[0]:
        raise EvaluationError(
            f"probabilities: expected (images, classes) = ({images}, {len(classes)}), with seeds before them "
            f"where there are several, found {np.shape(probabilities)}"
        )
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1 + _SUM_TOLERANCE:
        raise EvaluationError("probabilities: expected values from 0 to 1, found others or nan")
    if np.abs(array.sum(axis=2) - 1).max() > _SUM_TOLERANCE:
        raise EvaluationError("probabilities: expected every row to sum to 1, found one that does not")
    return array


def positive_class(classes: Sequence[str], positive: str | None) -> int | None:
    """Index of the positive class of two; None where there are more, as each is positive once then.

    Raises:
        EvaluationError: `positive` is not a class, or there are more than two.
    """
    if len(classes) > 2:
        if positive is not None:
            raise EvaluationError(
                f"positive {positive}: only two classes have a positive one, found {len(classes)}"
            )
        return None
    if positive is None:
        return 1
    if positive not in classes:
        raise EvaluationError(f"positive {positive}: expected one of {', '.join(classes)}")
    return list(classes).index(positive)
