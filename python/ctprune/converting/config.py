"""The configuration of a conversion: a frozen dataclass that checks itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypedDict

from ctprune.errors import ConfigError
from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import option

#: What a backbone is converted to.
TARGETS = ("onnx", "timm", "nnunet")


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
        "of timm and the Hugging Face Hub, with a model card; nnunet: plans and weights for nnU-Net (ResNets).",
    )
    side: int | None = option(
        None,
        low=16,
        high=4096,
        unit="pixels",
        help="Rows and columns of an image; default those of the largest crop in pre-training, or 224.",
        more="ResNets take other sizes too, transformers of an ONNX file only this one.",
    )
    plans: str | None = option(
        None,
        is_path=True,
        belongs_to="to",
        help="nnunet: the data set's plans, nnUNetPlans.json, to which a configuration 2d_ctprune is added.",
    )
    backbone: str | None = option(
        None,
        metavar="NAME",
        help="Architecture; default the one that the file names or that its weights show.",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.to == "nnunet":
            if self.plans is None:
                raise ConfigError("to nnunet needs `plans`, the nnUNetPlans.json of the data set", field="plans")
            if self.side is not None:
                raise ConfigError(
                    f"side {self.side}: belongs to `to` onnx or timm; for nnunet the plans say it", field="side"
                )
        elif self.plans is not None:
            raise ConfigError(f"plans belongs to `to` nnunet, not to {self.to}", field="plans")


class ConvertOptions(TypedDict, total=False):
    """The options of `ConvertConfig` as arguments of a function, for type checkers and editors."""

    to: str
    side: int | None
    plans: str | os.PathLike[str] | None
    backbone: str | None
