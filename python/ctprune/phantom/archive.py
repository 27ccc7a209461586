"""The archive: a folder per patient with its study, and the label table."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from ctprune.errors import CtpruneError
from ctprune.phantom import scout
from ctprune.phantom.dose import dose_dataset
from ctprune.phantom.images import enhanced_dataset, localizer_dataset, slice_dataset
from ctprune.phantom.lesions import place_lesions
from ctprune.phantom.patient import Patient
from ctprune.phantom.reconstruct import Reconstruction
from ctprune.phantom.scanner import PROTOCOLS, Scan
from ctprune.phantom.study import Study

LABELS = "labels.csv"
LABEL_COLUMNS = ("path", "patient", "label", "lesion", "frame")

# What a random generator is for, so that changing one draw leaves the others as they are.
_PATIENT, _SCAN, _LESIONS, _PHOTONS, _WHO_IS_ILL = range(5)


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


@dataclass(frozen=True)
class _Label:
    path: str
    patient: str
    lesion: str
    frame: int

    def row(self) -> tuple[str, str, int, str, int]:
        return self.path, self.patient, int(bool(self.lesion)), self.lesion, self.frame


def write_archive(
    out: str | os.PathLike[str], *, patients: int = 4, seed: int = 1, size: int = 256, slices: int = 40
) -> ArchiveSummary:
    """Write a synthetic CT archive in DICOM to the folder `out`, which must not exist or be empty.

    Each patient has one study: a scout, one or two series of at most `slices` axial slices of `size` × `size`
    pixels, and a dose report. Four scanners take turns; together they cover six transfer syntaxes, two kernels,
    slice distances of 1 to 8 mm, a tilted gantry and an enhanced multi-frame object. Half of the patients have
    lesions in the lung or the liver; `labels.csv` has a row per slice: path (relative to `out`, with `/`), patient,
    label (1 where a lesion is visible), lesion (`lung nodule`, `liver lesion` or empty) and frame.

    The same arguments give the same bytes, and patient 1 is the same whatever the number of patients.
    Raises CtpruneError if an argument is out of range or `out` holds something.
    """
    _check_arguments(patients=patients, seed=seed, size=size, slices=slices)
    target = Path(out)
    _check_target(target)
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    # Written beside its place and renamed, so that a killed run leaves no half archive under the name.
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=parent))
    try:
        summary = _write_all(
            beside / "archive", target, patients=patients, seed=seed, size=size, slices=slices
        )
        if target.exists():
            target.rmdir()
        (beside / "archive").rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return summary


def _check_arguments(*, patients: int, seed: int, size: int, slices: int) -> None:
    ranges = {
        "patients": (patients, 1, 9999),
        "seed": (seed, 0, 2**63 - 1),
        "size": (size, 64, 2048),
        "slices": (slices, 1, 440),
    }
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise CtpruneError(f"{name} must be {low} to {high}, not {value}")


def _check_target(target: Path) -> None:
    if target.is_dir():
        if any(target.iterdir()):
            raise CtpruneError(
                f"{target} is not empty: choose a new or an empty folder for the phantom archive"
            )
    elif target.exists() or target.is_symlink():
        raise CtpruneError(
            f"{target} is not a folder: choose a new or an empty folder for the phantom archive"
        )


def _write_all(
    folder: Path, target: Path, *, patients: int, seed: int, size: int, slices: int
) -> ArchiveSummary:
    folder.mkdir()
    labels: list[_Label] = []
    series = files = 0
    for number in range(1, patients + 1):
        case = _Case(number, seed=seed, size=size, slices=slices)
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


class _Case:
    """One patient with its scan, and the objects and labels that come of it."""

    def __init__(self, number: int, *, seed: int, size: int, slices: int) -> None:
        self._seed, self._number = seed, number
        protocol = PROTOCOLS[(number - 1) % len(PROTOCOLS)]
        self._patient = Patient(self._rng(_PATIENT))
        self._scan = Scan.plan(
            protocol, slices=slices, size=size, width_mm=self._patient.width_mm, rng=self._rng(_SCAN)
        )
        if self._is_ill():
            self._patient.lesions = place_lesions(self._rng(_LESIONS), self._patient, self._scan)
        self.study = Study(
            number=number,
            root=f"ctprune phantom/{seed}/{size}/{slices}",
            protocol=protocol,
            sex="F" if self._patient.build.breast_mm else "M",
            age_years=30 + 7 * number % 50,
        )
        self.labels: list[_Label] = []

    def objects(self) -> Iterator[tuple[str, Dataset]]:
        """Each object of the study with its path; fills `labels` on the way."""
        picture, top_mm = scout.scout(self._patient, self._scan)
        yield (
            self._path(1, "scout", 0),
            localizer_dataset(self.study, picture=picture, top_mm=top_mm, spacing_mm=scout.PIXEL_MM),
        )
        yield from self._slices()
        last = len(self.study.protocol.series) + 2
        yield self._path(last, "dose", 0), dose_dataset(self.study, series=last, slices=self._scan.slices)

    def _slices(self) -> Iterator[tuple[str, Dataset]]:
        """All series at once, slice by slice: they share the acquisition, and painting it is what takes time."""
        plans = self.study.protocol.series
        reconstruction = Reconstruction(self._patient, self.study.protocol, self._scan)
        frames: dict[int, list[np.ndarray]] = {
            series: [] for series, plan in enumerate(plans, 2) if plan.enhanced
        }
        for index in range(self._scan.slices):
            images = reconstruction.images(index, [plan.kernel for plan in plans], self._rng(_PHOTONS, index))
            lesion = self._lesion_at(index)
            for series, (plan, image) in enumerate(zip(plans, images, strict=True), 2):
                stored = reconstruction.stored(image)
                path = self._path(series, plan.kernel.name, 0 if plan.enhanced else index)
                self.labels.append(_Label(path, self.study.key, lesion, index if plan.enhanced else 0))
                if plan.enhanced:
                    frames[series].append(stored)
                else:
                    yield (
                        path,
                        slice_dataset(
                            self.study, plan, self._scan, series=series, index=index, stored=stored
                        ),
                    )
        for series, collected in frames.items():
            plan = plans[series - 2]
            ds = enhanced_dataset(self.study, plan, self._scan, series=series, frames=collected)
            yield self._path(series, plan.kernel.name, 0), ds

    def _path(self, series: int, name: str, index: int) -> str:
        return f"{self.study.key}/{series:02d}-{name}/IM{index + 1:04d}{self.study.protocol.file_suffix}"

    def _lesion_at(self, index: int) -> str:
        if not self._patient.shows_lesion(self._scan.plane(index)):
            return ""
        return "lung nodule" if self._patient.lesions[0].organ == "lung" else "liver lesion"

    def _is_ill(self) -> bool:
        """One of each pair of patients: half of them, and no scanner goes with illness."""
        pair, second = divmod(self._number - 1, 2)
        coin = np.random.default_rng([self._seed, _WHO_IS_ILL, pair]).integers(2)
        return bool(coin == second)

    def _rng(self, purpose: int, *index: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, purpose, self._number, *index])
