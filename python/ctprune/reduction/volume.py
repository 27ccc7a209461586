"""Read one volume as an array of Hounsfield units."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.errors import ConfigError, SourceError
from ctprune.reduction.reduce import reduce
from ctprune.sources.ahead import FetchAhead


@dataclass(frozen=True, eq=False)
class Volume:
    """One volume: the slices of one series, in order along their normal.

    Attributes:
        hu: float32 of shape (slices, rows, cols): Hounsfield units, or gray values of 8-bit pictures.
        position_mm: float64 of shape (slices,): position along the mean normal, NaN if the files give none.
        pixel_spacing_mm: Distance between rows and between columns in mm, None if the files give none.
        series_instance_uid: Series Instance UID, empty if there is none.
        paths: File of each slice.
        frames: Frame of each slice within its file.
    """

    hu: npt.NDArray[np.float32]
    position_mm: npt.NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float] | None
    series_instance_uid: str
    paths: tuple[str, ...]
    frames: tuple[int, ...]


def read_volume(
    path: str | os.PathLike[str],
    *,
    volume: int | None = None,
    order: str = "position",
    modality: str = "CT",
    max_slice_mb: int = 512,
    threads: int = 0,
) -> Volume:
    """Read a folder or file that holds one volume.

    Args:
        path: Folder or file of DICOM, NIfTI or pictures.
        volume: Number of the volume, as in the manifest of `reduce`; needed if there are several.
        order: `position` or `path`.
        modality: DICOM Modality to read.
        max_slice_mb: Limit for one decoded slice in MiB.
        threads: Number of threads, 0 for one per core.

    Raises:
        SourceError: There is no slice, or a slice cannot be read.
        ConfigError: There are several volumes and `volume` does not say which one, or slices differ in size.

    >>> import ctprune, tempfile
    >>> from pathlib import Path
    >>> archive = Path(tempfile.mkdtemp()) / "dicoms"
    >>> _ = ctprune.phantom.write_archive(archive, patients=1, size=64)
    >>> ctprune.read_volume(archive, volume=0).hu.dtype
    dtype('float32')
    """
    manifest = reduce(
        path, method="all", order=order, modality=modality, max_slice_mb=max_slice_mb, threads=threads
    )
    slices = manifest.kept()
    if not len(slices):
        raise SourceError(f"{path}: no slice was found")
    rows = _rows_of(slices, volume, path)
    shapes = set(zip(rows["rows"].tolist(), rows["columns"].tolist(), strict=True))
    if len(shapes) > 1:
        raise ConfigError(f"{path}: slices of {len(shapes)} different sizes cannot form one array")
    ((height, width),) = shapes
    paths = [os.path.join(source, file) for source, file in zip(rows["source"], rows["path"], strict=True)]
    frames = rows["frame"].tolist()
    try:
        with FetchAhead() as fetch:
            where = list(zip(paths, frames, strict=True))
            hu = _core.read_hu(where, height, width, modality, max_slice_mb, threads, fetch)
    except ValueError as error:
        raise SourceError(str(error)) from None
    first = rows.slice(0, 1).to_dicts()[0]
    spacing = first["pixel_spacing_mm"]
    return Volume(
        hu=hu,
        position_mm=rows["position_mm"],
        pixel_spacing_mm=None if spacing is None else (spacing[0], spacing[1]),
        series_instance_uid=first["series_instance_uid"] or "",
        paths=tuple(paths),
        frames=tuple(frames),
    )


def _rows_of(slices: _core.Rows, volume: int | None, path: object) -> _core.Rows:
    count = int(slices["volume"].max()) + 1
    if volume is None and count > 1:
        raise ConfigError(f"{path}: holds {count} volumes; say which one with volume=0 to volume={count - 1}")
    if volume is not None and not 0 <= volume < count:
        raise ConfigError(f"{path}: volume {volume} does not exist; found {count}, counted from 0")
    return slices.filter(slices["volume"] == (volume or 0))
