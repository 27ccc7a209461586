"""Labeled images of many layouts, each listed by a file of its own; `list_task` finds out which one it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ctprune.errors import ConfigError, SourceError
from ctprune.manifest.manifest import FILE_NAME
from ctprune.options.shared import CLASSES, MULTI_LABEL
from ctprune.tasks.archive import list_archive
from ctprune.tasks.class_folders import list_class_folders
from ctprune.tasks.columns import Columns
from ctprune.tasks.label_table import SUFFIXES, list_label_table
from ctprune.tasks.listing import Listing
from ctprune.tasks.medmnist import list_medmnist
from ctprune.tasks.name_lists import list_named_images
from ctprune.tasks.subgroups import check_subgroups
from ctprune.tasks.targets import as_target

PathLike = str | os.PathLike[str]

#: By this file the folder of a pre-training is known, without torch.
_BACKBONE_NAME = "backbone.safetensors"


def list_task(
    data: PathLike,
    *,
    split: PathLike | None = None,
    labels: PathLike | None = None,
    patient_pattern: str | None = None,
    columns: Columns | None = None,
    subgroups: Sequence[str] = (),
    target: str = CLASSES,
    levels: Sequence[str] = (),
) -> Listing:
    """List the images of a task with their labels, and with split and patient where the data name them.

    Args:
        data: A folder per class (below `train`, `val`, `test` where there are these), a CSV or Parquet table with
            `path` and `label`, a MedMNIST `.npz`, or the run of `ctprune reduce`.
        split: For folders of images, the folder of text files that list the names of a split and class each.
        labels: For a run of `ctprune reduce`, the table of labels.
        patient_pattern: Regular expression that takes the patient from a file's name.
        columns: Which columns of a table say what; by default `path`, `label`, `split` and `patient`.
        subgroups: Columns of a table whose values sort images into subgroups.
        target: What labels are, see `ctprune.tasks.targets`.
        levels: For the target `ordinal`, the levels from the lowest to the highest.

    Raises:
        SourceError: There is no such file or folder, or nothing in it.
        TaskError: Labels that do not fit together.
        ConfigError: An option that this kind of data does not take.
    """
    path = Path(data)
    if not path.exists():
        raise SourceError(f"{data}: no such file or folder")
    found = _list(path, split, labels, patient_pattern, columns, subgroups, target == MULTI_LABEL)
    check_subgroups(found, subgroups, columns or Columns())
    if patient_pattern is not None and all(entry.patient is None for entry in found.entries):
        name = found.entries[0].name.rpartition("/")[2]
        raise ConfigError(
            f"patient_pattern {patient_pattern}: matches no file's name, such as {name}", field="patient_pattern"
        )
    return as_target(found, target, levels, () if columns is None else columns.labels)


def _list(
    path: Path,
    split: PathLike | None,
    labels: PathLike | None,
    patient_pattern: str | None,
    columns: Columns | None,
    subgroups: Sequence[str],
    empty: bool,
) -> Listing:
    is_run = path.name == FILE_NAME or (path.is_dir() and (path / FILE_NAME).is_file())
    if is_run:
        if labels is None:
            raise ConfigError(f"{path} is a reduction: give the table of its labels as `labels`", field="labels")
        _refuse_split(split, "a reduction")
        return list_archive(path, Path(labels), patient_pattern, columns, subgroups, empty)
    if (path / _BACKBONE_NAME).is_file():
        raise ConfigError(f"{path} is a pre-training: give it as `weights`, and labeled images as data")
    if labels is not None:
        raise ConfigError(f"labels {labels}: belongs to a reduction, and {path} is not one", field="labels")
    if path.suffix.lower() in SUFFIXES and not path.is_dir():
        _refuse_split(split, "a table")
        return list_label_table(path, patient_pattern, columns, subgroups, empty)
    if subgroups:
        raise ConfigError(
            f"subgroup_columns {subgroups[0]}: belongs to a table of labels, and {path} is none",
            field="subgroup_columns",
        )
    if columns is not None and columns.labels:
        raise ConfigError(
            f"label_columns {columns.labels[0]}: belongs to a table of labels, and {path} is none",
            field="label_columns",
        )
    if columns is not None and columns.renamed():
        name = columns.renamed()[0]
        raise ConfigError(
            f"{name}_column {getattr(columns, name)}: belongs to a table of labels, and {path} is none",
            field=f"{name}_column",
        )
    if path.is_dir():
        if split is not None:
            return list_named_images(path, Path(split), patient_pattern)
        return list_class_folders(path, patient_pattern)
    if path.suffix.lower() == ".npz":
        _refuse_split(split, "a MedMNIST file")
        if patient_pattern is not None:
            raise ConfigError(
                "patient_pattern takes patients from file names, and a MedMNIST file has none",
                field="patient_pattern",
            )
        return list_medmnist(path)
    raise ConfigError(
        f"{path}: expected a folder, a table ({', '.join(SUFFIXES)}), a MedMNIST .npz or a reduction"
    )


def _refuse_split(split: PathLike | None, kind: str) -> None:
    if split is not None:
        raise ConfigError(f"split belongs to folders of images; {kind} defines its own splits", field="split")
