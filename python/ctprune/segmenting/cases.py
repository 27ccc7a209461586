"""Lists volumes with masks: folders of nnU-Net and the Decathlon, masks beside volumes, or a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ctprune.errors import ConfigError, SourceError, TaskError
from ctprune.tasks.class_folders import files_below
from ctprune.tasks.columns import Columns
from ctprune.tasks.label_table import SUFFIXES, read_table, split_of
from ctprune.tasks.listing import SPLIT_NAMES, TEST, TRAIN, patient_of

#: What a mask's file is called: the name of its volume with one of these at the end, or one of these alone.
MASK_ENDINGS = ("_mask", "_seg", "_label")

#: Endings of the one format of masks.
_NIFTI = (".nii.gz", ".nii")

#: Names of the labels, as nnU-Net and the Decathlon write them.
NAMES = "dataset.json"

_IMAGES, _LABELS, _TEST_IMAGES, _TEST_LABELS = "imagesTr", "labelsTr", "imagesTs", "labelsTs"


@dataclass(frozen=True)
class Case:
    """One volume and its mask.

    Attributes:
        name: The volume's path below the data, with `/`.
        image: File of the volume, or folder of its series.
        mask: File of the mask, NIfTI.
        split: `train`, `val`, `test`, or None if the data have no splits.
        patient: A text that identifies the patient, or None. It goes into no result.
    """

    name: str
    image: Path
    mask: Path
    split: str | None = None
    patient: str | None = None


@dataclass(frozen=True)
class Cases:
    """All cases, and the names of their labels; None if the data have no names.

    Attributes:
        source: File or folder of the data.
        cases: In the order in which the data list them.
        names: Name of each label but 0.
        others_are_background: Whether other labels may be in the masks, and are background.
        notes: Sentences that the reader must know.
    """

    source: Path
    cases: list[Case]
    names: dict[int, str] | None
    others_are_background: bool = False
    notes: tuple[str, ...] = ()


def list_cases(data: Path, patient_pattern: str | None = None, names: dict[int, str] | None = None) -> Cases:
    """List volumes with their masks.

    Args:
        data: A folder or a table, see docs/segment.md.
        patient_pattern: Regular expression that takes the patient from a volume's name.
        names: Labels to learn, with their names; None takes those of `dataset.json`.

    Raises:
        SourceError: There is no such file or folder, or no volume with a mask in it.
        TaskError: Volumes, masks and names of labels that do not fit together.
        ConfigError: Data of another kind, or a pattern that matches no name.
    """
    if not data.exists():
        raise SourceError(f"{data}: no such file or folder")
    notes: tuple[str, ...] = ()
    if data.is_dir() and ((data / _IMAGES).is_dir() or (data / _LABELS).is_dir()):
        cases, notes = _nnunet(data)
    elif data.is_dir():
        cases = list(_pairs(data))
    elif data.suffix.lower() in SUFFIXES:
        cases = list(_table(data))
    else:
        raise ConfigError(f"{data}: expected a folder of volumes with masks, or a table ({', '.join(SUFFIXES)})")
    if not cases:
        raise SourceError(
            f"{data}: expected volumes with masks, such as NAME.nii.gz with NAME{MASK_ENDINGS[0]}.nii.gz or "
            f"{_IMAGES} with {_LABELS}, found none"
        )
    _check(data, cases)
    if patient_pattern is not None:
        cases = [replace(one, patient=one.patient or patient_of(one.name, patient_pattern)) for one in cases]
        if all(one.patient is None for one in cases):
            raise ConfigError(
                f"patient_pattern {patient_pattern}: matches no volume's name, such as "
                f"{cases[0].name.rpartition('/')[2]}",
                field="patient_pattern",
            )
    is_chosen = names is not None
    if names is None:
        names = _names(data if data.is_dir() else data.parent)
    return Cases(data, cases, names, is_chosen, notes)


def _nnunet(data: Path) -> tuple[list[Case], tuple[str, ...]]:
    """`imagesTr` with `labelsTr`, and, if both exist, `imagesTs` with `labelsTs` as the test split."""
    for name in (_IMAGES, _LABELS):
        if not (data / name).is_dir():
            raise TaskError(f"{data}: expected folders {_IMAGES} and {_LABELS}, found no {name}")
    has_test = (data / _TEST_IMAGES).is_dir() and (data / _TEST_LABELS).is_dir()
    cases = _of_folders(data, _IMAGES, _LABELS, TRAIN if has_test else None)
    if has_test:
        return cases + _of_folders(data, _TEST_IMAGES, _TEST_LABELS, TEST), ()
    without = (data / _TEST_IMAGES).is_dir()
    return cases, (f"{_TEST_IMAGES} is not used: there is no {_TEST_LABELS}",) if without else ()


def _of_folders(data: Path, images: str, labels: str, split: str | None) -> list[Case]:
    masks = {_stem(file): file for file in _volumes(data / labels)}
    found: dict[str, Path] = {}
    for file in _volumes(data / images):
        name, _, channel = _stem(file).rpartition("_")
        if len(channel) == 4 and channel.isdecimal():
            if channel != "0000":
                raise TaskError(
                    f"{data}: {images}/{file.name} is a second channel: expected volumes of one channel (_0000)"
                )
        else:
            name = _stem(file)
        found[name] = file
    for name in (*found, *masks):
        if name not in masks:
            raise TaskError(f"{data}: {images}/{found[name].name} has no mask {name}.nii.gz in {labels}")
        if name not in found:
            raise TaskError(f"{data}: {labels}/{masks[name].name} has no volume {name}_0000.nii.gz in {images}")
    return [
        Case(file.relative_to(data).as_posix(), file, masks[name], split) for name, file in sorted(found.items())
    ]


def _volumes(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if _is_nifti(file) and not file.name.startswith(".")]


def _pairs(data: Path) -> Iterator[Case]:
    """Each mask with its volume: a file or series folder beside it, or the series around it."""
    files = list(files_below(data))
    for mask in files:
        if not _is_nifti(mask):
            continue
        stem = _stem(mask)
        ending = next((one for one in MASK_ENDINGS if stem.endswith(one) or stem == one[1:]), None)
        if ending is None:
            continue
        name = stem.removesuffix(ending) if stem.endswith(ending) else ""
        if name:
            options = [mask.with_name(name + suffix) for suffix in _NIFTI] + [mask.with_name(name)]
            image = next((one for one in options if one.exists()), None)
            wanted = f"{name}.nii.gz or a folder {name}"
        else:
            image = mask.parent if any(file.parent == mask.parent and file != mask for file in files) else None
            wanted = "the slices of a series"
        if image is None:
            raise TaskError(
                f"{data}: {mask.relative_to(data).as_posix()} has no volume: expected {wanted} beside it"
            )
        relative = image.relative_to(data)
        split = SPLIT_NAMES.get(relative.parts[0].lower()) if len(relative.parts) > 1 else None
        yield Case(relative.as_posix(), image, mask, split)


def _table(file: Path) -> Iterator[Case]:
    """A row per volume: `image`, `mask` and, where known, `split` and `patient`."""
    for number, row in enumerate(read_table(file, required=(), named=Columns(path="image", label="mask")), 1):
        for column, name in (("image", "path"), ("mask", "label")):
            if row[name] is None:
                raise TaskError(f"{file}: row {number} has no {column}")
            if not (file.parent / row[name]).exists():
                raise TaskError(f"{file}: names {row[name]}, but there is no such file or folder in {file.parent}")
        if not _is_nifti(Path(row["label"])):
            raise TaskError(
                f"{file}: row {number}: expected a mask in NIfTI (.nii.gz or .nii), found {row['label']}"
            )
        yield Case(
            name=row["path"].replace("\\", "/"),
            image=file.parent / row["path"],
            mask=file.parent / row["label"],
            split=split_of(file, row),
            patient=row.get("patient"),
        )


def _check(data: Path, cases: list[Case]) -> None:
    """Refuse masks that are listed twice, and splits that only some volumes have."""
    seen: set[Path] = set()
    for case in cases:
        if case.mask in seen:
            raise TaskError(f"{data}: {case.mask.name} is listed twice: expected a mask for each volume")
        seen.add(case.mask)
    without = [case.name for case in cases if case.split is None]
    if without and len(without) < len(cases):
        raise TaskError(
            f"{data}: {without[0]} has no split, but other volumes do: give a split to all volumes or to none"
        )


def _names(folder: Path) -> dict[int, str] | None:
    """The name of each label except 0 in `dataset.json`; None without that file."""
    file = folder / NAMES
    if not file.is_file():
        return None
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))["labels"]
        pairs = [_label(*pair) for pair in labels.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise TaskError(
            f'{file}: expected names of labels, such as "labels": {{"background": 0, "liver": 1}}; regions of '
            "several labels are not supported: name labels with `classes`, or remove the file"
        ) from None
    if any(name == "ignore" for _, name in pairs):
        raise TaskError(f"{file}: the label ignore is not supported: name the labels to learn with `classes`")
    found = {label: name for label, name in pairs if label}
    if len(found) < len({name for label, name in pairs if label}) or not found:
        raise TaskError(f"{file}: expected a name for each label, each once")
    return found


def _label(key: str, value: Any) -> tuple[int, str]:
    """A label and its name, as nnU-Net (name: label) or the Decathlon (label: name) writes them.

    >>> _label("liver", 1), _label("1", "liver")
    ((1, 'liver'), (1, 'liver'))
    """
    if isinstance(value, str):
        return int(key), value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(value)
    return value, key


def _is_nifti(file: Path) -> bool:
    return file.name.lower().endswith(_NIFTI)


def _stem(file: Path) -> str:
    return next((file.name[: -len(end)] for end in _NIFTI if file.name.lower().endswith(end)), file.name)
