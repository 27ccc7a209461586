"""Facts that travel with a backbone's weights: what its input is, and which pre-training it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ctprune.options.neighbors import GRAY

#: Where a trained backbone keeps what its pre-training said.
_PRETRAINING = "pretraining"


def trained_facts(
    before: Mapping[str, Any],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    side: int,
    intensity: str,
    channels: str,
    finetuned: bool,
) -> dict[str, Any]:
    """Metadata of a backbone that labeled images were shown to, for `ctprune.networks.backbone.save_backbone`.

    Args:
        before: Metadata of the weights that the training started from; empty for random ones.
        mean: Mean of the input as a fraction of 255, one for all channels or one for each of three.
        std: Standard deviation of the input, as many as means.
        side: Rows and columns of an image.
        intensity: How Hounsfield units became gray.
        channels: What the channels show, as the option `channels` of a pre-training says.
        finetuned: Whether this training changed the weights; an earlier one may have.

    >>> before = {"method": "swav", "reduced": {"kept": 5, "slices": 80}}
    >>> images = {"mean": [0.2], "std": [0.3], "side": 64, "intensity": "lung", "channels": "gray"}
    >>> found = trained_facts(before, **images, finetuned=True)
    >>> found["method"], found["finetuned"], pretraining_of(found) == before
    ('swav', True, True)
    """
    pretraining = pretraining_of(before)
    return {
        "method": before.get("method"),
        "mean": list(mean),
        "std": list(std),
        "side": side,
        "intensity": intensity,
        "channels": channels,
        "finetuned": finetuned or bool(before.get("finetuned")),
        **({} if pretraining is None else {_PRETRAINING: pretraining}),
    }


def channels_of(metadata: Mapping[str, Any]) -> str:
    """What a backbone of this metadata sees in its channels, as the option `channels` of a pre-training says.

    >>> channels_of({}), channels_of({"channels": "neighbors:5"})
    ('gray', 'neighbors:5')
    """
    return str(metadata.get("channels", GRAY))


def pretraining_of(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the pre-training of a backbone said about itself, with its reduction; None without one.

    >>> pretraining_of({"backbone": "resnet18"}) is None
    True
    """
    found = metadata.get(_PRETRAINING, metadata)
    return dict(found) if "reduced" in found else None
