"""A probe: how well frozen features separate the classes of a small labeled set during training."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ctprune.errors import ConfigError, SourceError
from ctprune.manifest.slices import WHERE
from ctprune.networks.gray_backbone import repeat_gray
from ctprune.options.neighbors import GRAY, neighbors_mm
from ctprune.pretraining.health import knn_accuracy
from ctprune.pretraining.linear_probe import linear_measures
from ctprune.pretraining.view_config import WindowConfig
from ctprune.reading.resized import read_resized
from ctprune.reduction.reduce import reduce
from ctprune.store.channels import channel_rows
from ctprune.store.store import SliceStore

#: Columns that count as the patient of DICOM files.
_UIDS = ("study_instance_uid", "series_instance_uid")

#: Images that go through the network together.
_BATCH = 64


class ProbeMeasures(NamedTuple):
    """How well a backbone's features separate the classes, on images of patients that were left out.

    Attributes:
        knn_accuracy: Accuracy of a vote of the 20 nearest images.
        linear_accuracy: Accuracy of a logistic regression.
        linear_auc: AUC of a logistic regression; of more than two classes the mean, each against the rest.
    """

    knn_accuracy: float
    linear_accuracy: float
    linear_auc: float


class Probe:
    """A labeled set, decoded once like the store's slices, to evaluate features on.

    Args:
        folder: Folder with a folder per class, with images of any kind that ctprune reads.
        store: Store that the backbone is trained on; sets side, bits and intensity.
        window: The views' window, for stores of 16 bits.
        mean: Mean that the views are normalized with.
        std: Standard deviation that the views are normalized with.
        channels: What the network's channels show, as the option `channels` of a pre-training says. Neighbors come
            from all images of the folder.
        patient_pattern: Regular expression with one group that takes the patient from a file's name. Without it, a
            study or series counts as a patient, else a folder below the class's, else each file, so that a volume
            never classifies itself.

    Raises:
        ConfigError: The pattern matches no name, or channels show neighbors and no image has a position.
        SourceError: The folder is not there, or does not have two classes with images.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        store: SliceStore,
        *,
        window: WindowConfig | None,
        mean: float,
        std: float,
        channels: str = GRAY,
        patient_pattern: str | None = None,
    ) -> None:
        self._window, self._mean, self._std = window, mean, std
        lines, shown, config = _labeled(Path(folder), store, channels)
        needed = np.unique(shown)
        place = np.searchsorted(needed, shown)
        self._pixels = np.empty((len(needed), store.side, store.side), store.pixels.dtype)
        outcomes = read_resized([lines[index] for index in needed], self._pixels, config)
        readable = np.array([not reason for *_, reason in outcomes], np.bool_)
        own = place[:, place.shape[1] // 2]
        # A neighbor that cannot be read is replaced by the image itself.
        self._shown = np.where(readable[place], place, own[:, None])[readable[own]]
        labeled = [lines[index] for index in needed[own[readable[own]]]]
        names = [line["path"].partition("/")[0] for line in labeled]
        patients = [_patient(line, patient_pattern) for line in labeled]
        if patient_pattern is not None and not any(patient.startswith("pattern") for patient in patients):
            raise ConfigError(
                f"probe_patient_pattern {patient_pattern}: matches no file's name in {folder}",
                field="probe_patient_pattern",
            )
        self.classes = sorted(set(names))
        if len(self.classes) < 2:
            raise SourceError(
                f"`probe` {folder}: expected a folder per class with images in at least two, "
                f"found {len(self.classes)}"
            )
        if len(set(patients)) < 2:
            raise SourceError(f"`probe` {folder}: expected images of at least two patients, found one")
        self._patients = torch.tensor([sorted(set(patients)).index(patient) for patient in patients])
        self._labels = torch.tensor([self.classes.index(name) for name in names])

    def __len__(self) -> int:
        """Number of images."""
        return len(self._labels)

    @torch.no_grad()
    def measure(self, backbone: torch.nn.Module, device: torch.device) -> ProbeMeasures:
        """Classify each image by those of other patients.

        Args:
            backbone: The network; left in evaluation mode.
            device: Device of the network.
        """
        backbone.eval()
        features = []
        for start in range(0, len(self), _BATCH):
            pixels = self._pixels[self._shown[start : start + _BATCH]]
            images = torch.from_numpy(self._fractions(pixels)).to(device)
            features.append(backbone(repeat_gray((images - self._mean) / self._std)).float().cpu())
        found = torch.cat(features)
        knn = knn_accuracy(found, self._labels, patients=self._patients)
        linear = linear_measures(found.numpy(), self._labels.numpy(), self._patients.numpy())
        return ProbeMeasures(knn, linear.accuracy, linear.auc)

    def _fractions(self, pixels: Any) -> Any:
        if self._window is not None:
            return np.clip((pixels.astype(np.float32) - self._window.stored_low) / self._window.width, 0, 1)
        return pixels.astype(np.float32) / (255 if pixels.dtype.itemsize == 1 else 65535)


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Refuse a probe that is no folder.

    Raises:
        SourceError: It is none.
    """
    if not Path(folder).is_dir():
        raise SourceError(f"`probe` {folder}: expected a folder per class, found no folder")


def _labeled(
    folder: Path, store: SliceStore, channels: str
) -> tuple[list[dict[str, Any]], npt.NDArray[np.int64], dict[str, Any]]:
    """All slices, which of them each labeled one's channels show, of shape (n, 1 or 3), and how they are read."""
    check_folder(folder)
    manifest = reduce(folder, method="all", modality="any", intensity=store.intensity)
    slices = manifest.slices()
    lines = slices.rows.select([*WHERE, *_UIDS]).to_dicts()
    # Files beside the classes' folders have no class.
    labeled = [index for index, line in enumerate(lines) if "/" in line["path"]]
    labeled.sort(key=lambda index: (lines[index]["path"].encode(), lines[index]["frame"]))
    chosen, distance = np.array(labeled, np.int64), neighbors_mm(channels)
    if distance is None:
        return lines, chosen[:, None], manifest.config
    if labeled and not np.isfinite(slices.position_mm[chosen]).any():
        raise ConfigError(
            f"probe {folder}: `channels` {channels} needs the slices before and after each image, but none of its "
            "images has a position in a volume: expected DICOM series or volumes",
            field="probe",
        )
    return lines, channel_rows(slices.volume, slices.position_mm, distance)[chosen], manifest.config


def _patient(line: dict[str, Any], pattern: str | None) -> str:
    """A text that identifies an image's patient; a manifest holds no patient ID."""
    path = PurePosixPath(line["path"])
    found = None if pattern is None else re.search(pattern, path.name)
    if found is not None:
        return f"pattern {found[1]}"
    for name in _UIDS:
        if line[name]:
            return f"{name} {line[name]}"
    return f"folder {path.parent}" if len(path.parts) > 2 else f"file {path}"
