"""The configuration of a reduction: a frozen dataclass that checks itself."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ctprune import _core
from ctprune.errors import ConfigError
from ctprune.files.globs import glob_pattern

Method = Literal["hash", "ssim", "mi", "deep", "all", "every-n", "random"]
Scope = Literal["volume", "dataset"]
Order = Literal["position", "path"]

METHODS: tuple[Method, ...] = ("hash", "ssim", "mi", "deep", "all", "every-n", "random")
SCOPES: tuple[Scope, ...] = ("volume", "dataset")
WINDOWS = ("uniform", "gaussian")
ORDERS: tuple[Order, ...] = ("position", "path")

#: Which method-specific options each method takes.
METHOD_OPTIONS: dict[str, frozenset[str]] = {
    "hash": frozenset({"threshold", "keep"}),
    "ssim": frozenset({"threshold", "keep", "window"}),
    "mi": frozenset({"threshold", "keep"}),
    "deep": frozenset({"threshold", "keep", "weights"}),
    "all": frozenset(),
    "every-n": frozenset({"n"}),
    "random": frozenset({"threshold", "keep", "seed"}),
}

#: Of methods whose threshold is the least similarity of near-duplicates: its name, range and an example.
_SIMILARITIES = {
    "ssim": ("mean SSIM", -1, 1, 0.8),
    "mi": ("normalised mutual information", 1, 2, 1.3),
    "deep": ("cosine similarity", -1, 1, 0.95),
}

#: The paper's threshold, for the 64 bits of hash size 8.
PAPER_THRESHOLD = 6


@dataclass(frozen=True, kw_only=True)
class ReduceConfig:
    """What decides which slices are kept.

    Args:
        method: `hash`, `ssim`, `mi`, `deep`, `all`, `every-n` or `random`.
        threshold: With `hash`, the largest Hamming distance, in bits, at which two slices are near-duplicates.
            Default: 6 of 64 bits, as in the paper, and the same share of the bits at other hash sizes. With
            `ssim`, `mi` and `deep` the smallest mean SSIM, normalised mutual information (1 to 2) or cosine of two
            embeddings of near-duplicates.
        keep: Fraction of slices to keep, above 0 and up to 1. The threshold that comes
            nearest is taken; with `random` it is the size of the sample (default: as many as `hash` keeps).
        hash_size: Rows of the dHash, 2 to 32: it has `hash_size²` bits.
        n: With `every-n`, keep the slices whose index in the volume is a multiple of n. Default 10.
        seed: Seed of the `random` sample. Default 0.
        window: With `ssim`, `uniform` (7 × 7 pixels, the default) or `gaussian` (σ = 1.5).
        weights: With `deep`, the backbone's file for `ctprune.load_backbone`; None takes torchvision's ResNet-50.
        scope: Compare slices within their `volume` or within the whole `dataset`; `ssim` and `mi` compare within
            volumes only.
        order: Order of slices: `position` along the volume's normal, or `path` as text.
        intensity: From Hounsfield units to 8-bit grey: `minmax` per slice, a named window such as `lung`,
            `window:CENTER,WIDTH` or `hu:LOW,HIGH`.
        modality: The DICOM Modality to read, in upper or lower case; `any` reads all.
        volume_pattern: For image folders, a regular expression with one group that takes the volume's name
            from the file name.
        exclude: Patterns of paths, relative to their source, of files that are not read, such as `labelsTr/*` or
            `**/mask*`. They are `skipped` in the manifest. Other patterns read nothing again but what they let in.
        max_slice_mb: Decoded slices larger than this many MiB are refused.

    Raises:
        ConfigError: An option that is out of range or that the method does not take.

    >>> ReduceConfig(method="hash").threshold
    6
    """

    method: str = "hash"
    threshold: float | None = None
    keep: float | None = None
    hash_size: int = 8
    n: int | None = None
    seed: int | None = None
    window: str | None = None
    weights: str | None = None
    scope: str = "volume"
    order: str = "position"
    intensity: str = "minmax"
    modality: str = "CT"
    volume_pattern: str | None = None
    exclude: tuple[str, ...] = ()
    max_slice_mb: int = 512

    def __post_init__(self) -> None:
        _one_of("method", self.method, METHODS)
        _one_of("scope", self.scope, SCOPES)
        _one_of("order", self.order, ORDERS)
        self._refuse_foreign_options()
        _in_range("hash-size", self.hash_size, 2, 32)
        if self.method in _SIMILARITIES:
            self._check_similarity()
        else:
            self._check_distance(self.hash_size**2)
        if self.method == "ssim":
            object.__setattr__(self, "window", self.window or WINDOWS[0])
            _one_of("window", str(self.window), WINDOWS)
        if self.method in ("ssim", "mi") and self.scope == "dataset":
            raise ConfigError(
                f"--scope dataset: --method {self.method} would need the pixels of the whole archive in "
                "memory; compare within volumes, or take --method hash or deep for the dataset"
            )
        if self.n is None and self.method == "every-n":
            object.__setattr__(self, "n", 10)
        if self.seed is None and self.method == "random":
            object.__setattr__(self, "seed", 0)
        _in_range("n", self.n, 1, 2**31 - 1)
        _in_range("seed", self.seed, 0, 2**64 - 1)
        _in_range("max-slice-mb", self.max_slice_mb, 1, 2**20)
        if self.keep is not None and not 0 < self.keep <= 1:
            raise ConfigError(f"--keep {self.keep:g}: expected a fraction above 0 and up to 1, such as 0.1")
        try:
            object.__setattr__(self, "intensity", _core.canonical_intensity(self.intensity))
        except ValueError as error:
            raise ConfigError(f"--intensity {self.intensity}: {error}") from None
        object.__setattr__(self, "modality", canonical_modality(self.modality))
        self._check_exclude()
        self._check_pattern()

    def _check_distance(self, bits: int) -> None:
        if self.threshold is None and self.keep is None and "threshold" in METHOD_OPTIONS[self.method]:
            object.__setattr__(self, "threshold", round(PAPER_THRESHOLD * bits / 64))
        if self.threshold is None:
            return
        if self.threshold != int(self.threshold):
            raise ConfigError(f"--threshold {self.threshold}: expected a whole number of bits, 0 to {bits}")
        object.__setattr__(self, "threshold", int(self.threshold))
        _in_range("threshold", int(self.threshold), 0, bits)

    def _check_similarity(self) -> None:
        measure, low, high, example = _SIMILARITIES[self.method]
        if self.threshold is None and self.keep is None:
            raise ConfigError(
                f"--method {self.method} needs --threshold (a {measure}, such as {example}) "
                "or --keep (such as 0.1)"
            )
        if self.threshold is not None and not low <= self.threshold <= high:
            raise ConfigError(f"--threshold {self.threshold}: expected a {measure}, {low} to {high}")

    def _refuse_foreign_options(self) -> None:
        for option in ("threshold", "keep", "n", "seed", "window", "weights"):
            if getattr(self, option) is not None and option not in METHOD_OPTIONS[self.method]:
                takers = " or ".join(method for method in METHODS if option in METHOD_OPTIONS[method])
                raise ConfigError(f"--{option} belongs to --method {takers}, not to {self.method}")
        if self.threshold is not None and self.keep is not None:
            raise ConfigError("--threshold and --keep exclude each other: give one of them")

    def _check_exclude(self) -> None:
        if isinstance(self.exclude, str):
            raise ConfigError(f"exclude {self.exclude!r}: expected a sequence of patterns, found one text")
        object.__setattr__(self, "exclude", tuple(dict.fromkeys(self.exclude)))
        for glob in self.exclude:
            glob_pattern(glob)

    def _check_pattern(self) -> None:
        if self.volume_pattern is None:
            return
        try:
            groups = re.compile(self.volume_pattern).groups
            _core.check_pattern(self.volume_pattern)
        except (re.error, ValueError) as error:
            raise ConfigError(f"--volume-pattern {self.volume_pattern}: {error}") from None
        if groups != 1:
            raise ConfigError(
                f"--volume-pattern {self.volume_pattern}: expected one group in parentheses, found {groups}"
            )

    def to_dict(self) -> dict[str, Any]:
        """All options by name, as they stand in the manifest."""
        return asdict(self) | {"exclude": list(self.exclude)}

    def reading(self) -> dict[str, Any]:
        """The options that decide what reading a file gives: with the same ones fingerprints can be reused."""
        names = ("hash_size", "intensity", "modality", "max_slice_mb")
        return {name: getattr(self, name) for name in names}


def canonical_modality(modality: str) -> str:
    """As files have it, in capital letters; `any` stays.

    >>> canonical_modality("mr"), canonical_modality("Any")
    ('MR', 'any')
    """
    return "any" if modality.lower() == "any" else modality.upper()


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"--{option} {value}: expected one of {', '.join(choices)}")


def _in_range(option: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise ConfigError(f"--{option} {value}: expected {low} to {high}")
