"""Presets: the options of a pre-training that belong together, by method."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ctprune.errors import ConfigError
from ctprune.pretraining.settings import MULTI_CROP, OF_TRANSFORMERS, ONE_VIEW

PRESETS = ("paper", "vit", "small", "smoke")

#: Families of timm's transformers, as their names begin; they learn with AdamW.
_TRANSFORMERS = re.compile(
    r"(naflex|flexi|sam)?vit(amin|_|det)|(deit|beit|eva|swin|cait|xcit|pit|hiera|levit|convit|crossvit|twins|maxvit|"
    r"mvit|nest|pvt|tnt|volo|gcvit)"
)

#: The papers' settings. For SwAV, MoCo v2 and BYOL, which the reference compares on CT, these are the numbers of
#: its published launch commands or, if a command sets none, the defaults of the program that it starts.
_PAPER: dict[str, dict[str, Any]] = {
    "swav": {
        # Defaults of the program: 800 epochs, batch 128 per GPU, weight decay 1e-6, 10 epochs of warm-up.
        "epochs": 800,
        "batch_size": 128,
        "weight_decay": 1e-6,
        "warmup_epochs": 10,
        # The launch command's 0.15 for a batch of 128. (It also sets a first and a last rate, 0.3 and 0.00015,
        # which its program ignores: the rate goes from 0 to 0.)
        "optimizer": "lars",
        "learning_rate": 0.3,
        "start_learning_rate": 0.0,
        "final_learning_rate": 0.0,
        # The switch that exempts biases and normalization layers is not set, as in SwAV's own code.
        "decay_biases": True,
    },
    "mocov2": {
        # The launch command's: 800 epochs, batch 128.
        "epochs": 800,
        "batch_size": 128,
        # Defaults of the program: SGD at half the paper's 0.03, as the batch is half of its 256; a cosine to 0
        # without warm-up; weight decay for all.
        "optimizer": "sgd",
        "learning_rate": 0.03,
        "start_learning_rate": 0.03,
        "final_learning_rate": 0.0,
        "warmup_epochs": 0,
        "weight_decay": 1e-4,
        "decay_biases": True,
        # Also defaults: the temperature of MoCo v1, and a linear head, as the launch command does not switch the
        # hidden layer on.
        "settings": {"temperature": 0.07, "hidden": 0},
    },
    "byol": {
        # The program's schedule: 10 epochs of warm-up from 0, then a cosine that reaches 0 after 100 epochs. (The
        # program continues, up to 300,000 steps.)
        "epochs": 100,
        "warmup_epochs": 10,
        "start_learning_rate": 0.0,
        "final_learning_rate": 0.0,
        # The launch command's.
        "batch_size": 64,
        # Defaults of the program: Adam for all parameters alike, at 0.001 for a batch of 64.
        "optimizer": "adam",
        "learning_rate": 4e-3,
        "weight_decay": 1.5e-6,
        "decay_biases": True,
    },
    # The papers' own settings, at a batch that fits a GPU.
    "simclr": {
        "epochs": 800,
        "batch_size": 256,
        "optimizer": "lars",
        "learning_rate": 0.3,
        "start_learning_rate": 0.0,
        "final_learning_rate": 0.0,
        "warmup_epochs": 10,
        "weight_decay": 1e-6,
        "decay_biases": False,
    },
    "dino": {
        "epochs": 800,
        "batch_size": 128,
        # Its command for a ResNet-50: SGD and constant weight decay. Gradients are clipped together, as in
        # lightly.
        "optimizer": "sgd",
        "learning_rate": 0.03,
        "start_learning_rate": 0.0,
        "final_learning_rate": 1e-6,
        "warmup_epochs": 10,
        "weight_decay": 1e-4,
        "final_weight_decay": 1e-4,
        "clip_gradients": 3.0,
        "decay_biases": False,
    },
    "lejepa": {
        # Rates and weight decay are those that its code recommends for a ResNet; epochs, one epoch of warm-up from
        # a hundredth, and weight decay for all parameters are those of its example for a small data set.
        "epochs": 800,
        "batch_size": 128,
        "optimizer": "adamw",
        "learning_rate": 5e-4,
        "start_learning_rate": 5e-6,
        "final_learning_rate": 5e-7,
        "warmup_epochs": 1,
        "weight_decay": 5e-4,
        "decay_biases": True,
    },
    "mae": {
        # Its launch command, except the batch and AdamW's second momentum, which is torch's here.
        "epochs": 800,
        "batch_size": 128,
        "optimizer": "adamw",
        "learning_rate": 1.5e-4,
        "start_learning_rate": 0.0,
        "final_learning_rate": 0.0,
        "warmup_epochs": 40,
        "weight_decay": 0.05,
        "decay_biases": False,
    },
    "dinov2": {
        # The published code's configuration for ImageNet-1k, whose rate of 0.004 is for 1,024 slices per step.
        "epochs": 100,
        "batch_size": 64,
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "start_learning_rate": 0.0,
        "final_learning_rate": 1e-6,
        "rate_scaling": "sqrt",
        "warmup_epochs": 10,
        "weight_decay": 0.04,
        "final_weight_decay": 0.4,
        "clip_gradients": 3.0,
        "decay_biases": False,
    },
}

#: Settings for transformers: those of MoCo v3 (Chen et al. 2021, arXiv 2104.02057), for several methods.
_TRANSFORMER: dict[str, Any] = {
    "epochs": 800,
    "batch_size": 128,
    "optimizer": "adamw",
    "learning_rate": 1.5e-4,
    "start_learning_rate": 0.0,
    "final_learning_rate": 0.0,
    "warmup_epochs": 40,
    "weight_decay": 0.1,
    "decay_biases": False,
}

#: The settings of methods whose papers have their own for transformers.
_OWN_TRANSFORMER: dict[str, dict[str, Any]] = {
    # The weight decay rises while the rate falls.
    "dino": {
        **_TRANSFORMER,
        "learning_rate": 5e-4,
        "final_learning_rate": 1e-6,
        "warmup_epochs": 10,
        "weight_decay": 0.04,
        "final_weight_decay": 0.4,
        "clip_gradients": 3.0,
    },
    # As for a ResNet, except the weight decay.
    "lejepa": {**_PAPER["lejepa"], "weight_decay": 5e-2},
    "mae": _PAPER["mae"],
}

#: DINO's and DINOv2's additions to `_SHORT`, which is AdamW as for their transformers.
_DINO_SHORT: dict[str, Any] = {"weight_decay": 0.04, "final_weight_decay": 0.4, "clip_gradients": 3.0}

# Layer-wise scaling needs long schedules; short trainings learn more with AdamW.
_SHORT = {
    "backbone": "resnet18",
    "optimizer": "adamw",
    "start_learning_rate": 0.0,
    "weight_decay": 1e-4,
    "decay_biases": False,
}

_SMALL_HEADS: dict[str, dict[str, Any]] = {
    "swav": {"prototypes": 100, "hidden": 512},
    "mocov2": {"queue": 1024, "hidden": 512, "teacher_momentum": 0.99},
    "byol": {"hidden": 1024, "projection": 128, "teacher_momentum": 0.98},
    "simclr": {"hidden": 512},
    "dino": {
        "outputs": 1024,
        "hidden": 512,
        "bottleneck": 128,
        "teacher_momentum": 0.99,
        "teacher_warmup_epochs": 5,
    },
    "dinov2": {
        "outputs": 1024,
        "hidden": 512,
        "bottleneck": 128,
        "teacher_momentum": 0.99,
        "teacher_warmup_epochs": 5,
    },
    "lejepa": {"directions": 256, "hidden": 512},
    "mae": {"decoder_width": 192, "decoder_depth": 4, "decoder_heads": 6},
}

_SMOKE_HEADS: dict[str, dict[str, Any]] = {
    "swav": {"prototypes": 32, "hidden": 128, "projection": 64, "freeze_epochs": 0},
    "mocov2": {"queue": 64, "hidden": 128, "projection": 64, "teacher_momentum": 0.9},
    "byol": {"hidden": 128, "projection": 64, "teacher_momentum": 0.9},
    "simclr": {"hidden": 128, "projection": 64},
    "dino": {
        "outputs": 64,
        "hidden": 128,
        "bottleneck": 32,
        "teacher_momentum": 0.9,
        "teacher_warmup_epochs": 1,
        "freeze_epochs": 0,
    },
    "dinov2": {
        "outputs": 64,
        "hidden": 128,
        "bottleneck": 32,
        "teacher_momentum": 0.9,
        "teacher_warmup_epochs": 1,
        "freeze_epochs": 0,
    },
    "lejepa": {"directions": 64, "hidden": 128, "projection": 32},
    "mae": {"decoder_width": 64, "decoder_depth": 1, "decoder_heads": 4},
}


def is_transformer(backbone: str) -> bool:
    """Whether this is the name of a transformer, by its beginning.

    >>> [is_transformer(name) for name in ("vit_small_patch16_224", "swin_tiny_patch4_window7_224", "resnet50")]
    [True, True, False]
    """
    return _TRANSFORMERS.match(backbone) is not None


def check_preset(name: str) -> None:
    """Refuse unknown presets.

    Raises:
        ConfigError: The message lists the known presets.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset {name}: expected one of {', '.join(PRESETS)}", field="preset")


def preset(name: str, method: str, backbone: str | None = None) -> dict[str, Any]:
    """The options of a preset for a method, as `PretrainConfig.from_dict` takes them.

    - `paper`: the settings of the method's paper, for SwAV, MoCo v2 and BYOL those of the reference for CT;
      ResNet-50 (DINOv2, MAE: ViT-S/16), for a GPU. With a transformer as the backbone, the papers' settings for
      transformers.
    - `vit`: the same with a ViT-S/16, which needs timm.
    - `small`: ResNet-18 (DINOv2, MAE: ViT-Ti/16) on 128 × 128 slices, an hour or so on a laptop for a few thousand
      slices.
    - `smoke`: two epochs of the same on 64 × 64 slices, minutes on two cores: a quick test that everything works.

    >>> preset("paper", "swav")["epochs"]
    800
    """
    if name == "vit" or (name == "paper" and method in OF_TRANSFORMERS):
        backbone = backbone or "vit_small_patch16_224"
    if name in ("paper", "vit"):
        options = _of_paper(method, transformer=backbone is not None and is_transformer(backbone))
        return {**options, "views": _views(method, backbone)} | ({"backbone": backbone} if backbone else {})
    short = _SHORT | (_DINO_SHORT if method in ("dino", "dinov2") else {})
    if method in OF_TRANSFORMERS:
        short["backbone"] = "vit_tiny_patch16_224"
    if name == "small":
        views = _views(method, backbone, large=96, small=48, count=4)
        return {
            **short,
            "side": 128,
            "epochs": 30,
            "warmup_epochs": 2,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "final_learning_rate": 2e-5,
            "views": views,
            "settings": _SMALL_HEADS[method],
        }
    views = _views(method, backbone, large=48, small=32, count=2) | {"blur_sigma": [0.1, 1.0]}
    return {
        **short,
        "side": 64,
        "epochs": 2,
        "warmup_epochs": 0,
        "batch_size": 32,
        "learning_rate": 4e-3,
        "final_learning_rate": 4e-5,
        "views": views,
        "settings": _SMOKE_HEADS[method],
    }


def _of_paper(method: str, *, transformer: bool) -> dict[str, Any]:
    if not transformer or method in OF_TRANSFORMERS:
        return _PAPER[method]
    own = {name: value for name, value in _PAPER[method].items() if name == "settings"}
    return own | _OWN_TRANSFORMER.get(method, _TRANSFORMER)


def _views(
    method: str, backbone: str | None, *, large: int = 224, small: int = 96, count: int = 6
) -> dict[str, Any]:
    from ctprune.pretraining.view_config import pair_views, single_view, swav_views

    if backbone and "patch14" in backbone:
        # These transformers accept only sizes of whole patches.
        large, small = (14 * round(size / 14) for size in (large, small))
    if method in MULTI_CROP:
        views = swav_views().to_dict()
        views["crops"][0]["size"] = large
        views["crops"][1] |= {"size": small, "count": count}
        return views
    views = (single_view() if method in ONE_VIEW else pair_views()).to_dict()
    views["crops"][0]["size"] = large
    return views


def merged_options(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Options of both, where those of `above` win; groups of options are merged, too.

    >>> merged_options({"side": 64, "views": {"ratio": 1, "crops": []}}, {"views": {"ratio": 2}})
    {'side': 64, 'views': {'ratio': 2, 'crops': []}}
    """
    merged = dict(below)
    for name, value in above.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = {**merged[name], **value}
        else:
            merged[name] = value
    return merged
