"""Whether there are enough patients or images to estimate an interval from: one rule for all intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ctprune.errors import EvaluationError

#: Fewest patients (images where patients are not known) of each class. No resample of n values reaches beyond
#: them, and the range of n independent values holds their median with probability 1 − 2^(1 − n): 94 % for five,
#: 97 % for six. A 95 % interval from fewer than six would claim what no resampling can give.
LEAST_UNITS = 6


def unit_of_images(patients: Sequence[str | None] | None, images: int) -> npt.NDArray[np.int64]:
    """For each image the number of what is drawn as a whole: its patient, or itself where none is known."""
    if patients is None:
        return np.arange(images)
    if len(patients) != images:
        raise EvaluationError(f"patients: expected one for each of {images} images, found {len(patients)}")
    numbers: dict[object, int] = {}
    # An image without a patient is a unit of its own.
    keys = [("patient", p) if p is not None else ("image", i) for i, p in enumerate(patients)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def unit_name(patients: Sequence[str | None] | None, *, each: str = "image") -> str:
    """What is drawn as a whole: `patient` where any is known, else what each label is of.

    >>> unit_name(["a", None]), unit_name([None, None])
    ('patient', 'image')
    """
    return "patient" if patients is not None and any(p is not None for p in patients) else each


def no_interval_because(
    labels: npt.ArrayLike,
    classes: Sequence[str],
    *,
    patients: Sequence[str | None] | None = None,
    each: str = "image",
) -> str | None:
    """Why no interval can be estimated, in words; None where one can.

    Each class that has an image needs images of `LEAST_UNITS` patients; an image whose patient is not known counts
    as a patient of its own. With no interval there is no test and no verdict either.

    Args:
        labels: Index of each image's class, (images,).
        classes: Names of the classes.
        patients: Patient of each image, None where not known.
        each: What each label is of, such as `volume`, in words.

    >>> no_interval_because([0, 0, 1], ["0", "1"], patients=["a", "a", "a"])
    '1 patient: no interval can be estimated'
    >>> no_interval_because([0, 0, 0, 0, 0, 0, 1, 1], ["healthy", "ill"])
    '2 images of class ill: no interval can be estimated from fewer than 6'
    """
    return too_few_units(labels, [f"of class {name}" for name in classes], patients=patients, each=each)


def too_few_units(
    labels: npt.ArrayLike,
    groups: Sequence[str],
    *,
    patients: Sequence[str | None] | None = None,
    each: str = "image",
) -> str | None:
    """Why no interval can be estimated from images in groups, such as `with label nodule`, in words, else None.

    >>> too_few_units([0, 0, 0, 0, 0, 0, 1, 1], ["without label nodule", "with label nodule"])
    '2 images with label nodule: no interval can be estimated from fewer than 6'
    """
    label = np.asarray(labels)
    unit = unit_of_images(patients, len(label))
    name = unit_name(patients, each=each)
    total = len(np.unique(unit))
    if total < LEAST_UNITS:
        return _sentence(total, name, each)
    counts = {c: len(np.unique(unit[label == c])) for c in np.unique(label).tolist()}
    rarest = min(counts, key=lambda c: counts[c])
    return None if counts[rarest] >= LEAST_UNITS else _sentence(counts[rarest], name, each, groups[rarest])


def _sentence(count: int, name: str, each: str, group: str | None = None) -> str:
    # A patient whose label is its own needs no images in the group.
    with_images = f"with {each}s " if name != each else ""
    whose = "" if group is None else f" {with_images}{group}"
    limit = "" if count == 1 else f" from fewer than {LEAST_UNITS}"
    return f"{count} {name}{'' if count == 1 else 's'}{whose}: no interval can be estimated{limit}"
