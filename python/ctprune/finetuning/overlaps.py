"""Leakage between splits: patients in two splits, and near-duplicates across splits, all pairs compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.words import counted
from ctprune.finetuning.images import LabeledImages
from ctprune.finetuning.splits import Splits
from ctprune.overlapping.near import find_near
from ctprune.tasks.listing import TEST, TRAIN, VAL

#: Largest Hamming distance of near-duplicates, in bits of 64: the paper's threshold.
NEAR = 6


@dataclass(frozen=True)
class SplitOverlap:
    """Patients and near-duplicates that two splits share.

    Attributes:
        splits: Names of the two splits.
        patients: Number of patients in both; None if one of the splits has no image with a known patient.
        near_duplicates: Number of images of the second split that have a near-duplicate in the first.
        identical: Number of near-duplicates whose square equals one in the first split, pixel by pixel.
    """

    splits: tuple[str, str]
    patients: int | None
    near_duplicates: int
    identical: int

    def __bool__(self) -> bool:
        """Whether the splits share anything."""
        return bool(self.patients or self.near_duplicates)

    def to_dict(self) -> dict[str, Any]:
        """The attributes for JSON."""
        return {
            "splits": list(self.splits),
            "patients": self.patients,
            "near_duplicates": self.near_duplicates,
            "identical": self.identical,
        }

    def sentence(self) -> str:
        """The overlap as a sentence."""
        first, second = self.splits
        shared = (
            f"{first} and {second}: patients not known"
            if self.patients is None
            else f"{first} and {second} share {self.patients} patient{'' if self.patients == 1 else 's'}"
        )
        images = counted(self.near_duplicates, "image")
        has = "has" if self.near_duplicates == 1 else "have"
        return f"{shared}, and {images} of {second} {has} a near-duplicate in {first} ({self.identical} identical)"


def find_overlaps(images: LabeledImages, splits: Splits) -> list[SplitOverlap]:
    """Overlap of each pair of splits, also of `select` and train, which are drawn from one split."""
    present = [name for name in (TRAIN, splits.selection, VAL, TEST) if name in splits.names]
    return [_overlap(images, splits, *pair) for pair in combinations(dict.fromkeys(present), 2)]


def overlap_sentences(overlaps: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each two splits that share anything, from the overlaps in a result.

    >>> overlap_sentences([{"splits": ["train", "val"], "patients": 0, "near_duplicates": 0, "identical": 0}])
    []
    """
    found = [SplitOverlap(**{**one, "splits": tuple(one["splits"])}) for one in overlaps]
    return [overlap.sentence() for overlap in found if overlap]


def without_overlap(
    images: LabeledImages, splits: Splits, of_image: npt.NDArray[np.int64] | None = None
) -> Splits:
    """The same splits, without the images of train and the selecting split that overlap with the evaluated one.

    The evaluated split stays as it is, so that results remain comparable. With `of_image`, the unit of each image,
    the splits are those of units, and a unit is left out whole where one of its images is.
    """
    if of_image is not None:
        before = splits.of_images(of_image)
        left_out = without_overlap(images, before).names != before.names
        kept = splits.names.copy()
        kept[of_image[left_out]] = ""
        return replace(splits, names=kept)
    names = splits.names.copy()
    evaluated = splits.rows(splits.evaluated)
    patients = {images.entries[row].patient for row in evaluated} - {None}
    for name in {TRAIN, splits.selection}:
        rows = splits.rows(name)
        shared = np.array([images.entries[row].patient in patients for row in rows], np.bool_)
        near = find_near(images.fingerprints[rows], images.fingerprints[evaluated], NEAR).found
        names[rows[shared | near]] = ""
    return Splits(names, splits.evaluated, splits.selection, splits.seeded)


def _overlap(images: LabeledImages, splits: Splits, first: str, second: str) -> SplitOverlap:
    rows, others = splits.rows(first), splits.rows(second)
    near = others[find_near(images.fingerprints[others], images.fingerprints[rows], NEAR).found]
    patients, others_patients = _patients(images, rows), _patients(images, others)
    known = {images.squares[row].tobytes() for row in _candidates(images, rows, near)}
    return SplitOverlap(
        splits=(first, second),
        patients=len(patients & others_patients) if patients and others_patients else None,
        near_duplicates=len(near),
        identical=sum(images.squares[row].tobytes() in known for row in near),
    )


def _patients(images: LabeledImages, rows: npt.NDArray[np.int64]) -> set[str]:
    return {patient for row in rows if (patient := images.entries[row].patient) is not None}


def _candidates(
    images: LabeledImages, rows: npt.NDArray[np.int64], near: npt.NDArray[np.int64]
) -> Iterator[np.int64]:
    """Rows whose fingerprint equals that of one of `near`: equal images have equal fingerprints."""
    wanted = {images.fingerprints[row].tobytes() for row in near}
    return (row for row in rows if images.fingerprints[row].tobytes() in wanted)
