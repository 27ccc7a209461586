"""The archive: a folder per patient with its study, and the label table."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from ctprune.errors import ConfigError
from ctprune.files.atomic import new_folder
from ctprune.phantom.case import Case, Label

LABELS = "labels.csv"
LABEL_COLUMNS = ("path", "patient", "label", "lesion", "frame")


@dataclass(frozen=True)
class ArchiveSummary:
    """What was written: `files` counts DICOM files, `slices` axial CT slices, each series by itself."""

    path: Path
    patients: int
    patients_with_lesion: int
    series: int
    slices: int
    slices_with_lesion: int
    files: int
    bytes: int


def write_archive(
    out: str | os.PathLike[str], *, patients: int = 4, seed: int = 1, size: int = 256, slices: int = 40
) -> ArchiveSummary:
    """Write a synthetic CT archive in DICOM to the folder `out`, which must not exist or be empty.

    Each patient has one study: a scout, one or two series of at most `slices` axial slices of `size` × `size`
    pixels, and a dose report. Four scanners take turns; together they cover six transfer syntaxes, two
    kernels, slice distances of 1 to 8 mm, a tilted gantry and an enhanced multi-frame object.

    Half of the patients have lesions in the lung or the liver. `labels.csv` has a row per slice: path
    (relative to `out`, with `/`), patient, label (1 where a lesion is visible, else 0), lesion (`lung
    nodule`, `liver lesion` or empty) and frame (from 0; only the enhanced object has more than one).

    The same arguments give the same bytes, and patient 1 is the same whatever the number of patients.
    Raises ConfigError if an argument is out of range, OutputError if `out` holds something or cannot be written.
    """
    _check_arguments(patients=patients, seed=seed, size=size, slices=slices)
    target = Path(out)
    with new_folder(target) as folder:
        return _write_all(folder, target, patients=patients, seed=seed, size=size, slices=slices)


def _check_arguments(*, patients: int, seed: int, size: int, slices: int) -> None:
    ranges = {
        "patients": (patients, 1, 9999),
        "seed": (seed, 0, 2**63 - 1),
        "size": (size, 64, 2048),
        "slices": (slices, 1, 440),
    }
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise ConfigError(f"{name} must be {low} to {high}, not {value}")


def _write_all(folder: Path, target: Path, *, patients: int, seed: int, size: int, slices: int) -> ArchiveSummary:
    labels: list[Label] = []
    series = files = 0
    for number in range(1, patients + 1):
        case = Case(number, seed=seed, size=size, slices=slices)
        for path, ds in case.objects():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            ds.save_as(folder / path, enforce_file_format=True)
            files += 1
        series += len(case.study.protocol.series)
        labels += sorted(case.labels, key=lambda label: (label.path, label.frame))
    with (folder / LABELS).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(LABEL_COLUMNS)
        writer.writerows(label.row() for label in labels)
    ill = [label for label in labels if label.lesion]
    return ArchiveSummary(
        path=target,
        patients=patients,
        patients_with_lesion=len({label.patient for label in ill}),
        series=series,
        slices=len(labels),
        slices_with_lesion=len(ill),
        files=files,
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )
