"""The configuration of a reduction: a frozen dataclass that checks itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ctprune.checking.planes import PLANES
from ctprune.duplicates.config import PREFERENCES
from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import Range, deciding, option
from ctprune.options.parse import thickness_range
from ctprune.options.shared import threads_option
from ctprune.reduction.complete import complete
from ctprune.reduction.failing import max_failed
from ctprune.reduction.selection_config import SelectionConfig, SelectionOptions

_READING, _GATES, _ENGINE = "Reading", "Gates", "Many machines"

#: Gates from published pre-trainings, by series: thickness in mm and fewest slices; no two slices at one position,
#: no localizer. ct-fm: Pai et al. 2025, arXiv:2501.09001, by its authors' query for the Imaging Data Commons,
#: notebooks/data-download/query.sql in github.com/project-lighter/CT-FM.
GATES: dict[str, tuple[Range, int]] = {"ct-fm": ((1.0, 5.0), 51)}

#: What reads the files: this process, or tasks of a Ray cluster.
ENGINES = ("local", "ray")


@described
@dataclass(frozen=True, kw_only=True)
class ReduceConfig(SelectionConfig):
    """The options of a reduction.

    Raises:
        ConfigError: An option is out of range, or the method does not take it.

    >>> ReduceConfig(method="hash").threshold
    6
    """

    intensity: str = option(
        "minmax",
        panel=_READING,
        help="How HU map to gray: minmax, a window (lung, mediastinum, bone, brain …), window:C,W or hu:LOW,HIGH.",
        more="`minmax` takes each slice's smallest and largest value. C and W are the window's center and width "
        "in HU.",
    )
    modality: str = option(
        "CT", panel=_READING, help="DICOM Modality to read; any reads all.", more="In upper or lower case."
    )
    volume_pattern: str | None = option(
        None, panel=_READING, help="Regular expression with one group that extracts the volume from image names."
    )
    exclude: tuple[str, ...] = option(
        (),
        noun="patterns",
        metavar="GLOB",
        panel=_READING,
        help="Do not read files whose path below SOURCE matches, such as 'labelsTr/*' or '**/mask*'; repeatable.",
        more="Excluded files are `skipped` in the manifest. With changed patterns, only newly included files "
        "are read.",
    )
    include: tuple[str, ...] = option(
        (),
        noun="patterns",
        metavar="GLOB",
        panel=_READING,
        help="Read only files whose path below SOURCE matches, such as '**/*.dcm'; repeatable.",
        more="Members of zip and tar files have their own paths. Other files are `skipped` in the manifest.",
    )
    plane: str | None = option(
        None,
        choices=PLANES,
        panel=_GATES,
        help="Take only volumes of this plane.",
        more="Pictures such as PNG have no plane.",
    )
    skip_derived: bool = option(
        False,
        panel=_GATES,
        help="Leave out slices whose Image Type says DERIVED, such as reformats and projections.",
    )
    thickness: Range | None = option(
        None,
        parse=thickness_range,
        low=0,
        high=1000,
        unit="mm",
        metavar="LOW-HIGH",
        panel=_GATES,
        help="Take only slices of this thickness in mm, such as 0.5-5.",
        more="Slices without a Slice Thickness are left out.",
    )
    min_slices: int | None = option(
        None, low=1, high=2**31 - 1, panel=_GATES, help="Take only volumes with at least this many slices."
    )
    skip_codes: tuple[str, ...] = option(
        (),
        noun="codes",
        metavar="CODE",
        panel=_GATES,
        help="Leave out slices for which 'ctprune check' reports this code, such as C-EMPTY; repeatable.",
    )
    one_per_scan: bool = option(
        False,
        panel=_GATES,
        help="Take one of the volumes that show the same scan: copies, parts, other kernels and thicknesses.",
        more="docs/duplicates.md says which volumes count as one scan.",
    )
    prefer: str | None = option(
        None,
        choices=PREFERENCES,
        panel=_GATES,
        help="With `one_per_scan`: which volume to take, by kernel or slice thickness; default soft.",
    )
    gate: str | None = option(
        None,
        choices=GATES,
        panel=_GATES,
        help="ct-fm: series 1 to 5 mm thick, of over 50 slices, one per position, without a localizer.",
        more="`thickness` and `min_slices` override those of the gate.",
    )
    max_slice_mb: int = option(
        512, low=1, high=2**20, panel=_READING, help="Refuse decoded slices larger than this many MiB."
    )
    pseudonymize: str | None = option(
        None,
        decides=False,
        is_path=True,
        metavar="KEYFILE",
        panel=_READING,
        help="Replace UIDs and paths in the manifest with keyed hashes; 'ctprune key' makes a key.",
        more="The same key always gives the same pseudonyms. Later commands find the files with the key and "
        "the sources.",
    )
    pseudonyms_to: str | None = option(
        None,
        decides=False,
        belongs_to="pseudonymize",
        is_path=True,
        metavar="FILE",
        panel=_READING,
        help="With `pseudonymize`: also write a CSV table of pseudonyms and names, outside the reduction's "
        "folder.",
    )
    threads: int = threads_option(panel=_READING)
    io: int = option(
        0,
        decides=False,
        low=0,
        high=4096,
        expected="0 (by the kind of source) to 4096",
        panel=_READING,
        help="Files read at the same time; 0 chooses automatically.",
        more="Automatic means 128 requests at a time for object stores, 16 for DICOMweb, and for files one "
        "reader per thread, or up to 64 if the readers mostly wait. The result does not depend on it.",
    )
    fail_first: bool = option(False, decides=False, panel=_READING, help="Stop at the first unreadable file.")
    engine: str = option(
        "local",
        decides=False,
        choices=ENGINES,
        panel=_ENGINE,
        help="What reads the files: this process, or tasks of a Ray cluster (extra ray).",
        more="The result does not depend on it.",
    )
    address: str | None = option(
        None,
        decides=False,
        panel=_ENGINE,
        metavar="HOST:PORT",
        help="Ray cluster to use, such as auto; by default Ray starts on this machine.",
    )
    task_memory_gb: float = option(
        2.0,
        decides=False,
        above=0,
        high=4096,
        panel=_ENGINE,
        unit="GiB",
        help="Memory that Ray sets aside for each task.",
    )
    max_failed: float | None = option(
        None,
        decides=False,
        parse=max_failed,
        low=0,
        expected="a share of the files, such as 1% or 0.01, or a whole number of files",
        metavar="SHARE|N",
        panel=_READING,
        help="Stop when more than this share (1%) or number of the files read so far could not be read.",
        more="A share is checked from 100 files on, and at the end. Progress is saved for the next attempt.",
    )

    def __post_init__(self) -> None:
        check(self)
        complete(self)

    def to_dict(self) -> dict[str, Any]:
        """The options that decide the result, by name, as in the manifest."""
        return deciding(self)

    @property
    def has_gates(self) -> bool:
        """Whether gates can leave out slices that were read."""
        given = (self.gate, self.plane, self.thickness, self.min_slices)
        return (
            self.skip_derived
            or self.one_per_scan
            or bool(self.skip_codes)
            or any(value is not None for value in given)
        )

    def reading(self) -> dict[str, Any]:
        """The options that decide how a file is read; if they are the same, fingerprints can be reused."""
        names = ("fingerprint", "hash_size", "intensity", "modality", "max_slice_mb")
        return {name: getattr(self, name) for name in names}


class ReduceOptions(SelectionOptions, total=False):
    """The options of `ReduceConfig` as arguments of a function, for type checkers and editors."""

    intensity: str
    modality: str
    volume_pattern: str | None
    exclude: Sequence[str]
    include: Sequence[str]
    plane: str | None
    skip_derived: bool
    thickness: tuple[float, float] | None
    min_slices: int | None
    skip_codes: Sequence[str]
    one_per_scan: bool
    prefer: str | None
    gate: str | None
    max_slice_mb: int
    pseudonymize: str | os.PathLike[str] | None
    pseudonyms_to: str | os.PathLike[str] | None
    threads: int
    io: int
    fail_first: bool
    engine: str
    address: str | None
    task_memory_gb: float
    max_failed: float | None
