"""What the views of a slice look like: crops, flips, rotation, jitter, blur, noise. Free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ctprune.errors import ConfigError
from ctprune.options.check import check
from ctprune.options.configure import refuse_unknown
from ctprune.options.described import described
from ctprune.options.file import mapping
from ctprune.options.neighbors import neighbors_option
from ctprune.options.option import Range, about, all_options, option, options_of

T = TypeVar("T")


def _probability(default: float, what: str) -> float:
    return option(default, low=0, high=1, help=what)


def positives_option(*, panel: str | None = None) -> str:
    """A field for the slices that the views of a slice are made from."""
    return neighbors_option(
        "positives",
        "same",
        panel=panel,
        help="Where every second view comes from: the same slice, or a slice up to MM mm away along the scan.",
        more="Drawn anew in each step from the slices in use within MM mm, the slice itself among them.",
    )


@described
@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """A group of views that differ in nothing but chance.

    Raises:
        ConfigError: An option that is out of range.
    """

    count: int = option(2, low=1, high=64, help="Views of this kind per slice.")
    size: int = option(224, low=8, high=1024, unit="pixels", help="Rows and columns of a view.")
    scale: Range = option(
        (0.9, 1.0),
        above=0,
        high=1,
        noun="a fraction of the slice's area",
        help="Smallest and largest area of the crop.",
    )

    def __post_init__(self) -> None:
        check(self, group="views.crops.")


@described
@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """A random window on Hounsfield units, for stores of 16 bits.

    Raises:
        ConfigError: An option that is out of range.
    """

    center: float = option(0.0, low=-32768, high=32767, unit="HU", help="Center of the window.")
    width: float = option(2000.0, low=1, high=65535, unit="HU", help="Width of the window.")
    center_jitter: float = option(
        100.0, low=0, high=65535, unit="HU", help="The center is drawn uniformly from `center` ± this many HU."
    )
    width_jitter: float = option(
        0.2,
        low=0,
        high=9,
        help="The width is multiplied by a factor drawn log-uniformly between 1 / (1 + this) and 1 + this.",
    )

    def __post_init__(self) -> None:
        check(self, group="views.window.")

    @property
    def intensity(self) -> str:
        """The window without jitter, as `ctprune.ReduceConfig` writes it.

        >>> WindowConfig(center=40, width=400).intensity
        'window:40,400'
        """
        return f"window:{self.center:g},{self.width:g}"

    @property
    def stored_low(self) -> float:
        """The stored value, HU + 32768, that is black without jitter.

        >>> WindowConfig(center=40, width=400).stored_low
        32608.0
        """
        # Imported here, so that showing the help needs no compiled core.
        from ctprune import _core

        return self.center - self.width / 2 + _core.PNG_HU_OFFSET


@described
@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How views are made from slices; the defaults are the reference's for SwAV.

    The steps are applied in the order below. Fractions refer to the largest gray value (or to the windows), to
    which values are limited after brightness, contrast and noise.

    Raises:
        ConfigError: An option that is out of range.

    >>> [(crop.count, crop.size) for crop in ViewConfig().crops]
    [(2, 224), (6, 96)]
    """

    rotation_probability: float = _probability(0.0, "Probability of rotating a view.")
    rotation_degrees: float = option(
        10.0, low=0, high=180, help="Largest rotation angle in either direction, around the middle of the slice."
    )
    crops: tuple[CropConfig, ...] = field(
        default_factory=lambda: (CropConfig(), CropConfig(count=6, size=96, scale=(0.1, 0.33))),
        metadata=about("Groups of views, in order; see `CropConfig`."),
    )
    ratio: Range = option(
        (3 / 4, 4 / 3), low=0.1, high=10, help="Smallest and largest ratio of columns to rows of a crop."
    )
    flip_horizontal: float = _probability(0.0, "Probability of mirroring left and right.")
    flip_vertical: float = _probability(0.0, "Probability of mirroring top and bottom.")
    window: WindowConfig | None = field(
        default=None,
        metadata=about(
            "Random window for stores of Hounsfield units, see `WindowConfig`; None uses the whole range of the "
            "type."
        ),
    )
    gray_window: Range | None = option(
        None,
        above=0,
        high=1,
        noun="a fraction of the stored gray range",
        help="Smallest and largest width of a random window inside the gray range of 8-bit slices, as fractions "
        "of it; None uses the whole range.",
        more="The width is drawn log-uniformly, then the place uniformly. In HU, they are fractions of what the "
        "reduction's `intensity` maps to gray.",
    )
    jitter_probability: float = _probability(
        0.8, "Probability of changing brightness and contrast, in random order."
    )
    brightness: float = option(0.4, low=0, high=1, help="Factor of the brightness: drawn uniformly from 1 ± this.")
    contrast: float = option(
        0.4, low=0, high=1, help="Factor of the distance from the view's mean: drawn uniformly from 1 ± this."
    )
    blur_probability: float = _probability(0.5, "Probability of blurring a view.")
    blur_sigma: Range = option(
        (0.1, 2.0),
        low=0.01,
        high=16,
        help="Smallest and largest standard deviation of the Gaussian blur, in pixels of the view.",
    )
    noise_probability: float = _probability(0.0, "Probability of adding Gaussian noise.")
    noise_sigma: Range = option(
        (math.sqrt(1e-5), math.sqrt(1e-4)),
        low=1e-6,
        high=1,
        help="Smallest and largest standard deviation of the noise, as a fraction; drawn log-uniformly.",
    )

    def __post_init__(self) -> None:
        check(self, group="views.")
        if not isinstance(self.crops, (list, tuple)) or not self.crops:
            found = self.crops or "none"
            raise ConfigError(
                f"views.crops: expected at least one group of views, found {found}", field="views.crops"
            )
        object.__setattr__(self, "crops", tuple(self.crops))
        smallest = min(crop.size for crop in self.crops)
        if self.blur_probability and self.blur_radius >= smallest:
            raise ConfigError(
                f"views.blur_sigma {self.blur_sigma[1]}: a view of {smallest} pixels is too small for it, "
                f"expected at most {(smallest - 1) // 3}",
                field="views.blur_sigma",
            )

    @property
    def views(self) -> int:
        """Number of views per slice."""
        return sum(crop.count for crop in self.crops)

    @property
    def blur_radius(self) -> int:
        """Pixels to either side that the Gaussian reaches: three times its largest standard deviation."""
        return math.ceil(3 * self.blur_sigma[1])

    def to_dict(self) -> dict[str, Any]:
        """All options, as plain lists and dictionaries for YAML and JSON."""
        return all_options(self) | {
            "crops": [all_options(crop) for crop in self.crops],
            "window": None if self.window is None else all_options(self.window),
        }

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> ViewConfig:
        """The reverse of `to_dict`; options that are missing have their defaults.

        Raises:
            ConfigError: An option that is not known or out of range.

        >>> ViewConfig.from_dict(ViewConfig().to_dict()) == ViewConfig()
        True
        """
        options = dict(options)
        if isinstance(options.get("crops"), (list, tuple)):
            crops = enumerate(options["crops"])
            options["crops"] = tuple(_part(CropConfig, f"views.crops[{index}]", crop) for index, crop in crops)
        if options.get("window") is not None:
            options["window"] = _part(WindowConfig, "views.window", options["window"])
        return _part(cls, "views", options)


def swav_views() -> ViewConfig:
    """The reference's views for SwAV: 2 × 224 and 6 × 96 pixels."""
    return ViewConfig()


def pair_views() -> ViewConfig:
    """The reference's views for MoCo v2, BYOL and SimCLR: two of 224 pixels, turned any way, flipped, noisy."""
    return ViewConfig(
        rotation_probability=0.5,
        rotation_degrees=180,
        crops=(CropConfig(scale=(0.2, 1.0)),),
        flip_horizontal=0.5,
        flip_vertical=0.5,
        jitter_probability=1.0,
        noise_probability=0.5,
    )


def single_view() -> ViewConfig:
    """MAE's one view: a crop of 224 pixels, half of them mirrored, and nothing else."""
    return ViewConfig(
        crops=(CropConfig(count=1, scale=(0.2, 1.0)),),
        flip_horizontal=0.5,
        jitter_probability=0.0,
        blur_probability=0.0,
    )


def _part(kind: type[T], name: str, options: Any) -> T:
    if isinstance(options, kind):
        return options
    given = mapping(name, options)
    refuse_unknown(given, options_of(kind), before=f"{name}.")
    return kind(**given)
