"""The configuration of an export: a frozen dataclass that checks itself."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from ctprune.errors import ConfigError
from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import about, option
from ctprune.options.shared import threads_option

MODES = ("link", "copy", "png")

_EXPORT = "Export"


@described
@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """How kept slices are exported.

    Raises:
        ConfigError: An option that cannot be used.
    """

    mode: str = field(
        metadata=about(
            choices=MODES,
            flag="export",
            panel=_EXPORT,
            help="Put the kept slices into a new folder tree. copy and link keep every DICOM header, patients' "
            "names "
            "included; png has pixels only.",
        )
    )
    folder: Path = field(
        metadata=about(is_path=True, flag="export_dir", panel=_EXPORT, help="Destination (new folder).")
    )
    png_depth: int | None = option(
        None,
        choices=(8, 16),
        belongs_to="mode",
        panel=_EXPORT,
        help="png: bits per pixel, gray as fingerprinted (8, default) or HU + 32768 (16).",
    )
    threads: int = threads_option(what="Threads for pictures")

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "folder", Path(self.folder))
        if self.png_depth is not None and self.mode != "png":
            raise ConfigError(f"png_depth belongs to `mode` png, not to {self.mode}", field="png_depth")
        if self.png_depth is None and self.mode == "png":
            object.__setattr__(self, "png_depth", 8)


class ExportOptions(TypedDict, total=False):
    """The options of `ExportConfig` as arguments of a function, for type checkers and editors."""

    mode: str
    folder: str | os.PathLike[str]
    png_depth: int | None
    threads: int
