"""The part of a reduction's configuration that decides which of the read slices to keep."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypedDict

from ctprune import _core
from ctprune.options.option import option
from ctprune.options.parse import keep_fraction
from ctprune.selection.methods import FEATURES, FINGERPRINTS, METHODS, Method, taking, threshold_help
from ctprune.selection.methods import deciding as deciding_methods

SCOPES = ("volume", "dataset")
WINDOWS = ("uniform", "gaussian")
ORDERS = ("position", "path")

_SELECTION = "Selection"


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """The options of a selection; `ReduceConfig` has them, checks them and gives them their defaults by method."""

    method: str = option(
        "hash",
        choices=tuple(METHODS),
        panel=_SELECTION,
        metavar="METHOD",
        help=f"Method that decides which slices are near-duplicates, or a control: {', '.join(METHODS)}.",
    )
    threshold: float | None = option(
        None,
        belongs_to="method",
        rivals=("keep", "budget"),
        panel=_SELECTION,
        help=threshold_help(),
        more="The default of `hash` is the same share of the bits at other hash sizes. Similarities: mean SSIM, "
        "normalized mutual information (1 to 2), cosine of two embeddings.",
    )
    keep: float | None = option(
        None,
        belongs_to="method",
        rivals=("threshold", "budget"),
        parse=keep_fraction,
        above=0,
        high=1,
        noun="a fraction",
        example=0.1,
        metavar="FRACTION",
        panel=_SELECTION,
        help=f"{', '.join(deciding_methods())}: keep about this fraction (0.1 or 10%) and print the threshold; "
        f"{', '.join(name for name in taking('keep') if name not in deciding_methods())}: keep this fraction.",
        more="The threshold that comes nearest is used; `kcenter` keeps exactly that number. By default, `random` "
        "keeps as many slices as `hash` keeps.",
    )
    budget: int | None = option(
        None,
        belongs_to="method",
        rivals=("threshold", "keep"),
        low=1,
        high=2**32 - 1,
        unit="slices",
        example=1000,
        metavar="N",
        panel=_SELECTION,
        help="Keep about this number of slices instead of a fraction.",
        more="Where slices are compared within volumes, `kcenter` keeps at least one of each; `random` takes from "
        "each volume in proportion to its slices, `random-per-volume` the same number.",
    )
    features: str | None = option(
        None,
        belongs_to="method",
        choices=FEATURES,
        panel=_SELECTION,
        help=f"{', '.join(taking('features'))}: compare fingerprints (default) or embeddings, as deep makes them.",
    )
    target: str | None = option(
        None,
        belongs_to="method",
        is_path=True,
        metavar="REDUCTION",
        panel=_SELECTION,
        help="retrieval: reduction whose slices, kept or dropped, the kept slices should resemble most.",
        more="Both need the same kind of fingerprint, or embeddings by the same network.",
    )
    hash_size: int = option(
        8, low=2, high=32, panel=_SELECTION, help="Side N of the fingerprint, which has N² bits."
    )
    fingerprint: str = option(
        "auto",
        belongs_to="method",
        choices=("auto", *FINGERPRINTS),
        panel=_SELECTION,
        help=f"Kind of fingerprint in the manifest; auto is the method's own kind, or else "
        f"{_core.DEFAULT_FINGERPRINT}.",
    )
    n: int | None = option(
        None,
        belongs_to="method",
        low=1,
        high=2**31 - 1,
        panel=_SELECTION,
        help=f"every-n: keep every n-th slice of a volume, default {METHODS['every-n'].options['n']}.",
    )
    seed: int | None = option(
        None,
        belongs_to="method",
        low=0,
        high=2**64 - 1,
        panel=_SELECTION,
        help=f"{', '.join(taking('seed'))}: seed of the sample, default {METHODS['random'].options['seed']}.",
    )
    clusters: int | None = option(
        None,
        belongs_to="method",
        low=1,
        high=2**24,
        panel=_SELECTION,
        help=f"{', '.join(taking('clusters'))}: clusters of embeddings; default the square root of the slices.",
        more="For `balanced`, those of the lowest level; each level above has an eighth, three levels at most.",
    )
    window: str | None = option(
        None,
        belongs_to="method",
        choices=WINDOWS,
        panel=_SELECTION,
        help="ssim: uniform, 7 × 7 pixels (default), or gaussian, σ 1.5.",
    )
    weights: str | None = option(
        None,
        belongs_to="method",
        is_path=True,
        panel=_SELECTION,
        help="For embeddings: file of a backbone; default torchvision's ResNet-50.",
        more="Any file that `ctprune.load_backbone` reads.",
    )
    download: bool = option(
        False,
        belongs_to="method",
        decides=False,
        panel=_SELECTION,
        help="For embeddings: download torchvision's ResNet-50 if it is not on disk.",
    )
    max_gap_mm: float | None = option(
        None,
        belongs_to="method",
        low=0,
        high=10_000,
        unit="mm",
        example=20,
        panel=_SELECTION,
        help="Keep a slice whose exemplar would lie farther along the body than this; default no limit.",
        more="The published rule has no such limit. It needs `scope` volume and does not affect slices without "
        "positions.",
    )
    scope: str = option(
        "volume",
        choices=SCOPES,
        panel=_SELECTION,
        help="Compare slices within each volume or over the whole dataset.",
        more="`ssim` and `mi` compare within volumes only.",
    )
    order: str = option(
        "position", choices=ORDERS, panel=_SELECTION, help="Order of slices: along the volume, or paths as text."
    )
    stable: bool = option(
        False,
        panel=_SELECTION,
        help="Keep the slices that the earlier reduction kept, and compare new slices with these first.",
        more="Works with methods that compare slices, and with a `threshold`. The earlier reduction in `out` must "
        "have the same options.",
    )

    @property
    def on_features(self) -> Method:
        """The method, for the requested features."""
        return METHODS[self.method].on(self.features)

    @property
    def compares(self) -> str:
        """What is compared: `fingerprints`, `pixels`, `embeddings`, or nothing."""
        return self.on_features.compares


class SelectionOptions(TypedDict, total=False):
    """The options of `SelectionConfig` as arguments of a function, for type checkers and editors."""

    method: str
    threshold: float | None
    keep: float | None
    budget: int | None
    features: str | None
    target: str | os.PathLike[str] | None
    hash_size: int
    fingerprint: str
    n: int | None
    seed: int | None
    clusters: int | None
    window: str | None
    weights: str | os.PathLike[str] | None
    download: bool
    max_gap_mm: float | None
    scope: str
    order: str
    stable: bool
