"""Ways to feed a pre-training: from ctprune's store, from PNG as is usual, from DICOM in every epoch, from memory.

Each has batches like `StoreBatches` and something that makes views of them like `BatchViews`, so that one and the
same training takes them all.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightly.transforms.swav_transform import SwaVTransform
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.transforms import v2

from benches.series import picture
from ctprune.pretraining.batches import StoreBatches
from ctprune.pretraining.view_config import CropConfig


@dataclass(frozen=True, kw_only=True)
class TrainingInput:
    """Where slices come from, and how they become views.

    Attributes:
        channels: Of the views.
    """

    name: str
    batches: StoreBatches | LoaderBatches | ResidentBatches
    views: torch.nn.Module
    channels: int = 1
    note: str = ""


class LoaderBatches:
    """Shuffled batches of a dataset by torch's DataLoader; its slices are repeated to fill an epoch."""

    def __init__(
        self, dataset: Dataset[Any], batch_size: int, steps: int, *, workers: int, device: torch.device
    ) -> None:
        self.steps_per_epoch = steps
        self.slices = steps * batch_size
        self._device = device
        rows = repeated(len(dataset), self.slices).tolist()  # type: ignore[arg-type]
        self._loader = DataLoader(
            Subset(dataset, rows),
            batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            # Started once, as in any long training.
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
        )

    def epoch(self, number: int, start_step: int = 0) -> Generator[tuple[Any, None], None, None]:
        for data in self._loader:
            if isinstance(data, list):
                yield [view.to(self._device, non_blocking=True) for view in data], None
            else:
                yield data.to(self._device, non_blocking=True), None


class ResidentBatches:
    """The same views again and again, on the device already."""

    def __init__(self, views: list[Tensor], steps: int) -> None:
        self.steps_per_epoch = steps
        self.slices = steps * len(views[0])
        self._views = views

    def epoch(self, number: int, start_step: int = 0) -> Generator[tuple[Any, None], None, None]:
        for _ in range(self.steps_per_epoch):
            yield self._views, None


class AsTheyAre(torch.nn.Module):
    """For batches that are views already."""

    def draw(self, slices: int, side: int, generator: torch.Generator) -> torch.Generator:
        return generator

    def forward(self, views: list[Tensor], chance: torch.Generator) -> list[Tensor]:
        return views


class Pictures(Dataset[Any]):
    """RGB pictures through a transform, one at a time."""

    def __init__(self, files: Sequence[Path], transform: Any) -> None:
        self._files = files
        self._transform = transform

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Any:
        with Image.open(self._files[index]) as image:
            return self._transform(image.convert("RGB"))


class DicomFiles(Dataset[Any]):
    """Squares as in ctprune's store, decoded by pydicom, one at a time."""

    def __init__(self, files: Sequence[Path], side: int) -> None:
        self._files = files
        self._side = side

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(np.array(square(picture(self._files[index]), self._side)))


def lightly_transform(crops: Sequence[CropConfig]) -> SwaVTransform:
    """lightly's transform for SwAV as it comes, but for the number and size of crops."""
    large, small = crops
    return SwaVTransform(crop_sizes=(large.size, small.size), crop_counts=(large.count, small.count))


def square(whole: Image.Image, side: int) -> Image.Image:
    """Its middle: the shorter side becomes `side`."""
    resized = v2.functional.resize(whole, [side], interpolation=v2.InterpolationMode.LANCZOS)
    return v2.functional.center_crop(resized, [side])


def write_pictures(files: Sequence[Path], folder: Path, side: int | None = None) -> list[Path]:
    """The slices as 8-bit RGB PNG, whole or as squares."""
    folder.mkdir()
    written = []
    for file in files:
        shown = picture(file) if side is None else square(picture(file), side)
        written.append(folder / f"{file.stem}.png")
        shown.convert("RGB").save(written[-1])
    return written


def repeated(slices: int, count: int) -> npt.NDArray[np.int64]:
    """The numbers of all slices, over and over, until there are `count`."""
    return np.resize(np.arange(slices, dtype=np.int64), count)
