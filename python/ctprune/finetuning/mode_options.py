"""Options that belong to a mode or a preset, and their defaults. Needs no torch."""

from __future__ import annotations

from typing import Any

from ctprune.errors import ConfigError
from ctprune.finetuning.course_options import CONSTANT, PLAIN

MODES = ("finetune", "linear", "knn")

#: Options that only some modes use.
_MODE_OPTIONS = {
    "epochs": ("finetune",),
    "frozen_epochs": ("finetune",),
    "learning_rate": ("finetune",),
    "weight_decay": ("finetune",),
    "schedule": ("finetune",),
    "warmup_epochs": ("finetune",),
    "flip": ("finetune",),
    "augment": ("finetune",),
    "class_weights": ("finetune", "linear"),
    "neighbors": ("knn",),
    "features": ("linear", "knn"),
}

#: The reference's numbers, which the default recipe keeps.
_DEFAULTS: dict[str, Any] = {
    "epochs": 70,
    "frozen_epochs": 10,
    "learning_rate": 1e-4,
    "weight_decay": 5e-4,
    "schedule": CONSTANT,
    "warmup_epochs": 0,
    "flip": True,
    "augment": PLAIN,
    "class_weights": False,
    "neighbors": 20,
    "features": None,
}

#: Defaults by preset.
_PRESETS: dict[str, dict[str, str]] = {
    "default": {"fit": "pad", "normalize": "auto", "precision": "auto"},
    "reference": {"fit": "squeeze", "normalize": "train", "precision": "32"},
}
PRESETS = tuple(_PRESETS)


def defaults_of(config: Any) -> dict[str, Any]:
    """The options of mode and preset by name: those of `config`, else their defaults.

    Args:
        config: A `FinetuneConfig` with the options as given.

    Raises:
        ConfigError: An option is of no use in this mode.
    """
    found: dict[str, Any] = {}
    for name, choice in _PRESETS[config.preset].items():
        found[name] = choice if getattr(config, name) is None else getattr(config, name)
    for name, modes in _MODE_OPTIONS.items():
        given = getattr(config, name)
        if config.mode not in modes:
            if given is not None and given is not False:
                raise ConfigError(
                    f"{name} belongs to `mode` {' or '.join(modes)}, not to {config.mode}", field=name
                )
            found[name] = None
        elif given is None:
            value = _DEFAULTS[name]
            found[name] = min(value, found["epochs"] or 0) if name == "frozen_epochs" else value
        else:
            found[name] = given
    return found
