"""What the views of a slice look like: crops, flips, rotation, jitter, blur, noise. Free of torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from ctprune.errors import ConfigError
from ctprune.store.store import HU_OFFSET

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """A group of views that differ in nothing but chance.

    Args:
        count: Views of this kind per slice.
        size: Rows and columns of a view.
        scale: Smallest and largest area of the crop, as a fraction of the slice's.

    Raises:
        ConfigError: An option that is out of range.
    """

    count: int = 2
    size: int = 224
    scale: Range = (0.9, 1.0)

    def __post_init__(self) -> None:
        _set_range(self, "scale", 0, 1)
        if not 1 <= self.count <= 64:
            raise ConfigError(f"crop count {self.count}: expected 1 to 64")
        if not 8 <= self.size <= 1024:
            raise ConfigError(f"crop size {self.size}: expected 8 to 1024 pixels")
        if self.scale[0] == 0:
            raise ConfigError("crop scale 0: expected a fraction of the slice's area above 0")


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """A random window on Hounsfield units, for stores of 16 bits.

    Args:
        center: Middle of the window in HU.
        width: Its width in HU.
        center_jitter: The middle is drawn evenly from `center` ± this many HU.
        width_jitter: The width is multiplied with a number drawn evenly, on a logarithmic scale, between
            1 / (1 + this) and 1 + this.

    Raises:
        ConfigError: An option that is out of range.
    """

    center: float = 0.0
    width: float = 2000.0
    center_jitter: float = 100.0
    width_jitter: float = 0.2

    def __post_init__(self) -> None:
        _check("window center", self.center, -32768, 32767)
        _check("window width", self.width, 1, 65535)
        _check("window center_jitter", self.center_jitter, 0, 65535)
        _check("window width_jitter", self.width_jitter, 0, 9)

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
        return self.center - self.width / 2 + HU_OFFSET


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How views are made of slices; the defaults are the reference's for SwAV.

    The steps are taken in the order below. Fractions are of the largest grey value (or of the window), to which
    values are held after brightness, contrast and noise.

    Args:
        rotation_probability: How often a view is rotated.
        rotation_degrees: The largest angle, to either side; around the middle of the slice.
        crops: The groups of views, in order.
        ratio: Smallest and largest ratio of columns to rows of a crop.
        flip_horizontal: Probability of mirroring left and right.
        flip_vertical: Probability of mirroring top and bottom.
        window: With stores of Hounsfield units, the random window; None takes the whole range of the type.
        jitter_probability: How often brightness and contrast are changed, in random order.
        brightness: Factor of the brightness: drawn evenly from 1 ± this.
        contrast: Factor of the distance from the view's mean, likewise.
        blur_probability: How often a view is blurred.
        blur_sigma: Smallest and largest standard deviation of the Gaussian, in pixels of the view.
        noise_probability: How often Gaussian noise is added.
        noise_sigma: Its smallest and largest standard deviation, as a fraction; drawn evenly on a logarithmic
            scale.

    Raises:
        ConfigError: An option that is out of range.

    >>> [(crop.count, crop.size) for crop in ViewConfig().crops]
    [(2, 224), (6, 96)]
    """

    rotation_probability: float = 0.0
    rotation_degrees: float = 10.0
    crops: tuple[CropConfig, ...] = field(
        default_factory=lambda: (CropConfig(), CropConfig(count=6, size=96, scale=(0.1, 0.33)))
    )
    ratio: Range = (3 / 4, 4 / 3)
    flip_horizontal: float = 0.0
    flip_vertical: float = 0.0
    window: WindowConfig | None = None
    jitter_probability: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    blur_probability: float = 0.5
    blur_sigma: Range = (0.1, 2.0)
    noise_probability: float = 0.0
    noise_sigma: Range = (math.sqrt(1e-5), math.sqrt(1e-4))

    def __post_init__(self) -> None:
        object.__setattr__(self, "crops", tuple(self.crops))
        if not self.crops:
            raise ConfigError("crops: expected at least one group of views, found none")
        for option in ("jitter", "blur", "noise", "rotation"):
            _check(f"{option}_probability", getattr(self, f"{option}_probability"), 0, 1)
        for option in ("flip_horizontal", "flip_vertical", "brightness", "contrast"):
            _check(option, getattr(self, option), 0, 1)
        _check("rotation_degrees", self.rotation_degrees, 0, 180)
        _set_range(self, "ratio", 0.1, 10)
        _set_range(self, "blur_sigma", 0.01, 16)
        _set_range(self, "noise_sigma", 1e-6, 1)
        smallest = min(crop.size for crop in self.crops)
        if self.blur_probability and self.blur_radius >= smallest:
            raise ConfigError(
                f"blur_sigma {self.blur_sigma[1]}: a view of {smallest} pixels is too small for it, expected at "
                f"most {(smallest - 1) // 3}"
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
        return {key: _plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> ViewConfig:
        """The reverse of `to_dict`; options that are missing have their defaults.

        Raises:
            ConfigError: An option that is not known or out of range.

        >>> ViewConfig.from_dict(ViewConfig().to_dict()) == ViewConfig()
        True
        """
        options = dict(options)
        try:
            if "crops" in options:
                options["crops"] = tuple(CropConfig(**crop) for crop in options["crops"])
            if options.get("window") is not None:
                options["window"] = WindowConfig(**options["window"])
            return cls(**options)
        except TypeError as error:
            raise ConfigError(f"views: {str(error).rpartition('__init__() ')[2]}") from None


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


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _check(option: str, value: float, low: float, high: float) -> None:
    if not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigError(f"{option} {value}: expected {low:g} to {high:g}")


def _set_range(config: object, option: str, low: float, high: float) -> None:
    """Check a pair of numbers; YAML has no tuples, so lists become some."""
    value = getattr(config, option)
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ConfigError(f"{option} {value}: expected two numbers, the smallest and the largest")
    _check(option, value[0], low, high)
    _check(option, value[1], low, high)
    if value[0] > value[1]:
        raise ConfigError(f"{option} {tuple(value)}: expected the smallest number first")
    object.__setattr__(config, option, (float(value[0]), float(value[1])))
