"""A seeded part of labeled images, the same share of every class, by patient where patients are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def sample_part(
    labels: npt.NDArray[np.int64],
    groups: Sequence[str | None],
    *,
    fraction: float,
    seed: int,
    leave_some: bool,
) -> npt.NDArray[np.bool_]:
    """Choose a part of the images; images of one group are chosen together or not at all.

    Groups come in a seeded order. A group is taken if this brings the numbers of chosen images by class nearer to
    their shares (in squares, summed over the classes). A class that got no image then gets its smallest group.

    Args:
        labels: Class of each image, int64 of shape (n,); or, where an image can have several, a column for each
            with 1 where it has it, int64 of shape (n, columns).
        groups: Patient of each image; None counts as a separate patient.
        fraction: Share of the images, above 0 and up to 1.
        seed: Seed of the order.
        leave_some: Never choose all images of a class: every class must also remain in the rest.

    Returns:
        Bool of shape (n,): the chosen images, the same on every machine and with every version of numpy.

    >>> int(sample_part(np.array([0] * 5 + [1] * 20), [None] * 25, fraction=0.2, seed=0, leave_some=True).sum())
    5
    """
    if fraction == 1:
        return np.ones(len(labels), np.bool_)
    number = numbers_of(groups)
    members = labels if labels.ndim == 2 else np.eye(labels.max(initial=-1) + 1, dtype=np.int64)[labels]
    counts = np.zeros((number.max(initial=-1) + 1, members.shape[1]), np.int64)
    np.add.at(counts, number, members)
    total = counts.sum(0)
    target = np.maximum(np.rint(fraction * total), np.minimum(total, 1))
    # Raw numbers of a bit generator, unlike numpy's distributions, never change from version to version.
    order = np.argsort(np.random.PCG64(seed).random_raw(len(counts)), kind="stable")
    taken = np.zeros(len(counts), np.bool_)
    sums = np.zeros_like(total)
    for group in order:
        nearer = ((sums + counts[group] - target) ** 2).sum() < ((sums - target) ** 2).sum()
        if nearer and not (leave_some and _exhausts(sums, counts[group], total)):
            taken[group] = True
            sums = sums + counts[group]
    for label in np.flatnonzero((sums == 0) & (total > 0)):
        # Its groups were all too large.
        candidates = [
            g for g in order if counts[g, label] and not (leave_some and _exhausts(sums, counts[g], total))
        ]
        if candidates:
            group = min(candidates, key=lambda g: counts[g].sum())
            taken[group] = True
            sums = sums + counts[group]
    chosen: npt.NDArray[np.bool_] = taken[number]
    return chosen


def numbers_of(groups: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """The groups as numbers from 0 in order of first appearance; each None is a group of its own.

    >>> numbers_of(["a", None, "a", None]).tolist()
    [0, 1, 0, 2]
    """
    known: dict[object, int] = {}
    return np.array(
        [known.setdefault(index if group is None else group, len(known)) for index, group in enumerate(groups)],
        np.int64,
    )


def _exhausts(sums: npt.NDArray[np.int64], added: npt.NDArray[np.int64], total: npt.NDArray[np.int64]) -> bool:
    """Whether no image of a class is left after adding these."""
    return bool(((added > 0) & (sums + added == total)).any())
