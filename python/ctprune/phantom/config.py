"""The configuration of a synthetic archive: a frozen dataclass that checks itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from ctprune.errors import ConfigError
from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import option, options_of
from ctprune.options.parse import decimals

#: Smallest and largest distance of two slices, in mm.
_SPACINGS_MM = (0.1, 100.0)

_SCANS, _LESIONS, _SPLITS = "Scans", "Lesions", "Splits"


@described
@dataclass(frozen=True, kw_only=True)
class PhantomConfig:
    """What is in a synthetic archive.

    Raises:
        ConfigError: An option that cannot be used.

    >>> PhantomConfig(patients=2).slices
    40
    """

    patients: int = option(
        4,
        low=1,
        high=9999,
        help="Number of patients.",
        more="Patient 1 does not depend on the number of patients.",
    )
    seed: int = option(1, low=0, high=2**63 - 1, help="Seed; the same seed gives the same bytes.")
    size: int = option(256, low=64, high=2048, help="Rows and columns of a slice.")
    slices: int = option(40, low=1, high=440, help="Largest number of slices in a series.")
    length_mm: float | None = option(
        None,
        low=0,
        high=440,
        unit="mm",
        example=240,
        rivals=("slices",),
        panel=_SCANS,
        help="Length of every scan, instead of a number of slices.",
        more="Scans of one length that differ in `spacing_mm` alone show the same patients, and where they have a "
        "slice at the same position, it has the same pixels.",
    )
    spacing_mm: float | Sequence[float] | None = option(
        None,
        parse=decimals,
        unit="mm",
        metavar="MM[,MM…]",
        default_text="that of each scanner",
        panel=_SCANS,
        help="Distance of slices, such as 0.5; of several, such as 0.5,2,10, groups of four patients take turns.",
        more="A group of four patients has one of each scanner.",
    )
    thickness_mm: float | None = option(
        None,
        low=0.1,
        high=100,
        unit="mm",
        default_text="that of each scanner",
        panel=_SCANS,
        help="Thickness of slices.",
    )
    reconstructions: int = option(2, low=1, high=2, panel=_SCANS, help="Largest number of series made of a scan.")
    reports: bool = option(True, negative=True, panel=_SCANS, help="Add a scout and a dose report to each study.")
    masks: bool = option(
        False,
        panel=_SCANS,
        help="Add a NIfTI mask of lungs (1), liver (2) and lesions (3) to each series, listed in masks.csv.",
        more="It lies beside the series' folder. `dataset.json` names the labels. The DICOM files stay the same.",
    )
    lesion_size: float = option(1.0, low=0.1, high=3, panel=_LESIONS, help="Factor of the lesions' radii.")
    lesion_contrast: float = option(
        1.0, low=0.1, high=3, panel=_LESIONS, help="Factor of the lesions' difference in HU from healthy tissue."
    )
    val_patients: int = option(
        0, low=0, high=9999, panel=_SPLITS, help="Patients of split val in the tables: the last ones before test."
    )
    test_patients: int = option(
        0,
        low=0,
        high=9999,
        panel=_SPLITS,
        help="Patients of split test in the tables: the last ones.",
        more="The others are of split train. Without `val_patients` and `test_patients` there are no splits.",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.spacing_mm is not None:
            object.__setattr__(self, "spacing_mm", _distances(self.spacing_mm))
        for spacing in self.spacings_mm:
            if not _SPACINGS_MM[0] <= spacing <= _SPACINGS_MM[1]:
                low, high = _SPACINGS_MM
                raise ConfigError(f"spacing_mm {spacing}: expected {low:g} to {high:g} mm", field="spacing_mm")
        if self.val_patients + self.test_patients and self.splits[0] < 1:
            raise ConfigError(
                f"val_patients {self.val_patients} and `test_patients` {self.test_patients}: expected fewer "
                f"together than the {self.patients} patients, so that some are left to train",
                field="val_patients",
            )

    @property
    def spacings_mm(self) -> tuple[float, ...]:
        """The distances that take turns; none for those of the scanners.

        >>> PhantomConfig(spacing_mm=2).spacings_mm
        (2.0,)
        """
        given: Any = self.spacing_mm
        return () if given is None else (given,) if isinstance(given, float) else tuple(given)

    @property
    def splits(self) -> tuple[int, int, int]:
        """Number of patients of train, val and test, in the order of the patients."""
        return self.patients - self.val_patients - self.test_patients, self.val_patients, self.test_patients

    @property
    def root(self) -> str:
        """What UIDs are derived from, beside the patient: what decides the images."""
        # Options that came later are named only where they differ, so that an archive keeps its UIDs.
        named = ("seed", "size", "slices", "patients", "val_patients", "test_patients", "reports", "masks")
        others = [
            f"{name}={getattr(self, name)}"
            for name, one in options_of(type(self)).items()
            if name not in named and getattr(self, name) != one.default
        ]
        return "/".join(["ctprune phantom", str(self.seed), str(self.size), str(self.slices), *others])


class PhantomOptions(TypedDict, total=False):
    """The options of `PhantomConfig` as arguments of a function, for type checkers and editors."""

    patients: int
    seed: int
    size: int
    slices: int
    length_mm: float | None
    spacing_mm: float | Sequence[float] | None
    thickness_mm: float | None
    reconstructions: int
    reports: bool
    masks: bool
    lesion_size: float
    lesion_contrast: float
    val_patients: int
    test_patients: int


def _distances(given: Any) -> float | tuple[float, ...]:
    """A number, or several.

    Raises:
        ConfigError: It is neither.
    """
    several = [given] if isinstance(given, (int, float)) else given
    is_list = isinstance(several, (list, tuple)) and len(several) > 0
    if not is_list or not all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in several):
        raise ConfigError(
            f"spacing_mm {given}: expected a distance in mm such as 0.5, or several", field="spacing_mm"
        )
    found = tuple(map(float, several))
    return found[0] if len(found) == 1 else found
