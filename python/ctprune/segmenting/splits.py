"""Splits of volumes by patient, as in a fine-tuning: train, choose the epoch, evaluate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctprune.environment.words import counted
from ctprune.errors import TaskError
from ctprune.finetuning.images import LabeledImages
from ctprune.finetuning.overlaps import SplitOverlap, find_overlaps
from ctprune.finetuning.splits import SELECT, Splits, completed
from ctprune.segmenting.volumes import Volumes
from ctprune.selection.fingerprint import dhash
from ctprune.tasks.listing import TEST, TRAIN, VAL, Entry


def assign_splits(volumes: Volumes, *, fraction: float, seed: int) -> Splits:
    """Take the splits of the data and draw what is missing, by patient; `Splits.names` has one for each volume.

    With train, val and test, val chooses the epoch and test is evaluated; with train and test, a part of train
    becomes val. Without test, val (given, or a part of the volumes) is evaluated, and a part of train is set aside
    as `select`.

    Raises:
        TaskError: A split has no volume, or the masks of train are empty.
    """
    names = np.array([one.case.split or TRAIN for one in volumes.volumes]).astype("U8")
    patients = [one.patient for one in volumes.volumes]
    splits = completed(names, np.zeros(len(names), np.int64), patients, fraction=fraction, seed=seed)
    for split in (TRAIN, splits.selection, splits.evaluated):
        if not len(splits.rows(split)):
            raise TaskError(
                f"{volumes.source}: the split {split} has no volume: expected volumes of three patients or more, "
                "so that some train, some choose the epoch and some are evaluated"
            )
    if not _seen(volumes, splits.rows(TRAIN)).any():
        raise TaskError(f"{volumes.source}: the masks of train show nothing of {', '.join(volumes.classes)}")
    return splits


def slices_of(volumes: Volumes, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The slices of some volumes among those of all, in order."""
    found = [np.arange(volumes.volumes[row].rows.start, volumes.volumes[row].rows.stop) for row in chosen]
    return np.concatenate([np.zeros(0, np.int64), *found])


def counts_of(volumes: Volumes, splits: Splits) -> dict[str, dict[str, int]]:
    """Number of patients, volumes and slices of each split."""
    patients = volumes.patients()
    found = {}
    for split in (TRAIN, SELECT, VAL, TEST):
        rows = splits.rows(split)
        if len(rows):
            found[split] = {
                "patients": len({patients[row] for row in rows}),
                "volumes": len(rows),
                "slices": len(slices_of(volumes, rows)),
            }
    return found


def overlaps_of(volumes: Volumes, splits: Splits) -> list[SplitOverlap]:
    """Patients and near-duplicate slices that splits share, as the guard of a fine-tuning finds them."""
    entries, names = [], []
    for volume, split in zip(volumes.volumes, splits.names.tolist(), strict=True):
        count = len(volume.lines)
        entries += [Entry(f"{volume.case.name}#{index}", "", split, volume.patient) for index in range(count)]
        names += [split] * count
    images = LabeledImages(
        entries=entries,
        labels=np.zeros(len(entries), np.int64),
        classes=("",),
        pixels=volumes.pixels,
        fingerprints=dhash(volumes.pixels),
        contents=[],
        intensity=volumes.intensity,
        modality=volumes.modality,
    )
    return find_overlaps(images, Splits(np.array(names), splits.evaluated, splits.selection, splits.seeded))


def notes_of(volumes: Volumes, splits: Splits) -> list[str]:
    """Sentences about what the data lack: patients, and classes in the evaluated split."""
    found = []
    without = sum(one.patient is None for one in volumes.volumes)
    if without:
        which = (
            "patients are"
            if without == len(volumes.volumes)
            else f"the patients of {counted(without, 'volume')} are"
        )
        found.append(
            f"{which} not known: each such volume counts as a patient of its own; name patients with "
            "`patient_pattern` or a column patient"
        )
    for split in (TRAIN, splits.evaluated):
        seen = _seen(volumes, splits.rows(split))
        missing = [name for name, is_there in zip(volumes.classes, seen, strict=True) if not is_there]
        if missing:
            found.append(f"{split} shows nothing of class {', '.join(missing)}")
    return found


def _seen(volumes: Volumes, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether each class but background is in the squares of some volumes, shape (classes,)."""
    found = np.zeros(len(volumes.classes) + 1, np.bool_)
    for row in chosen:
        found[volumes.labels[volumes.volumes[row].rows]] = True
    return found[1:]
