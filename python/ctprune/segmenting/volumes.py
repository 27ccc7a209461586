"""Volumes and masks: squares of gray values and labels for training, and where each slice comes from."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.environment.progress import Operation
from ctprune.errors import Interrupted, SourceError, TaskError
from ctprune.exporting.nifti import affine_of
from ctprune.files.contents import Contents
from ctprune.finetuning.fitting import read_fitted
from ctprune.finetuning.images import squares_like
from ctprune.finetuning.sampling import numbers_of
from ctprune.manifest.slices import WHERE, path_of
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.reduction import Reduction
from ctprune.segmenting.cases import Case, Cases
from ctprune.segmenting.geometry import Grid, Turn, turn_onto
from ctprune.segmenting.squares import squares_of

_MAX_SLICE_MB = 512

#: Labels that masks may hold are below this.
_LABELS = 1 << 16

#: Largest number of different labels, background included: the index of each fits into a byte.
_MOST_LABELS = 256

#: What the headers say of a slice.
_COLUMNS = [
    *WHERE,
    *("status", "reason", "volume", "slice_index", "rows", "columns", "study_instance_uid"),
    *("pixel_spacing_mm", "slice_thickness_mm", "image_position_patient", "image_orientation_patient"),
]

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Volume:
    """One volume with its mask.

    Attributes:
        case: The files.
        number: Number of the volume, from 1, in the order of the data.
        patient: A text that identifies the patient, for DICOM the study if nothing else does; or None.
        grid: Where the voxels lie.
        lines: Rows of the manifest of the slices, in order.
        mask_lines: The same of the mask's slices.
        turn: From the mask's voxels to the volume's.
        rows: The volume's slices among those of all volumes.
    """

    case: Case
    number: int
    patient: str | None
    grid: Grid
    lines: list[dict[str, Any]]
    mask_lines: list[dict[str, Any]]
    turn: Turn
    rows: slice

    def read_mask(self, threads: int = 0) -> npt.NDArray[np.uint16]:
        """Labels of the mask on the volume's voxels, as the file has them, shape (slices, rows, columns).

        Raises:
            SourceError: The mask cannot be read.
            TaskError: It holds values other than whole numbers from 0 to 65535.
        """
        first = self.mask_lines[0]
        where = [(path_of(line), line["frame"]) for line in self.mask_lines]
        try:
            values = _core.read_hu(where, first["rows"], first["columns"], "any", _MAX_SLICE_MB, threads)
        except ValueError as error:
            raise SourceError(str(error)) from None
        # Also false for NaN.
        if not (values.min() >= 0 and values.max() < _LABELS and np.array_equal(np.trunc(values), values)):
            raise TaskError(
                f"{self.case.mask}: expected labels, which are whole numbers from 0 to {_LABELS - 1}, found others"
            )
        return self.turn.apply(values.astype(np.uint16))


@dataclass(frozen=True, eq=False)
class Volumes:
    """All volumes of a task, in its order.

    Attributes:
        source: File or folder of the data.
        volumes: The volumes.
        pixels: Gray squares of all slices, uint8 of shape (n, side, side).
        labels: Squares of the index of each pixel's class, 0 for background, uint8 of shape (n, side, side).
        classes: Names of the classes but background.
        values: Label of each class in the masks.
        digest: SHA-256 of volumes, masks, splits, patients and names.
        intensity: How Hounsfield units became gray.
        modality: The DICOM Modality that was read.
    """

    source: Path
    volumes: list[Volume]
    pixels: npt.NDArray[np.uint8]
    labels: Labels
    classes: tuple[str, ...]
    values: tuple[int, ...]
    digest: str
    intensity: str
    modality: str

    def patients(self) -> list[str]:
        """Patients by number, one for each volume: no id of a patient goes into a result."""
        numbers = numbers_of([one.patient for one in self.volumes])
        return [f"patient-{number + 1:04d}" for number in numbers]

    def classes_of(self, volume: Volume, threads: int = 0) -> Labels:
        """Index of each voxel's class in the volume's mask, 0 for background, shape (slices, rows, columns)."""
        mask = volume.read_mask(threads)
        index_of = np.zeros(_LABELS, np.uint8)
        index_of[list(self.values)] = np.arange(1, len(self.values) + 1)
        found = np.empty(mask.shape, np.uint8)
        # One slice after the other: indices take eight bytes each.
        for one, labels in zip(found, mask, strict=True):
            one[:] = index_of[labels]
        return found


def read_volumes(
    cases: Cases,
    *,
    side: int,
    intensity: str,
    modality: str,
    threads: int = 0,
    operation: Operation | None = None,
) -> Volumes:
    """Read volumes and masks.

    Args:
        cases: Where they are.
        side: Rows and columns of the squares.
        intensity: How Hounsfield units become gray.
        modality: DICOM Modality to read.
        threads: Number of threads, 0 for one per core.
        operation: Told how many slices are read.

    Raises:
        SourceError: A volume or mask cannot be read.
        TaskError: A mask does not lie on its volume's voxels, or holds labels that it should not.
        Interrupted: Ctrl-C.
    """
    operation = operation or Operation()
    try:
        volumes = find_volumes(cases, modality=modality, threads=threads, operation=operation)
        return _read(cases, volumes, side, intensity, modality, threads, operation)
    except KeyboardInterrupt:
        raise Interrupted("interrupted while volumes were read; nothing was trained yet") from None


def find_volumes(cases: Cases, *, modality: str, threads: int, operation: Operation) -> list[Volume]:
    """What the headers say of volumes and masks; no pixel is read.

    Raises:
        SourceError: A volume or mask cannot be read.
        TaskError: It is not one volume, or the mask does not lie on its voxels.
    """
    operation.report("finding", 0, len(cases.cases), "volumes")
    masks = {_absolute(case.mask) for case in cases.cases}
    images = _headers([case.image for case in cases.cases], modality, threads)
    found_masks = _headers([case.mask for case in cases.cases], "any", threads)
    found: list[Volume] = []
    start = 0
    for number, case in enumerate(cases.cases, 1):
        # A mask may lie among the slices of its series.
        of_image = [line for line in images[_absolute(case.image)] if Path(path_of(line)) not in masks]
        lines = _one_volume(case.image, _slices(case.image, of_image))
        mask_lines = _one_volume(case.mask, _slices(case.mask, found_masks[_absolute(case.mask)]))
        grid = _grid(case.image, lines)
        turn = turn_onto(grid, _grid(case.mask, mask_lines))
        if isinstance(turn, str):
            raise TaskError(f"{case.mask}: the mask {turn} ({case.name}): make it from this volume")
        patient = case.patient or lines[0]["study_instance_uid"] or None
        rows = slice(start, start + len(lines))
        found.append(Volume(case, number, patient, grid, lines, mask_lines, turn, rows))
        start = rows.stop
    return found


def _read(
    cases: Cases,
    volumes: list[Volume],
    side: int,
    intensity: str,
    modality: str,
    threads: int,
    operation: Operation,
) -> Volumes:
    count = volumes[-1].rows.stop
    labels = squares_like(count, side, side)
    # Labels by the order in which they first come up, until all are known.
    numbers = {0: 0}
    for volume in volumes:
        operation.report("reading masks", volume.rows.start, count, "slices")
        mask = volume.read_mask(threads)
        for value in _present(mask):
            _check_label(value, volume, cases)
            numbers.setdefault(value, len(numbers))
        if len(numbers) > _MOST_LABELS:
            raise TaskError(
                f"{volume.case.mask}: expected at most {_MOST_LABELS - 1} different labels, found more"
            )
        number_of = np.zeros(_LABELS, np.uint8)
        number_of[list(numbers)] = list(numbers.values())
        labels[volume.rows] = number_of[squares_of(mask, side)]
    names = cases.names or {value: str(value) for value in sorted(numbers) if value}
    if not names:
        raise TaskError(f"{cases.source}: the masks hold no label but 0: expected something to segment")
    index_of = {value: index for index, value in enumerate(names, 1)}
    labels[:] = np.array([index_of.get(value, 0) for value in numbers], np.uint8)[labels]
    pixels = _squares(volumes, side, intensity, modality, threads, operation)
    return Volumes(
        source=cases.source,
        volumes=volumes,
        pixels=pixels,
        labels=labels,
        classes=tuple(names.values()),
        values=tuple(names),
        digest=_digest(volumes, names),
        intensity=intensity,
        modality=modality,
    )


def _present(mask: npt.NDArray[np.uint16]) -> list[int]:
    """The labels in a mask, ascending."""
    found = np.zeros(_LABELS, np.bool_)
    for labels in mask:
        found[labels] = True
    return [int(label) for label in np.flatnonzero(found)]


def _check_label(value: int, volume: Volume, cases: Cases) -> None:
    if value and cases.names is not None and value not in cases.names and not cases.others_are_background:
        expected = ", ".join(map(str, sorted({0, *cases.names})))
        raise TaskError(
            f"{volume.case.mask}: the mask holds label {value}, but dataset.json names {expected}: correct one of "
            "them, or name the labels to learn with `classes`"
        )


def _squares(
    volumes: list[Volume], side: int, intensity: str, modality: str, threads: int, operation: Operation
) -> npt.NDArray[np.uint8]:
    lines = [line for volume in volumes for line in volume.lines]
    pixels = squares_like(len(lines), side, side)
    reasons = read_fitted(
        lines,
        pixels,
        {"intensity": intensity, "modality": modality, "max_slice_mb": _MAX_SLICE_MB},
        fit="pad",
        threads=threads,
        progress=lambda done: operation.report("reading", done, len(lines), "slices"),
    )
    for line, reason in zip(lines, reasons, strict=True):
        if reason:
            raise SourceError(f"{path_of(line)}: {reason}")
    return pixels


def _headers(paths: list[Path], modality: str, threads: int) -> dict[Path, list[dict[str, Any]]]:
    """Rows of the manifest of each of these files and folders."""
    config = ReduceConfig(method="all", modality=modality, max_slice_mb=_MAX_SLICE_MB, threads=threads)
    found: dict[Path, list[dict[str, Any]]] = {_absolute(path): [] for path in paths}
    rows = Reduction(list(found), config, headers_only=True).carry_out().rows
    for line in rows.select(_COLUMNS).to_dicts():
        file = Path(path_of(line))
        for path in (file, *file.parents):
            if path in found:
                found[path].append(line)
    return found


def _slices(path: Path, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the slices among all of a file or folder."""
    failed = next((line for line in lines if line["status"] == "failed"), None)
    if failed is not None:
        raise SourceError(f"{path_of(failed)}: {failed['reason']}")
    slices = [line for line in lines if line["status"] in ("kept", "dropped")]
    if not slices:
        reason = next((line["reason"] for line in lines), "there is no slice in it")
        raise SourceError(f"{path}: expected a volume: {reason}")
    return slices


def _one_volume(path: Path, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Its slices in order: as NIfTI stores them, else along the body."""
    volumes = {line["volume"] for line in lines}
    if len(volumes) > 1:
        raise TaskError(
            f"{path}: expected one volume, found {len(volumes)}: name the file or folder of one series"
        )
    return sorted(lines, key=lambda line: line["frame" if line["reader"] == "nifti" else "slice_index"])


def _grid(path: Path, lines: list[dict[str, Any]]) -> Grid:
    affine = affine_of(lines)
    if isinstance(affine, str):
        # What follows is advice for another command.
        raise TaskError(f"{path}: cannot be segmented: {affine.partition(': use ')[0]}")
    return Grid((len(lines), lines[0]["rows"], lines[0]["columns"]), affine)


def _digest(volumes: list[Volume], names: dict[int, str]) -> str:
    """What is read decides it, not where it lies."""
    digest = hashlib.sha256(json.dumps(list(names.items())).encode())
    files_of = [list(dict.fromkeys(path_of(line) for line in (*one.lines, *one.mask_lines))) for one in volumes]
    contents = iter(Contents().digests([Path(file) for files in files_of for file in files]))
    for volume, files in zip(volumes, files_of, strict=True):
        about = [volume.case.name, volume.case.split, volume.patient, [next(contents) for _ in files]]
        digest.update(json.dumps(about).encode())
    return digest.hexdigest()


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
