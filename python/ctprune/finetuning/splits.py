"""Splits: which images train, which choose the epoch, which are evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctprune.errors import TaskError
from ctprune.finetuning.labeled import Labeled
from ctprune.finetuning.sampling import sample_part
from ctprune.tasks.listing import TEST, TRAIN, VAL

#: The part of train that chooses the epoch if the data have no split left for this.
SELECT = "select"


@dataclass(frozen=True, eq=False)
class Splits:
    """The split of every image, or of every other unit, which the methods also take as `images`.

    Attributes:
        names: Split of each image: `train`, `val`, `test` or `select`; empty for images that are left out.
        evaluated: The split that is reported.
        selection: The split whose accuracy chooses the epoch.
        seeded: Splits that were drawn, not given.
    """

    names: npt.NDArray[np.str_]
    evaluated: str
    selection: str
    seeded: tuple[str, ...]

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Rows of the images in this split, ascending."""
        return np.flatnonzero(self.names == split)

    def of_images(self, of_image: npt.NDArray[np.int64]) -> Splits:
        """The split of every image, from the unit of each, int64 of shape (images,)."""
        return replace(self, names=self.names[of_image])

    def counts(self, images: Labeled) -> dict[str, dict[str, int]]:
        """Number of images by split and class."""
        found = Counter(zip(self.names.tolist(), images.labels.tolist(), strict=True))
        order = [name for name in (TRAIN, SELECT, VAL, TEST) if name in self.names]
        return {
            split: {name: found[split, number] for number, name in enumerate(images.classes)} for split in order
        }

    def patients(self, images: Labeled) -> dict[str, dict[str, int]]:
        """By split the number of patients, and of images whose patient is not known."""
        found = {}
        for split in self.counts(images):
            patients = [images.entries[row].patient for row in self.rows(split)]
            known = {patient for patient in patients if patient is not None}
            found[split] = {"patients": len(known), "images_without": sum(patient is None for patient in patients)}
        return found

    def notes(self, images: Labeled) -> list[str]:
        """Sentences about what the splits lack: patients, and classes in the selecting split."""
        found = []
        counts = self.patients(images).values()
        without = sum(count["images_without"] for count in counts)
        if without:
            known = any(count["patients"] for count in counts)
            which = f"the patients of {without:,} {images.unit}s are" if known else "patients are"
            # Arrays have no names of files, nor columns.
            mend = ": name the patients with `patient_pattern` or a column patient"
            if images.entries[0].file is None:
                mend = ""
            found.append(
                f"{which} not known, so one patient's {images.unit}s may be in several splits, and intervals "
                f"treat each {images.unit} as a separate patient{mend}"
            )
        missing = [name for name, count in self.counts(images)[self.selection].items() if not count]
        if missing:
            found.append(
                f"{self.selection} has no {images.unit} of class {', '.join(missing)}: only the other classes "
                f"chose the epoch or regularization; more patients or a larger `val_fraction` prevent this"
            )
        return found

    def sentence(self, what: str = "images", chosen: str = "the epoch or the regularization was") -> str:
        """A sentence about what was evaluated, and why.

        Args:
            what: What is split.
            chosen: What was chosen on the selecting split, with its verb.
        """
        if self.evaluated == TEST:
            where = "a seeded part of train" if self.selection in self.seeded else "val"
            return f"evaluated on the split test; {chosen} chosen on {where}"
        drawn = f"a seeded part of the {what}" if VAL in self.seeded else "the split val"
        return (
            f"there is no test split: evaluated on {drawn} (if you tuned on this split, these values are "
            f"optimistic); {chosen} chosen on a seeded part of train"
        )


def assign_splits(images: Labeled, source: Path, *, fraction: float, seed: int) -> Splits:
    """Take the splits of the data and draw what is missing, by patient where patients are known.

    With train, val and test, val chooses the epoch and test is evaluated; with train and test, a part of train
    becomes val. Without test, val (given, or a part of the images) is evaluated, and a part of train is set aside
    as `select`.

    Raises:
        TaskError: There is no train split, a class is not in train, fewer than two classes are in the evaluated
            split, or nothing is left to choose the epoch by.
    """
    given = np.array([entry.split or TRAIN for entry in images.entries])
    names = given.astype("U8")
    if not (names == TRAIN).any():
        raise TaskError(f"{source}: no {images.unit} is in train")
    _check_train(names, images, source)
    patients = [entry.patient for entry in images.entries]
    splits = completed(names, images.strata, patients, fraction=fraction, seed=seed)
    _check_train(splits.names, images, source)
    _check_evaluated(splits, images, source)
    if not len(splits.rows(splits.selection)):
        raise TaskError(
            f"{source}: `val_fraction` {fraction:g} of the train split: expected at least one patient to choose "
            "the epoch, found none: give a larger `val_fraction`, or a split val"
        )
    return splits


def completed(
    names: npt.NDArray[np.str_],
    strata: npt.NDArray[np.int64],
    patients: Sequence[str | None],
    *,
    fraction: float,
    seed: int,
) -> Splits:
    """The given splits with parts of train for those that are missing, see `assign_splits`.

    Args:
        names: Split of each item: `train`, `val` or `test`.
        strata: Class of each, or a column for each label; every class gets its share.
        patients: Patient of each, or None; no patient is in two drawn splits.
        fraction: Share of train.
        seed: Seed of the choice.
    """
    names, seeded = names.copy(), []
    has_test = bool((names == TEST).any())
    missing = [] if (names == VAL).any() else [VAL]
    for name in missing if has_test else [*missing, SELECT]:
        train = np.flatnonzero(names == TRAIN)
        if len(train):
            known = [patients[row] for row in train.tolist()]
            part = sample_part(strata[train], known, fraction=fraction, seed=seed, leave_some=True)
            names[train[part]] = name
        seeded.append(name)
    return Splits(names, TEST if has_test else VAL, VAL if has_test else SELECT, tuple(seeded))


def _check_train(names: npt.NDArray[np.str_], images: Labeled, source: Path) -> None:
    trained = set(images.labels[names == TRAIN].tolist())
    for number, name in enumerate(images.classes):
        if number not in trained:
            where = sorted(set(names[images.labels == number].tolist()))
            raise TaskError(
                f"{source}: class {name} is in {' and '.join(where)}, but has no {images.unit} in train"
            )


def _check_evaluated(splits: Splits, images: Labeled, source: Path) -> None:
    found = set(images.labels[splits.rows(splits.evaluated)].tolist())
    few = "patients" if images.unit == "patient" else f"{images.unit}s or patients"
    for number, name in enumerate(images.classes):
        if number not in found:
            raise TaskError(
                f"{source}: the evaluated split {splits.evaluated} has no {images.unit} of class {name}: it "
                f"needs {images.unit}s of every class"
                + ("" if splits.evaluated not in splits.seeded else f"; the class has too few {few}")
            )
