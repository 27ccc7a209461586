"""The configuration of a packed store: a frozen dataclass that checks itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.neighbors import GRAY, neighbors_option
from ctprune.options.option import option
from ctprune.options.shared import threads_option

USES = ("kept", "all", "random")


def use_option(*, panel: str | None = None) -> str:
    """A field for the slices that are used."""
    return option(
        "kept",
        choices=USES,
        panel=panel,
        help="Slices to use: the kept ones, all, or a random sample of as many as were kept.",
    )


def side_option(*, panel: str | None = None) -> int:
    """A field for the size of packed slices."""
    return option(
        256,
        low=8,
        high=4096,
        unit="pixels",
        panel=panel,
        help="Rows and columns of the packed slices.",
        more="The shorter side of a slice is scaled to this; the longer side is cropped at both ends.",
    )


def depth_option(*, panel: str | None = None) -> int:
    """A field for the bits of packed slices."""
    return option(
        8,
        choices=(8, 16),
        unit="bits",
        panel=panel,
        help="Bits per pixel: gray (8) or Hounsfield units (16).",
        more="Gray values are those that were fingerprinted. With 16 bits a pixel is HU + 32768, for 8-bit "
        "pictures gray × 257.",
    )


def channels_option(*, panel: str | None = None) -> str:
    """A field for what a network sees in its three channels."""
    return neighbors_option(
        "channels",
        GRAY,
        panel=panel,
        help="What the three channels show: one gray slice, or a slice between those MM mm before and after it.",
        more="At the ends of a volume, the slice nearest to that distance takes the place, or the slice itself.",
    )


@described
@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """The options of a packed store.

    Raises:
        ConfigError: An option that is out of range.
    """

    use: str = use_option()
    side: int = side_option()
    depth: int = depth_option()
    channels: str = channels_option()
    seed: int = option(
        0, low=0, high=2**64 - 1, help="Seed of the random sample.", more="0 for other values of `use`."
    )
    without: str = option(
        "",
        help="Digest of the slices that the random sample must not contain.",
        more="Empty for other values of `use`.",
    )
    threads: int = threads_option()

    def __post_init__(self) -> None:
        check(self)
        if self.use != "random":
            # Options that the store does not use must not cause it to be built again.
            object.__setattr__(self, "seed", 0)
            object.__setattr__(self, "without", "")
        if self.use == "all":
            # The store holds every slice that channels show.
            object.__setattr__(self, "channels", GRAY)

    @property
    def folder_name(self) -> str:
        """Name of the store's folder in the folder of a reduction."""
        sample = f"random-{self.seed}-{self.without}".rstrip("-")
        use = sample if self.use == "random" else self.use
        beside = "" if self.channels == GRAY else f"-{self.channels.replace(':', '-')}"
        return f"store-{use}-{self.side}-{self.depth}{beside}"


class StoreOptions(TypedDict, total=False):
    """The options of `StoreConfig` as arguments of a function, for type checkers and editors."""

    use: str
    side: int
    depth: int
    channels: str
    seed: int
    threads: int
