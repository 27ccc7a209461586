"""The configuration of an export: a frozen dataclass that checks itself."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from ctprune.errors import ConfigError
from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import about, option
from ctprune.options.shared import threads_option

MODES = ("link", "copy", "png", "nifti", "nifti-slices")

USES = ("kept", "all")

#: The modes of each layout: those whose files its readers can open.
LAYOUTS: dict[str, tuple[str, ...]] = {
    "folders": MODES,
    "webdataset": ("copy", "png"),
    "imagefolder": ("png",),
    "dinov2": ("png",),
    "monai": MODES,
    "nnssl": ("nifti",),
}

#: nnssl's names for the folder of a data set.
NNSSL_FOLDER = re.compile(r"Dataset(\d{3})_\w[\w-]*")

#: Layouts in tar files.
_IN_TAR_FILES = ("webdataset", "dinov2")

_SHARD_MB = 1000

_EXPORT = "Export"


@described
@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """How slices are exported.

    Raises:
        ConfigError: An option that cannot be used.
    """

    mode: str = option(
        "png",
        choices=MODES,
        panel=_EXPORT,
        help="Export slices as links, copies, pictures or NIfTI. link and copy keep every DICOM header, patients' "
        "names included; the others have pixels only. nifti writes whole volumes, nifti-slices a file per "
        "slice, both in HU.",
    )
    folder: Path = field(metadata=about(is_path=True, flag="out", panel=_EXPORT, help="Destination (new folder)."))
    layout: str = option(
        "folders",
        choices=tuple(LAYOUTS),
        panel=_EXPORT,
        help="Layout of the files: a folder per volume, or what WebDataset, Hugging Face's imagefolder, DINOv2, "
        "MONAI or nnssl reads.",
    )
    use: str = option(
        "kept",
        choices=USES,
        panel=_EXPORT,
        help="Slices to export: the kept ones or all. nifti exports whole volumes that have such a slice.",
    )
    like: str | None = option(
        None,
        is_path=True,
        metavar="REDUCTION",
        rivals=("use",),
        panel=_EXPORT,
        help="Export random slices instead: from each volume as many as this reduction of the same files kept.",
    )
    seed: int = option(0, low=0, high=2**64 - 1, belongs_to="like", panel=_EXPORT, help="Seed of random slices.")
    png_depth: int | None = option(
        None,
        choices=(8, 16),
        belongs_to="mode",
        panel=_EXPORT,
        help="png: bits per pixel, gray as fingerprinted (8, default) or HU + 32768 (16).",
    )
    shard_mb: int = option(
        _SHARD_MB,
        low=1,
        high=4000,
        unit="MB",
        belongs_to="layout",
        panel=_EXPORT,
        help="webdataset, dinov2: start a new tar file after this size.",
    )
    threads: int = threads_option(what="Threads for pictures and volumes")

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "folder", Path(self.folder))
        if self.png_depth is not None and self.mode != "png":
            raise ConfigError(f"png_depth belongs to `mode` png, not to {self.mode}", field="png_depth")
        if self.png_depth is None and self.mode == "png":
            object.__setattr__(self, "png_depth", 8)
        if self.like is not None and self.use != "kept":
            raise ConfigError("like says which slices are exported: leave out `use`", field="like")
        if self.like is None and self.seed:
            raise ConfigError("seed belongs to `like`: there is nothing random without it", field="seed")
        if self.shard_mb != _SHARD_MB and self.layout not in _IN_TAR_FILES:
            raise ConfigError(
                f"shard_mb belongs to `layout` {' or '.join(_IN_TAR_FILES)}, not to {self.layout}",
                field="shard_mb",
            )
        modes = LAYOUTS[self.layout]
        if self.mode not in modes:
            raise ConfigError(
                f"layout {self.layout} needs `mode` {' or '.join(modes)}, not {self.mode}", field="layout"
            )
        if self.layout == "dinov2" and self.png_depth != 8:
            raise ConfigError("layout dinov2 needs `png_depth` 8: DINOv2 reads 8 bits per color", field="layout")
        if self.layout == "nnssl" and not NNSSL_FOLDER.fullmatch(self.folder.name):
            raise ConfigError(
                f"folder {self.folder}: nnssl expects a name such as Dataset001_CT, with a number of three digits",
                field="folder",
            )


class ExportOptions(TypedDict, total=False):
    """The options of `ExportConfig` as arguments of a function, for type checkers and editors."""

    mode: str
    folder: str | os.PathLike[str]
    layout: str
    use: str
    like: str | os.PathLike[str] | None
    seed: int
    png_depth: int | None
    shard_mb: int
    threads: int
