"""The configuration of a conversion: a frozen dataclass that checks itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import option

#: What a backbone is converted to.
TARGETS = ("onnx", "timm")


@described
@dataclass(frozen=True, kw_only=True)
class ConvertConfig:
    """How a backbone is converted.

    Raises:
        ConfigError: An option that cannot be used.

    >>> ConvertConfig(to="timm").side is None
    True
    """

    to: str = option(
        "onnx",
        choices=TARGETS,
        help="onnx: a file that takes 8-bit gray images and gives features; timm: a folder in the format "
        "of timm and the Hugging Face Hub, with a model card.",
    )
    side: int | None = option(
        None,
        low=16,
        high=4096,
        unit="pixels",
        help="Rows and columns of an image; default those of the largest crop in pre-training, or 224.",
        more="ResNets take other sizes too, transformers of an ONNX file only this one.",
    )
    backbone: str | None = option(
        None,
        metavar="NAME",
        help="Architecture; default the one that the file names or that its weights show.",
    )

    def __post_init__(self) -> None:
        check(self)


class ConvertOptions(TypedDict, total=False):
    """The options of `ConvertConfig` as arguments of a function, for type checkers and editors."""

    to: str
    side: int | None
    backbone: str | None
