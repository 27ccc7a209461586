"""The model card of a converted backbone: that of its pre-training, with another way to use it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctprune.errors import ManifestError
from ctprune.networks.facts import pretraining_of
from ctprune.pretraining.model_card import CARD_NAME, CURVES_NAME, model_card
from ctprune.pretraining.result import load_pretrain_summary, without_paths

#: What a training on labeled images changes of the facts of the pre-training.
_OF_INPUT = ("backbone", "mean", "std", "intensity", "channels", "finetuned")


def write_card(
    folder: Path, weights: Path, metadata: Mapping[str, Any], backbone: str, *, use: str, front: str = ""
) -> None:
    """Write `README.md` and, if the pre-training has them, its curves.

    Args:
        folder: Folder of the converted backbone.
        weights: The file of weights.
        metadata: Its metadata, which the card shows, wherever the file lies.
        backbone: Name of the architecture.
        use: How the backbone is loaded, as Markdown.
        front: What stands before the card.
    """
    facts = pretraining_of(metadata)
    text = f"# {backbone}\n\n## Use\n\n{use}\n"
    if facts is not None:
        curves = _curves(weights, facts)
        if curves is not None:
            shutil.copyfile(curves, folder / CURVES_NAME)
        facts |= {name: metadata[name] for name in _OF_INPUT if name in metadata}
        text = model_card(facts, use=use, curves=curves is not None)
    (folder / CARD_NAME).write_text(front + text, "utf-8")


def _curves(weights: Path, facts: Mapping[str, Any]) -> Path | None:
    """The curves beside the weights or, for a backbone that was kept on the way, one folder up; None without."""
    for folder in weights.absolute().parents[:2]:
        try:
            summary = load_pretrain_summary(folder)
        except ManifestError:
            continue
        # A file may have been copied into the folder of another pre-training.
        is_own = summary.get("manifest_digest") == facts.get("manifest_digest")
        if is_own and without_paths(summary["settings"]) == facts["settings"] and (folder / CURVES_NAME).is_file():
            return folder / CURVES_NAME
    return None
