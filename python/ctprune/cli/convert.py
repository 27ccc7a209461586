"""`ctprune convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ctprune.cli.generate import OptionsOf, Quiet
from ctprune.cli.output import print_json, say

EXAMPLE = "ctprune convert pretrained/ --to onnx --out backbone.onnx"


def command(
    weights: Annotated[
        Path, typer.Argument(metavar="WEIGHTS", help="Folder of a pre-training, or a file of weights.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="New file (onnx) or new folder (timm, nnunet).")],
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.converting.config:ConvertConfig")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write a backbone as ONNX, or as a folder for timm or nnU-Net, once its features have proved equal.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    from ctprune.converting.config import ConvertConfig
    from ctprune.environment.extras import extra

    config = ConvertConfig(**options)
    with extra("train", "ctprune convert"):
        from ctprune.converting.convert import convert_backbone
    found = convert_backbone(weights, out, config)
    if as_json:
        print_json("convert", found.to_dict())
    elif not quiet:
        same = f"the same to {found.largest_difference:.0e} of the largest"
        say(f"{found.path}: {found.backbone}, {found.num_features:,} features, {same}")
