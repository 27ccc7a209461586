"""One patient of the archive: the scan, the DICOM objects that come of it, and their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ctprune.phantom import scout
from ctprune.phantom.config import PhantomConfig
from ctprune.phantom.dose import dose_dataset
from ctprune.phantom.images import Stored, enhanced_dataset, localizer_dataset, slice_dataset
from ctprune.phantom.lesions import place_lesions
from ctprune.phantom.masks import Mask
from ctprune.phantom.patient import Patient
from ctprune.phantom.reconstruct import Reconstruction
from ctprune.phantom.scanner import PROTOCOLS, Protocol, Scan
from ctprune.phantom.study import Study

# What a random generator is for, so that changing one draw leaves the others as they are.
_PATIENT, _SCAN, _LESIONS, _PHOTONS, _WHO_IS_ILL = range(5)

# Less of a lesion than a disc of 8 mm is not counted as visible: the edge of one in a thick slice is faint.
_VISIBLE_MM2 = 50.0


@dataclass(frozen=True)
class Label:
    """One slice in the label table; `lesion` is empty where none is visible."""

    path: str
    patient: str
    lesion: str
    frame: int

    def row(self) -> tuple[str, str, int, str, int]:
        """List the columns as `LABEL_COLUMNS` names them: path, patient, label, lesion, frame."""
        return self.path, self.patient, int(bool(self.lesion)), self.lesion, self.frame


class Case:
    """One patient with its scan, and the objects and labels that come of it."""

    def __init__(self, number: int, config: PhantomConfig) -> None:
        self._seed, self._number, self._config = config.seed, number, config
        own = PROTOCOLS[(number - 1) % len(PROTOCOLS)]
        spacings = config.spacings_mm
        protocol = own.set_to(
            spacing_mm=spacings[(number - 1) // len(PROTOCOLS) % len(spacings)] if spacings else None,
            thickness_mm=config.thickness_mm,
            reconstructions=config.reconstructions,
        )
        self._patient = Patient(self._rng(_PATIENT), lesion_contrast=config.lesion_contrast)
        self._scan = self._planned(protocol)
        if self._is_ill():
            # By the scanner's own slices, so that patients do not depend on the distance of slices.
            self._patient.lesions = place_lesions(
                self._rng(_LESIONS),
                self._patient,
                self._scan if config.length_mm is None else self._planned(own),
                size=config.lesion_size,
            )
        self.study = Study(
            number=number,
            root=config.root,
            protocol=protocol,
            sex="F" if self._patient.build.breast_mm else "M",
            age_years=30 + 7 * number % 50,
        )
        self.labels: list[Label] = []
        self._organs: list[NDArray[np.uint8]] = []

    def objects(self) -> Iterator[tuple[str, Dataset]]:
        """Yield each object of the study with its path; fills `labels` on the way."""
        if self._config.reports:
            picture, top_mm = scout.scout(self._patient, self._scan)
            yield (
                self._path(1, "scout", 0),
                localizer_dataset(self.study, picture=picture, top_mm=top_mm, spacing_mm=scout.PIXEL_MM),
            )
        yield from self._slices()
        if self._config.reports:
            last = len(self.study.protocol.series) + 2
            yield self._path(last, "dose", 0), dose_dataset(self.study, series=last, slices=self._scan.slices)

    def masks(self) -> Iterator[Mask]:
        """Yield the mask of each series, once the objects are made."""
        for series, plan in enumerate(self.study.protocol.series, 2):
            folder = self._folder(series, plan.kernel.name)
            yield Mask(folder, f"{folder}_mask.nii.gz", self.study.key, np.stack(self._organs), self._scan)

    def _planned(self, protocol: Protocol) -> Scan:
        return Scan.plan(
            protocol,
            slices=self._config.slices,
            size=self._config.size,
            width_mm=self._patient.width_mm,
            rng=self._rng(_SCAN),
            length_mm=self._config.length_mm,
        )

    def _slices(self) -> Iterator[tuple[str, Dataset]]:
        """Yield the slices of all series side by side: they share the acquisition, which is slow to paint."""
        plans = self.study.protocol.series
        reconstruction = Reconstruction(
            self._patient, self.study.protocol, self._scan, with_organs=self._config.masks
        )
        frames: dict[int, list[Stored]] = {n: [] for n, plan in enumerate(plans, 2) if plan.enhanced}
        for index in range(self._scan.slices):
            body, lesion_mm2, organs = reconstruction.acquire(index)
            if organs is not None:
                self._organs.append(organs)
            lesion = self._lesion_name() if lesion_mm2 >= _VISIBLE_MM2 else ""
            photons = self._rng(_PHOTONS, self._moment(index))
            images = reconstruction.images(body, [plan.kernel for plan in plans], photons)
            for series, (plan, image) in enumerate(zip(plans, images, strict=True), 2):
                stored = reconstruction.stored(image)
                path = self._path(series, plan.kernel.name, 0 if plan.enhanced else index)
                self.labels.append(Label(path, self.study.key, lesion, index if plan.enhanced else 0))
                if plan.enhanced:
                    frames[series].append(stored)
                else:
                    yield (
                        path,
                        slice_dataset(self.study, plan, self._scan, stored=stored, series=series, index=index),
                    )
        for series, collected in frames.items():
            plan = plans[series - 2]
            ds = enhanced_dataset(self.study, plan, self._scan, series=series, frames=collected)
            yield self._path(series, plan.kernel.name, 0), ds

    def _moment(self, index: int) -> int:
        """What a slice's photons are drawn by: in scans of one length its position, in µm from the first."""
        return index if self._config.length_mm is None else round(1000 * index * self._scan.spacing_mm)

    def _path(self, series: int, name: str, index: int) -> str:
        return f"{self._folder(series, name)}/IM{index + 1:04d}{self.study.protocol.file_suffix}"

    def _folder(self, series: int, name: str) -> str:
        return f"{self.study.key}/{series:02d}-{name}"

    def _lesion_name(self) -> str:
        return "lung nodule" if self._patient.lesions[0].organ == "lung" else "liver lesion"

    def _is_ill(self) -> bool:
        """Choose one of each pair of patients: half of them, and no scanner goes with illness."""
        pair, second = divmod(self._number - 1, 2)
        coin = np.random.default_rng([self._seed, _WHO_IS_ILL, pair]).integers(2)
        return bool(coin == second)

    def _rng(self, purpose: int, *index: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, purpose, self._number, *index])
