"""The configuration of a sweep: a frozen dataclass that checks itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from ctprune.errors import ConfigError
from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import about, option
from ctprune.options.parse import numbers_by_method
from ctprune.options.shared import threads_option
from ctprune.reduction.selection_config import SCOPES
from ctprune.selection.methods import choices, comparing, swept

#: The methods that have a threshold, or a share to keep of points.
SWEPT = tuple(swept())


@described
@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Options of a sweep: methods, thresholds, slices.

    Raises:
        ConfigError: An option that cannot be used.

    >>> SweepConfig(methods=["hash", "ssim"]).methods
    ('hash', 'ssim')
    """

    methods: tuple[str, ...] = option(
        ("hash",),
        noun="methods",
        flag="method",
        metavar=choices(SWEPT),
        help="Methods to sweep; repeatable; default hash.",
        more="Methods that compare fingerprints read no pixels, but the reduction must have that kind of "
        "fingerprint. `ssim` and `mi` read each slice once and compare within volumes only. `deep` uses the "
        "embeddings beside the manifest and computes missing ones. `kcenter` compares the reduction's `features`.",
    )
    thresholds: Mapping[str, Sequence[float]] = field(
        default_factory=dict,
        metadata=about(
            parse=numbers_by_method,
            repeatable=True,
            metavar="METHOD=T,T,…",
            help="Thresholds to try; default all radii for fingerprints, and for others those that `ctprune "
            "reduce` tries.",
            more="By method; methods that are not named use the default.",
        ),
    )
    scope: str | None = option(
        None,
        choices=SCOPES,
        help="Compare slices within each volume or over the whole dataset; default the reduction's scope.",
    )
    weights: str | None = option(None, is_path=True, help="deep: file of a backbone; default the reduction's.")
    download: bool = option(
        False, decides=False, help="deep: download torchvision's ResNet-50 if it is not on disk."
    )
    threads: int = threads_option()

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "methods", tuple(dict.fromkeys(self.methods)))
        if not self.methods:
            raise ConfigError(f"methods: expected at least one of {', '.join(SWEPT)}, found none", field="methods")
        for method in self.methods:
            if method not in SWEPT:
                raise ConfigError(f"methods {method}: expected one of {', '.join(SWEPT)}", field="methods")
        self._check_thresholds()
        if self.weights is not None and self.download:
            raise ConfigError("`weights` and `download` are mutually exclusive: give only one")
        if (self.weights is not None or self.download) and not set(self.methods) & set(comparing("embeddings")):
            name = "download" if self.download else "weights"
            raise ConfigError(f"{name} belongs to `methods` deep", field=name)

    def _check_thresholds(self) -> None:
        if not isinstance(self.thresholds, Mapping):
            raise ConfigError(
                f"thresholds {self.thresholds}: expected thresholds by method, such as hash: [0, 3, 6]",
                field="thresholds",
            )
        for method in self.thresholds:
            if method not in self.methods:
                raise ConfigError(
                    f"thresholds {method}=…: {method} is not among the methods {', '.join(self.methods)}",
                    field="thresholds",
                )
        try:
            found = {method: [float(value) for value in values] for method, values in self.thresholds.items()}
        except (TypeError, ValueError):
            raise ConfigError(
                f"thresholds {self.thresholds}: expected numbers by method, such as hash: [0, 3, 6]",
                field="thresholds",
            ) from None
        object.__setattr__(self, "thresholds", found)


class SweepOptions(TypedDict, total=False):
    """The options of `SweepConfig` as arguments of a function, for type checkers and editors."""

    methods: Sequence[str]
    thresholds: Mapping[str, Sequence[float]]
    scope: str | None
    weights: str | os.PathLike[str] | None
    download: bool
    threads: int
