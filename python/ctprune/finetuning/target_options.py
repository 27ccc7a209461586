"""Checks that options belong to the target. Needs no torch."""

from __future__ import annotations

from typing import Any

from ctprune.errors import ConfigError
from ctprune.options.shared import CLASSES, MULTI_LABEL, ORDINAL, REGRESSION


def check_target(config: Any) -> None:
    """Refuse options that do not belong to the target.

    Args:
        config: A `FinetuneConfig`.

    Raises:
        ConfigError: One of them is given.
    """
    target = config.target
    if target != CLASSES:
        if config.preset == "reference":
            raise ConfigError("preset reference belongs to `target` classes", field="preset")
        if config.positive:
            raise ConfigError(f"positive belongs to `target` classes, not to {target}", field="positive")
        if config.pool == "top-k" and target != MULTI_LABEL:
            raise ConfigError(
                f"pool top-k belongs to `target` classes or multi-label, not to {target}: use `pool` mean or "
                "attention",
                field="pool",
            )
    if config.class_weights and target == REGRESSION:
        raise ConfigError(
            "class_weights belongs to `target` classes, multi-label or ordinal, not to regression",
            field="class_weights",
        )
    if config.label_columns:
        if target != MULTI_LABEL:
            raise ConfigError(
                f"label_columns belongs to `target` multi-label, not to {target}", field="label_columns"
            )
        if config.label_column is not None:
            raise ConfigError(
                "label_columns and label_column are mutually exclusive: give only one", field="label_columns"
            )
    if config.levels and target != ORDINAL:
        raise ConfigError(f"levels belongs to `target` ordinal, not to {target}", field="levels")
