"""Checks that the options of a pre-training fit together."""

from __future__ import annotations

import re
from typing import Any

from ctprune.errors import ConfigError
from ctprune.options.neighbors import neighbors_mm
from ctprune.pretraining.settings import (
    MULTI_CROP,
    OF_TRANSFORMERS,
    ONE_VIEW,
    SETTINGS,
    TEACHER_SAVED,
    MaeSettings,
)

#: A `PretrainConfig`, which imports this module.
PretrainConfig = Any

#: How names of ResNets begin; other names are checked once the network is built.
_RESNETS = re.compile(r"(wide_)?resne[tx]")


def check_compatible(config: PretrainConfig) -> None:
    """Check options against each other.

    Raises:
        ConfigError: Options do not fit the method or each other.
    """
    _check_settings(config)
    _check_views(config)
    if config.method in ONE_VIEW and neighbors_mm(config.positives) is not None:
        raise ConfigError(
            f"positives {config.positives}: `method` {config.method} has one view of a slice and compares nothing",
            field="positives",
        )
    if config.sample_weights and config.use != "kept":
        raise ConfigError(
            f"sample_weights belongs to `use` kept: each slice of `use` {config.use} stands for itself",
            field="sample_weights",
        )
    if config.average_momentum is not None and config.method in TEACHER_SAVED:
        raise ConfigError(
            f"average_momentum: `method` {config.method} saves its teacher, which is a moving average already",
            field="average_momentum",
        )


def _check_settings(config: PretrainConfig) -> None:
    expected = SETTINGS[config.method]
    if not isinstance(config.settings, expected):
        found = type(config.settings).__name__
        raise ConfigError(
            f"settings: expected {expected.__name__} for `method` {config.method}, found {found}",
            field="settings",
        )
    if config.method in OF_TRANSFORMERS and _RESNETS.match(config.backbone):
        raise ConfigError(
            f"backbone {config.backbone}: `method` {config.method} needs a vision transformer of timm, such as "
            "vit_small_patch16_224",
            field="backbone",
        )
    if isinstance(config.settings, MaeSettings):
        width, heads = config.settings.decoder_width, config.settings.decoder_heads
        if width % 4 or width % heads:
            raise ConfigError(
                f"settings.decoder_width {width}: expected a multiple of 4 and of `settings.decoder_heads` "
                f"{heads}",
                field="settings.decoder_width",
            )
    if getattr(config.settings, "koleo_weight", 0) and config.batch_size < 2:
        raise ConfigError(
            f"batch_size {config.batch_size}: expected 2 or more: `settings.koleo_weight` compares the "
            "slices of a batch",
            field="batch_size",
        )
    if config.batch_size * config.accumulate < 2:
        raise ConfigError(
            f"batch_size {config.batch_size}: expected 2 or more: methods compare slices", field="batch_size"
        )
    if config.optimizer == "lars" and 0 in (config.weight_decay, config.final_weight_decay):
        raise ConfigError(
            "weight_decay 0 switches off the scaling of `optimizer` lars: give a value such as 1e-6",
            field="weight_decay",
        )
    queue = getattr(config.settings, "queue", 0)
    if queue % config.batch_size:
        raise ConfigError(
            f"settings.queue {queue}: expected a multiple of the batch size {config.batch_size}: otherwise "
            f"entries would be lost when the queue wraps around",
            field="settings.queue",
        )


def _check_views(config: PretrainConfig) -> None:
    first = config.views.crops[0].count
    if config.method in MULTI_CROP:
        if first < 2:
            raise ConfigError(
                f"views: `method` {config.method} needs 2 or more crops in the first group, found {first}",
                field="views",
            )
    elif config.method in ONE_VIEW:
        if config.views.views != 1:
            raise ConfigError(
                f"views: `method` {config.method} takes 1 view of a slice, found {config.views.views}",
                field="views",
            )
    elif config.views.views != 2:
        raise ConfigError(
            f"views: `method` {config.method} takes 2 views of a slice, found {config.views.views}", field="views"
        )
    if config.views.window is not None and config.depth == 8:
        raise ConfigError("views.window needs Hounsfield units: give `depth` 16", field="views.window")
    if config.views.gray_window is not None and config.depth == 16:
        raise ConfigError(
            "views.gray_window belongs to `depth` 8: with 16 bits views.window varies in Hounsfield units",
            field="views.gray_window",
        )
    if config.views.window is None and config.depth == 16:
        raise ConfigError(
            "depth 16 needs views.window, such as {center: 0, width: 2000}: in the whole range of 16 bits all "
            "tissue is the same gray",
            field="depth",
        )
