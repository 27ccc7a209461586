"""The configuration of a pre-training: a frozen dataclass that checks itself, free of torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

from ctprune.options.check import check, check_one_group, checked
from ctprune.options.configure import refuse_unknown
from ctprune.options.described import described
from ctprune.options.file import mapping, read_options
from ctprune.options.option import about, all_options, option, options_of
from ctprune.options.shared import PRECISIONS, threads_option
from ctprune.pretraining.compatible import check_compatible
from ctprune.pretraining.presets import check_preset, merged_options, preset
from ctprune.pretraining.settings import SETTINGS, MethodSettings, SwavSettings
from ctprune.pretraining.view_config import ViewConfig, WindowConfig, positives_option
from ctprune.store.config import channels_option, depth_option, side_option, use_option

OPTIMIZERS = ("lars", "sgd", "adamw", "adam")
RATE_SCALINGS = ("linear", "sqrt", "none")

#: Slices per optimizer step for which learning rates are given.
RATE_BATCH = 256

_DATA, _TRAINING, _HARDWARE, _OUTPUT = "Data", "Training", "Hardware", "Output"


@described
@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """The options of a pre-training.

    Raises:
        ConfigError: An option that is out of range or that does not fit the others.

    >>> PretrainConfig().settings.prototypes
    500
    """

    use: str = use_option(panel=_DATA)
    side: int = side_option(panel=_DATA)
    depth: int = depth_option(panel=_DATA)
    exclude: tuple[str, ...] = option(
        (),
        noun="folders or manifests",
        is_path=True,
        panel=_DATA,
        help="Leave out slices similar to any image of this folder or manifest (a test set); repeatable.",
    )
    exclude_threshold: int | None = option(
        None,
        low=0,
        noun="a whole number",
        panel=_DATA,
        help="Largest Hamming distance, in bits, that counts as similar; default the reduction's threshold.",
    )
    sample_weights: bool = option(
        False,
        panel=_DATA,
        help="Draw each kept slice in proportion to the slices that it stands for; default once per epoch.",
        more="An epoch has as many steps as without it. It needs `use` kept.",
    )
    channels: str = channels_option(panel=_DATA)
    positives: str = positives_option(panel=_DATA)
    probe: str | None = option(
        None,
        is_path=True,
        decides=False,
        panel=_DATA,
        help="Folder with a folder per class, for a kNN and a linear probe after each epoch.",
    )
    probe_patient_pattern: str | None = option(
        None,
        decides=False,
        panel=_DATA,
        help="Regular expression with one group that extracts the patient from the names of the probe's files.",
        more="None uses studies and folders.",
    )
    method: str = option("swav", choices=tuple(SETTINGS), panel=_TRAINING, help="Method of pre-training.")
    backbone: str = option(
        "resnet50",
        metavar="NAME",
        panel=_TRAINING,
        help="resnet18, resnet50 …, or a model of timm.",
    )
    weights: str | None = option(
        None, is_path=True, panel=_TRAINING, help="File of a backbone to start from; default random weights."
    )
    average_momentum: float | None = option(
        None,
        low=0,
        high=1,
        panel=_TRAINING,
        help="Also evaluate and save a moving average of the weights with this momentum, such as 0.999.",
        more="It is saved as `backbone-average.safetensors`.",
    )
    epochs: int = option(800, low=1, noun="a whole number", panel=_TRAINING, help="Passes over the slices.")
    steps: int | None = option(
        None,
        low=1,
        noun="a whole number",
        panel=_TRAINING,
        help="Optimizer steps, instead of epochs.",
        more="The schedule ends with the last one.",
    )
    batch_size: int = option(
        128, low=1, noun="a whole number", panel=_TRAINING, help="Slices per step and device."
    )
    accumulate: int = option(1, low=1, noun="a whole number", panel=_TRAINING, help="Batches per optimizer step.")
    optimizer: str = option("lars", choices=OPTIMIZERS, panel=_TRAINING, help="Optimizer.")
    learning_rate: float = option(
        0.3,
        low=0,
        high=1e6,
        short="lr",
        panel=_TRAINING,
        help="Learning rate after the warm-up, for 256 slices per step; it scales with the slices per step.",
    )
    start_learning_rate: float = option(
        0.0,
        low=0,
        high=1e6,
        hidden=True,
        help="Learning rate at the beginning of the warm-up, for 256 slices per optimizer step.",
    )
    final_learning_rate: float = option(
        0.0,
        low=0,
        high=1e6,
        hidden=True,
        help="Learning rate at the end of the cosine, for 256 slices per optimizer step.",
    )
    rate_scaling: str = option(
        "linear",
        choices=RATE_SCALINGS,
        hidden=True,
        help="How the three learning rates scale with the slices per optimizer step (batch size × accumulate × "
        "devices).",
        more="`linear`: times slices / 256; `sqrt`: times the square root of that; `none`: not at all.",
    )
    warmup_epochs: int = option(
        10, low=0, noun="a whole number", panel=_TRAINING, help="Epochs until the learning rate is reached."
    )
    weight_decay: float = option(
        1e-6,
        low=0,
        high=1e6,
        panel=_TRAINING,
        help="Weight decay.",
        more="With `final_weight_decay`, this is the initial value.",
    )
    final_weight_decay: float | None = option(
        None,
        low=0,
        high=1e6,
        hidden=True,
        help="Weight decay at the end of a cosine over all steps; None keeps it the same.",
    )
    clip_gradients: float = option(
        0.0,
        low=0,
        high=1e6,
        panel=_TRAINING,
        help="Largest norm of all gradients together; 0 for no limit (presets of dino, dinov2: 3).",
        more="Larger gradients are scaled down.",
    )
    decay_biases: bool = option(
        True,
        hidden=True,
        help="Whether weight decay and, with `lars`, its scaling also apply to biases and normalization layers.",
    )
    momentum: float = option(0.9, low=0, high=1, hidden=True, help="Momentum of `lars` and `sgd`.")
    seed: int = option(
        0,
        low=0,
        high=2**64 - 1,
        panel=_TRAINING,
        help="Random seed.",
        more="It determines the initial weights, the order of slices and their views.",
    )
    precision: str = option(
        "auto",
        choices=PRECISIONS,
        panel=_HARDWARE,
        help="Precision; auto is mixed on a GPU, else 32.",
        more="`auto` uses bf16 on GPUs that support it, fp16 on other GPUs, and 32 bits on a CPU.",
    )
    compile: bool = option(
        False,
        panel=_HARDWARE,
        help="Compile the backbone and, if there is one, its momentum encoder.",
        more="Compilation happens once for each crop size.",
    )
    devices: int = option(
        1,
        low=0,
        noun="a whole number",
        panel=_HARDWARE,
        help="GPUs per machine, 0 for all; or processes on a CPU.",
    )
    nodes: int = option(
        1, low=1, noun="a whole number", panel=_HARDWARE, help="Number of machines, with srun or torchrun."
    )
    threads: int = threads_option(what="Threads that decode", panel=_HARDWARE)
    log_every: int = option(
        10, low=1, noun="a whole number", decides=False, panel=_OUTPUT, help="Optimizer steps per line of the log."
    )
    checkpoint_minutes: float = option(
        10.0,
        low=0,
        high=1e6,
        decides=False,
        panel=_OUTPUT,
        help="Minutes between checkpoints.",
        more="A checkpoint is written after a line of the log if the last one is at least this old.",
    )
    keep_checkpoints: int = option(
        2, low=1, noun="a whole number", decides=False, panel=_OUTPUT, help="Number of newest checkpoints to keep."
    )
    backbone_every: int = option(
        0,
        low=0,
        noun="a whole number",
        decides=False,
        panel=_OUTPUT,
        help="Also keep the backbone of every N-th epoch, in backbones/; 0 keeps only the last one.",
    )
    wandb: bool = option(
        False,
        decides=False,
        panel=_OUTPUT,
        help="Log to Weights & Biases too, offline unless WANDB_MODE is set.",
        more="It must be installed.",
    )
    views: ViewConfig = field(
        default_factory=ViewConfig,
        metadata=about(
            "What the views look like: `ctprune.pretraining.view_config.ViewConfig`.",
            hidden=True,
            belongs_to="method",
        ),
    )
    settings: MethodSettings = field(
        default_factory=SwavSettings,
        metadata=about(
            "Settings of the method, such as `ctprune.pretraining.settings.SwavSettings`.",
            hidden=True,
            belongs_to="method",
        ),
    )

    def __post_init__(self) -> None:
        check(self)
        check_one_group("probe_patient_pattern", self.probe_patient_pattern)
        check_compatible(self)

    @classmethod
    def resolve(
        cls,
        options: Mapping[str, Any],
        *,
        preset_name: str | None = None,
        file: str | os.PathLike[str] | None = None,
    ) -> PretrainConfig:
        """Combine the options of a preset, of a file, and those given; later ones override earlier ones.

        Args:
            options: Options by name, as `from_dict` takes them; None means not given.
            preset_name: `paper`, `vit`, `small` or `smoke`; by default `paper`, or nothing when there is a file.
            file: A YAML file such as `config.yaml` of an earlier pre-training.

        Raises:
            ConfigError: An option is not known or out of range, or the file cannot be read.
        """
        given = {name: value for name, value in options.items() if value is not None}
        of_file = {} if file is None else read_options(cls, Path(file))
        method = given.get("method", of_file.get("method", "swav"))
        checked(options_of(cls)["method"], method)
        if preset_name is None and file is None:
            preset_name = "paper"
        if preset_name is not None:
            check_preset(preset_name)
        if of_file.get("method", method) != method:
            # Another method's settings and views do not apply to this one.
            of_file = {key: value for key, value in of_file.items() if key not in ("settings", "views")}
            preset_name = preset_name or "paper"
        backbone = given.get("backbone", of_file.get("backbone"))
        merged: dict[str, Any] = {"method": method}
        for layer in (preset(preset_name, method, backbone) if preset_name else {}, of_file, given):
            merged = merged_options(merged, layer)
        if merged.get("depth") == 16:
            merged["views"] = _with_window(merged.get("views", {}))
        return cls.from_dict(merged)

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> PretrainConfig:
        """The reverse of `to_dict`; options that are missing have their defaults.

        Raises:
            ConfigError: An option that is not known or out of range.

        >>> config = PretrainConfig.resolve({}, preset_name="smoke")
        >>> PretrainConfig.from_dict(config.to_dict()) == config
        True
        """
        refuse_unknown(options, options_of(cls))
        values = dict(options)
        settings = SETTINGS.get(str(values.get("method", "swav")), SwavSettings)
        if not isinstance(values.get("settings"), tuple(SETTINGS.values())):
            values["settings"] = _settings(settings, values.get("settings") or {})
        if "views" in values and not isinstance(values["views"], ViewConfig):
            values["views"] = ViewConfig.from_dict(mapping("views", values["views"]))
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """All options, as plain lists and dictionaries for YAML and JSON."""
        return all_options(self) | {"views": self.views.to_dict(), "settings": all_options(self.settings)}

    @property
    def several(self) -> bool:
        """Whether several processes train together, according to the options."""
        return self.devices != 1 or self.nodes != 1

    def deciding(self) -> dict[str, Any]:
        """The options that determine what is learned: a training resumes only with the same values."""
        options = options_of(type(self))
        return {name: value for name, value in self.to_dict().items() if options[name].about.decides}


class PretrainOptions(TypedDict, total=False):
    """The options of `PretrainConfig` as arguments of a function, for type checkers and editors."""

    use: str
    side: int
    depth: int
    exclude: Sequence[str | os.PathLike[str]]
    exclude_threshold: int | None
    sample_weights: bool
    channels: str
    positives: str
    probe: str | os.PathLike[str] | None
    probe_patient_pattern: str | None
    method: str
    backbone: str
    weights: str | os.PathLike[str] | None
    average_momentum: float | None
    epochs: int
    steps: int | None
    batch_size: int
    accumulate: int
    optimizer: str
    learning_rate: float
    start_learning_rate: float
    final_learning_rate: float
    rate_scaling: str
    warmup_epochs: int
    weight_decay: float
    final_weight_decay: float | None
    clip_gradients: float
    decay_biases: bool
    momentum: float
    seed: int
    precision: str
    compile: bool
    devices: int
    nodes: int
    threads: int
    log_every: int
    checkpoint_minutes: float
    keep_checkpoints: int
    backbone_every: int
    wandb: bool
    views: ViewConfig | Mapping[str, Any]
    settings: MethodSettings | Mapping[str, Any]


def _settings(kind: type[MethodSettings], options: Any) -> MethodSettings:
    given = mapping("settings", options)
    refuse_unknown(given, options_of(kind), before="settings.")
    return kind(**given)


def _with_window(views: Any) -> Any:
    """Views of Hounsfield units, in the default window if none is given."""
    if isinstance(views, Mapping) and views.get("window") is None:
        return {**views, "window": {}}
    if isinstance(views, ViewConfig) and views.window is None:
        return replace(views, window=WindowConfig())
    return views
