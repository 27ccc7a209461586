"""The result of a pre-training: its summary, and the facts that travel with the weights."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from ctprune.errors import ManifestError
from ctprune.manifest.manifest import PLACES, Manifest
from ctprune.options.neighbors import GRAY
from ctprune.pretraining.config import RATE_BATCH, PretrainConfig
from ctprune.pretraining.devices import device_name
from ctprune.pretraining.records import PROBED
from ctprune.pretraining.settings import MocoSettings
from ctprune.pretraining.training import TrainingLoop
from ctprune.pretraining.used_slices import UsedSlices
from ctprune.reading.modalities import modalities
from ctprune.reduction.selection_config import SelectionConfig
from ctprune.store.store import SliceStore

SUMMARY_NAME = "summary.json"


@dataclass(frozen=True, kw_only=True)
class PretrainResult:
    """A finished pre-training.

    Attributes:
        folder: Folder of the pre-training.
        backbone: File of the backbone's weights, for `ctprune.load_backbone`.
        summary: Content of `summary.json`.
    """

    folder: Path
    backbone: Path
    summary: dict[str, Any] = field(default_factory=dict)


def facts_of(
    config: PretrainConfig,
    manifest: Manifest,
    store: SliceStore,
    training: TrainingLoop,
    fabric: Fabric,
    used: UsedSlices,
    mean: float,
    std: float,
) -> dict[str, Any]:
    """The content of `summary.json` for a pre-training.

    Args:
        config: Options of the pre-training.
        manifest: Manifest of the run.
        store: Packed slices.
        training: The finished training.
        fabric: Devices and precision of the training.
        used: The slices of the store that were trained on.
        mean: Mean that views are normalized with.
        std: Standard deviation that views are normalized with.
    """
    counts = manifest.counts()
    losses = [line["loss"] for line in training.lines if "loss" in line]
    images = training.step * config.batch_size * config.accumulate * fabric.world_size
    last = {name: value for line in training.lines for name, value in line.items()}
    return {
        "method": config.method,
        "backbone": config.backbone,
        "mean": mean,
        "std": std,
        "intensity": shown_intensity(config, store),
        "side": config.side,
        "use": config.use,
        "slices": len(store) if used.positions is None else len(used.positions),
        # So far, for a backbone that is kept on the way.
        "epochs": math.ceil(training.step / training.steps_per_epoch),
        "steps": training.step,
        "slices_per_step": config.batch_size * config.accumulate * fabric.world_size,
        "learning_rate": training.rate_factor * config.learning_rate,
        "teacher_momentum": getattr(training.method, "momentum", None),
        "seconds": round(training.seconds, 3),
        "manifest_digest": store.manifest_digest,
        "reduction": manifest.config,
        "reduced": {
            "kept": counts["kept"],
            "slices": counts["kept"] + counts["dropped"],
            "ctprune_version": manifest.ctprune_version,
        },
        "modalities": modalities(manifest.rows),
        "left_out": store.left_out,
        "excluded": used.excluded,
        "neighbors": used.near,
        "channels": config.channels,
        "complete_channels": used.complete_channels,
        "settings": config.to_dict(),
        "slices_per_second": round(images / training.seconds, 2),
        "final_loss": losses[-1] if losses else None,
        "rankme": last.get("rankme"),
        **{name: last.get(name) for name in PROBED},
        "alarms": training.alarms,
        "seed": config.seed,
        "device": device_name(fabric.device),
        "devices": fabric.world_size,
        "precision": fabric.strategy.precision.precision,
    }


def load_pretrain_summary(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The summary of a finished pre-training's folder.

    Raises:
        ManifestError: The folder holds none.
    """
    try:
        facts = dict(json.loads((Path(folder) / SUMMARY_NAME).read_text()))
    except (OSError, ValueError):
        facts = {}
    if "settings" not in facts:
        # Other results have a `summary.json`, too.
        raise ManifestError(f"{folder}: expected the folder of a pre-training with its {SUMMARY_NAME}, found none")
    return facts


def shown_intensity(config: PretrainConfig, store: SliceStore) -> str:
    """How Hounsfield units become the gray of views: by the window of `views`, or as in the store."""
    return config.views.window.intensity if config.views.window else store.intensity


def notes_on(config: PretrainConfig, slices: int, intensity: str) -> list[str]:
    """Sentences about a configuration that works, but may not be intended.

    Args:
        config: Options of the pre-training.
        slices: Number of slices in use.
        intensity: How Hounsfield units become the gray of views.
    """
    found = []
    if isinstance(config.settings, MocoSettings) and config.settings.queue > slices:
        queue = config.settings.queue
        found.append(
            f"the queue of {queue:,} keys is longer than an epoch of {slices:,} slices: it holds each slice's own "
            f"earlier keys, as negatives, about {queue / slices:.1f} times; set a shorter queue in a file: "
            "settings: {queue: …}"
        )
    if config.channels != GRAY and intensity == "minmax":
        found.append(
            "intensity minmax scales each slice by its own range, so that the three channels of `channels` "
            f"{config.channels} differ in brightness; for one scale, reduce with a fixed range, such as "
            "`intensity` hu:-1000,400"
        )
    return found


def rates_sentence(config: PretrainConfig, factor: float, devices: int) -> str:
    """A sentence about the learning rate in use, and how it follows from the options.

    Args:
        config: Options of the pre-training.
        factor: Factor of the learning rates, from `ctprune.pretraining.optimizers.rate_factor`.
        devices: Number of devices that train together.
    """
    rate = f"learning rate {factor * config.learning_rate:.6g}"
    if config.rate_scaling == "none":
        return f"{rate}, for any batch"
    slices = config.batch_size * config.accumulate * devices
    how = "times" if config.rate_scaling == "linear" else "times the square root of"
    return f"{rate}: {config.learning_rate:g} {how} {slices:,} / {RATE_BATCH} slices per optimizer step"


def portable(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts for weights and model card, which travel: no paths of this machine, and no names of test sets."""
    excluded = {name: value for name, value in facts["excluded"].items() if name != "sources"}
    found = {
        **facts,
        "excluded": excluded,
        "settings": without_paths(facts["settings"]),
        "reduction": _selection(facts["reduction"]),
        "unreadable": sum(facts["left_out"].values()),
    }
    # Reasons may quote what files hold.
    del found["left_out"]
    return found


def _selection(config: Mapping[str, Any]) -> dict[str, Any]:
    """How a reduction selected; the other options hold paths, patterns of names and codes of a site."""
    names = [field.name for field in fields(SelectionConfig) if field.name not in PLACES]
    return {name: config[name] for name in names if config.get(name) is not None}


def without_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without the paths of this machine, which may hold names."""
    return {**options, "exclude": [], "probe": None, "weights": None}
