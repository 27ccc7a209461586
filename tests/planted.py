"""Volumes of phantom patients, and copies made as archives make them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import ctprune
from tests.reference.slices import hounsfield_units

Volume = npt.NDArray[np.int16]


def patients(folder: Path, count: int, *, size: int = 128, slices: int = 32) -> list[Volume]:
    """HU of one volume of each of so many patients, (slices, size, size)."""
    ctprune.phantom.write_archive(folder / "dicoms", patients=count, seed=3, size=size, slices=slices)
    manifest = ctprune.reduce(folder / "dicoms", method="all")
    found = manifest.slices()
    taken: dict[str, int] = {}
    studies, of = found.labels("study_instance_uid")
    for number, first in enumerate(found.starts[:-1]):
        if found.starts[number + 1] - first >= 8:
            taken.setdefault(studies[of[first]], number)
    volumes = []
    for number in taken.values():
        rows = np.arange(found.starts[number], found.starts[number + 1])
        where = found.take(rows, ["source", "path", "frame"])
        hu = [hounsfield_units(Path(row["source"], row["path"]), row["frame"]) for row in where]
        volumes.append(np.stack(hu).astype(np.int16))
    return volumes


def _smoothed(volume: Volume) -> Volume:
    """As by a softer kernel: the mean of 3 × 3 pixels."""
    padded = np.pad(volume.astype(np.float32), ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows, columns = volume.shape[1:]
    parts = [padded[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return (np.sum(parts, axis=0) / 9).round().astype(np.int16)


def _sharpened(volume: Volume) -> Volume:
    """As by a sharper kernel, with its noise."""
    noise = np.random.default_rng(0).normal(0, 40, volume.shape)
    return (2 * volume.astype(np.float32) - _smoothed(volume) + noise).round().astype(np.int16)


def _cropped(share: float) -> Callable[[Volume], Volume]:
    def crop(volume: Volume) -> Volume:
        edge = round(volume.shape[1] * share / 2)
        return volume[:, edge:-edge, edge:-edge]

    return crop


def _windowed(volume: Volume) -> Volume:
    """Gray of the window of soft tissue, as in exported pictures."""
    return (np.clip((volume + 160.0) / 400, 0, 1) * 255).round().astype(np.int16)


def _as_jpeg(volume: Volume) -> Volume:
    gray = (np.clip((volume + 1000.0) / 1400, 0, 1) * 255).round().astype(np.uint8)

    def once(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=60)
        return np.asarray(Image.open(file))

    return np.stack([once(picture) for picture in gray]).astype(np.int16)


def _halved(volume: Volume) -> Volume:
    slices, rows, columns = volume.shape
    blocks = volume[:, : rows // 2 * 2, : columns // 2 * 2].reshape(slices, rows // 2, 2, columns // 2, 2)
    return blocks.mean(axis=(2, 4)).round().astype(np.int16)


def _scanned_again(share: float) -> Callable[[Volume], Volume]:
    """As by a second scan: slices halfway between those of the first, the patient a little aside, other noise."""

    def scan(volume: Volume) -> Volume:
        between = (volume[:-1].astype(np.float32) + volume[1:]) / 2
        aside = np.roll(between, round(volume.shape[2] * share), 2)
        noise = np.random.default_rng(1).normal(0, 20, aside.shape)
        return (aside + noise).round().astype(np.int16)

    return scan


#: How a copy is made, by name.
COPIES: dict[str, Callable[[Volume], Volume]] = {
    "same pixels": lambda volume: volume,
    "softer kernel": _smoothed,
    "sharper kernel, noise of 40 HU": _sharpened,
    "window of soft tissue": _windowed,
    "JPEG, quality 60": _as_jpeg,
    "resized by half": _halved,
    "slices in reverse": lambda volume: volume[::-1],
    "every second slice": lambda volume: volume[::2],
    "a part: the middle 60 %": lambda volume: volume[len(volume) // 5 : len(volume) - len(volume) // 5],
    "left and right exchanged": lambda volume: volume[:, :, ::-1],
    "top and bottom exchanged": lambda volume: volume[:, ::-1],
    "half a turn": lambda volume: volume[:, ::-1, ::-1],
    "quarter of a turn": lambda volume: np.rot90(volume, axes=(1, 2)),
    "scanned again, patient at the same place": _scanned_again(0),
    "scanned again, patient 1 % aside": _scanned_again(0.01),
    "scanned again, patient 2 % aside": _scanned_again(0.02),
    "shifted by 5 %": lambda volume: np.roll(volume, (volume.shape[1] // 20, volume.shape[2] // 20), (1, 2)),
    "field of view cropped by 5 %": _cropped(0.05),
    "field of view cropped by 10 %": _cropped(0.10),
    "field of view cropped by 20 %": _cropped(0.20),
}


def fingerprints(volume: Volume) -> npt.NDArray[np.uint8]:
    """dHashes, uint8 of shape (slices, 8)."""
    return ctprune.dhash(np.ascontiguousarray(volume))
