"""The model card of a converted backbone: that of its pre-training, with another way to use it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ctprune.pretraining.model_card import CARD_NAME, CURVES_NAME, model_card
from ctprune.pretraining.result import SUMMARY_NAME


def write_card(folder: Path, beside_weights: Path, backbone: str, *, use: str, front: str = "") -> None:
    """Write `README.md` and, if the pre-training has them, its curves.

    Args:
        folder: Folder of the converted backbone.
        beside_weights: Folder of the weights, whose summary says what the card shows.
        backbone: Name of the architecture.
        use: How the backbone is loaded, as Markdown.
        front: What stands before the card.
    """
    summary = beside_weights / SUMMARY_NAME
    text = f"# {backbone}\n\n## Use\n\n{use}\n"
    if summary.is_file():
        if (beside_weights / CURVES_NAME).is_file():
            shutil.copyfile(beside_weights / CURVES_NAME, folder / CURVES_NAME)
        text = model_card(json.loads(summary.read_text("utf-8")), use=use)
    (folder / CARD_NAME).write_text(front + text, "utf-8")
