"""The archive: a folder per patient with its study, and the label table."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctprune.files.atomic import new_folder
from ctprune.options.configure import configure
from ctprune.phantom.case import Case, Label
from ctprune.phantom.config import PhantomConfig, PhantomOptions
from ctprune.phantom.masks import write_table
from ctprune.phantom.study import patient_key

if TYPE_CHECKING:
    from typing_extensions import Unpack

LABELS = "labels.csv"
LABEL_COLUMNS = ("path", "patient", "label", "lesion", "frame")


@dataclass(frozen=True)
class ArchiveSummary:
    """What was written: `files` counts DICOM files, `slices` axial CT slices, each series by itself.

    `bytes` is the size of all files together, `masks` the number of NIfTI masks.
    """

    path: Path
    patients: int
    patients_with_lesion: int
    series: int
    slices: int
    slices_with_lesion: int
    files: int
    bytes: int
    masks: int


def write_archive(
    out: str | os.PathLike[str], config: PhantomConfig | None = None, /, **options: Unpack[PhantomOptions]
) -> ArchiveSummary:
    """Write a synthetic CT archive in DICOM.

    Each patient has one study: a scout, one or two series of axial slices of `size` × `size` pixels, and a dose
    report. Four scanners take turns; together they cover six transfer syntaxes, two kernels, slice distances of 1
    to 8 mm (unless `spacing_mm` says others), a tilted gantry and an enhanced multi-frame object.

    Half of the patients have lesions in the lung or the liver. `labels.csv` has a row per slice: path
    (relative to `out`, with `/`), patient, label (1 where a lesion is visible, else 0), lesion (`lung nodule`,
    `liver lesion` or empty), frame (from 0; only the enhanced object has more than one) and, with `val_patients`
    or `test_patients`, split.

    With `masks`, each series has a NIfTI mask beside its folder, and `masks.csv` a row per series: image (the
    folder), mask, patient and, as above, split. `dataset.json` names the labels.

    Args:
        out: Folder of the archive; new or empty.
        config: What the archive contains; cannot be combined with single options.
        options: Options of `ctprune.phantom.PhantomConfig`, such as `patients=4`.

    Raises:
        ConfigError: An option cannot be used.
        OutputError: The folder holds something or cannot be written.

    >>> import ctprune, tempfile
    >>> ctprune.phantom.write_archive(tempfile.mkdtemp(), patients=1, size=64).patients
    1
    """
    config = configure(PhantomConfig, config, options)
    target = Path(out)
    with new_folder(target) as folder:
        return _write_all(folder, target, config)


def _splits(config: PhantomConfig) -> dict[str, tuple[str]]:
    """The split of each patient by the key in the table; empty where there are none."""
    if not config.val_patients + config.test_patients:
        return {}
    sizes = zip(("train", "val", "test"), config.splits, strict=True)
    names = [name for name, patients in sizes for _ in range(patients)]
    return {patient_key(number): (name,) for number, name in enumerate(names, 1)}


def _write_all(folder: Path, target: Path, config: PhantomConfig) -> ArchiveSummary:
    labels: list[Label] = []
    masks: list[tuple[str, str, str]] = []
    series = files = 0
    for number in range(1, config.patients + 1):
        case = Case(number, config)
        for path, ds in case.objects():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            ds.save_as(folder / path, enforce_file_format=True)
            files += 1
        for mask in case.masks() if config.masks else ():
            mask.save(folder)
            masks.append(mask.row())
        series += len(case.study.protocol.series)
        labels += sorted(case.labels, key=lambda label: (label.path, label.frame))
    splits = _splits(config)
    if masks:
        write_table(folder, masks, splits)
    with (folder / LABELS).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow((*LABEL_COLUMNS, *(["split"] if splits else [])))
        writer.writerows((*label.row(), *splits.get(label.patient, ())) for label in labels)
    ill = [label for label in labels if label.lesion]
    return ArchiveSummary(
        path=target,
        patients=config.patients,
        patients_with_lesion=len({label.patient for label in ill}),
        series=series,
        slices=len(labels),
        slices_with_lesion=len(ill),
        files=files,
        masks=len(masks),
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )
