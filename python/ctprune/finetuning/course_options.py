"""Checks of options: augmentation, learning-rate schedule, several devices. Needs no torch."""

from __future__ import annotations

from typing import Any

from ctprune.errors import ConfigError
from ctprune.pretraining.view_config import CropConfig, ViewConfig

#: Schedules of the learning rate after the warm-up.
CONSTANT, COSINE = "constant", "cosine"
SCHEDULES = (CONSTANT, COSINE)

#: Nothing but flips.
PLAIN = "none"

# No noise: it would depend on which images share a batch. No flips: they have their own option.
_LIGHT: dict[str, Any] = {
    "rotation_probability": 1.0,
    "rotation_degrees": 5.0,
    "ratio": (0.95, 1.05),
    "jitter_probability": 0.0,
    "blur_probability": 0.0,
}
_STANDARD: dict[str, Any] = {
    "rotation_probability": 1.0,
    "rotation_degrees": 15.0,
    "ratio": (0.9, 1.1),
    "jitter_probability": 0.8,
    "brightness": 0.25,
    "contrast": 0.25,
    "blur_probability": 0.2,
    "blur_sigma": (0.1, 1.0),
}

#: By name, the smallest area of a crop, and the other options of a view.
_AUGMENTATIONS = {"light": (0.9, _LIGHT), "standard": (0.7, _STANDARD)}
AUGMENTATIONS = (PLAIN, *_AUGMENTATIONS)

#: Largest side of a view.
_LARGEST = 1024


def augmented_view(name: str, side: int) -> ViewConfig | None:
    """The view that one of `AUGMENTATIONS` makes of squares of this side; None if it changes nothing.

    >>> augmented_view("light", 224).crops
    (CropConfig(count=1, size=224, scale=(0.9, 1.0)),)
    """
    if name == PLAIN:
        return None
    area, rest = _AUGMENTATIONS[name]
    return ViewConfig(crops=(CropConfig(count=1, size=side, scale=(area, 1.0)),), **rest)


def check_course(config: Any) -> None:
    """Refuse augmentation, schedules and several devices that do not fit the other options.

    Args:
        config: A `FinetuneConfig` whose options have their defaults.

    Raises:
        ConfigError: One of them cannot be used.
    """
    for name, usual in (("augment", PLAIN), ("schedule", CONSTANT), ("warmup_epochs", 0)):
        value = getattr(config, name)
        if config.preset == "reference" and value != usual:
            raise ConfigError(
                f"{name} {value} belongs to `preset` default, not to reference, which trains as the published "
                "notebooks do",
                field=name,
            )
    for name in ("devices", "nodes"):
        value = getattr(config, name)
        if value != 1 and (config.mode != "finetune" or config.preset == "reference"):
            raise ConfigError(
                f"{name} {value}: expected 1, as only `mode` finetune with `preset` default trains on several "
                "devices",
                field=name,
            )
    for name in ("frozen_epochs", "warmup_epochs"):
        value = getattr(config, name)
        if value is not None and value > (config.epochs or 0):
            raise ConfigError(f"{name} {value}: expected 0 to {config.epochs}", field=name)
    if config.augment not in (None, PLAIN) and config.side > _LARGEST:
        raise ConfigError(
            f"side {config.side}: expected up to {_LARGEST} with `augment` {config.augment}", field="side"
        )
