"""The configuration of a pre-training: a frozen dataclass that checks itself, free of torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ctprune.environment.threads import check_threads
from ctprune.errors import ConfigError
from ctprune.pretraining.presets import PRESETS, preset
from ctprune.pretraining.settings import MULTI_CROP, SETTINGS, MethodSettings, SwavSettings
from ctprune.pretraining.view_config import ViewConfig, WindowConfig
from ctprune.store.store import USES, StoreConfig

OPTIMIZERS = ("lars", "sgd", "adamw", "adam")
RATE_SCALINGS = ("linear", "sqrt", "none")

#: Slices of a step that learning rates are given for.
RATE_BATCH = 256

PRECISIONS = ("auto", "32", "bf16", "fp16")

#: Options that do not change what is learned, so that a resumed run may have others.
_FREE = frozenset(
    {"log_every", "checkpoint_minutes", "keep_checkpoints", "probe", "probe_patient_pattern", "wandb", "threads"}
)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """What decides the result of a pre-training.

    Args:
        method: `swav`, `mocov2`, `byol`, `simclr` or `dino`.
        backbone: As `ctprune.networks.backbone.create_backbone` knows it.
        weights: File of a backbone to start from; None starts from random weights.
        use: `kept` slices, `all`, or a `random` sample of as many as were kept.
        side: Rows and columns of the packed slices.
        depth: Their bits, 8 (grey) or 16 (Hounsfield units, seen through `views.window`).
        seed: Of weights, order and views.
        epochs: Passes over the slices.
        steps: Number of optimizer steps, instead of `epochs`: the schedule ends there.
        batch_size: Slices per step and device.
        accumulate: Batches whose gradients are added up for one optimizer step.
        optimizer: `lars`, `sgd`, `adamw` or `adam`.
        learning_rate: After the warm-up, for 256 slices per optimizer step.
        start_learning_rate: At its beginning, likewise.
        final_learning_rate: At the end of the cosine, likewise.
        rate_scaling: How the three rates go with the slices of an optimizer step (batch size × accumulate ×
            devices): `linear`, times slices / 256; `sqrt`, times its square root; `none`, not at all.
        warmup_epochs: Epochs from the start to the learning rate, in equal steps.
        weight_decay: Weight decay, at the beginning.
        final_weight_decay: At the end of a cosine over all steps; None keeps it the same.
        clip_gradients: Largest norm of all gradients together; longer ones are shortened. 0 leaves them alone.
        decay_biases: Whether biases and normalisation get weight decay and, with `lars`, its scaling, too.
        momentum: Of `lars` and `sgd`.
        precision: `auto` (bf16 on GPUs that have it, else fp16; 32 on CPU), `32`, `bf16` or `fp16`.
        compile: Compile the backbone and its slow copy, for each size of crop once.
        devices: GPUs, or processes on a CPU, of each machine; 0 takes all GPUs.
        nodes: Machines, whose processes torchrun or srun starts.
        exclude: Folders or manifests of downstream test sets; slices close to theirs are left out.
        exclude_threshold: How close, in bits of Hamming distance; None takes the run's threshold.
        probe: A small labelled set for a kNN probe after each epoch; None for none.
        probe_patient_pattern: Regular expression with one group that takes the patient from the name of a file of
            the probe; None goes by studies and folders.
        log_every: Optimizer steps from one line of the log to the next.
        checkpoint_minutes: A checkpoint is written with a line of the log, or after an epoch's, when the last one
            is this old.
        keep_checkpoints: How many of them stay, the newest.
        wandb: Log to Weights & Biases, too, which must be installed.
        threads: Threads for decoding, 0 for one per core.
        views: What the views look like.
        settings: What the method has of its own.

    Raises:
        ConfigError: An option that is out of range or that does not fit the others.

    >>> PretrainConfig().settings.prototypes
    500
    """

    method: str = "swav"
    backbone: str = "resnet50"
    weights: str | None = None
    use: str = "kept"
    side: int = 256
    depth: int = 8
    seed: int = 0
    epochs: int = 800
    steps: int | None = None
    batch_size: int = 128
    accumulate: int = 1
    optimizer: str = "lars"
    learning_rate: float = 0.3
    start_learning_rate: float = 0.0
    final_learning_rate: float = 0.0
    rate_scaling: str = "linear"
    warmup_epochs: int = 10
    weight_decay: float = 1e-6
    final_weight_decay: float | None = None
    clip_gradients: float = 0.0
    decay_biases: bool = True
    momentum: float = 0.9
    precision: str = "auto"
    compile: bool = False
    devices: int = 1
    nodes: int = 1
    exclude: tuple[str, ...] = ()
    exclude_threshold: int | None = None
    probe: str | None = None
    probe_patient_pattern: str | None = None
    log_every: int = 10
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 2
    wandb: bool = False
    threads: int = 0
    views: ViewConfig = field(default_factory=ViewConfig)
    settings: MethodSettings = field(default_factory=SwavSettings)

    def __post_init__(self) -> None:
        _one_of("method", self.method, tuple(SETTINGS))
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("rate-scaling", self.rate_scaling, RATE_SCALINGS)
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("use", self.use, USES)
        StoreConfig(use=self.use, side=self.side, depth=self.depth, seed=self.seed)
        object.__setattr__(self, "exclude", tuple(self.exclude))
        for option in ("epochs", "steps", "batch_size", "accumulate", "log_every", "keep_checkpoints", "nodes"):
            _whole(option, getattr(self, option), 1)
        for option in ("warmup_epochs", "devices", "exclude_threshold"):
            _whole(option, getattr(self, option), 0)
        _whole("threads", self.threads, 0)
        check_threads(self.threads)
        names = ("learning_rate", "start_learning_rate", "final_learning_rate", "weight_decay", "clip_gradients")
        for option in (*names, "checkpoint_minutes"):
            _number(option, getattr(self, option), 0, 1e6)
        if self.final_weight_decay is not None:
            _number("final_weight_decay", self.final_weight_decay, 0, 1e6)
        _check_pattern(self.probe_patient_pattern)
        _number("momentum", self.momentum, 0, 1)
        self._check_settings()
        self._check_views()

    def _check_settings(self) -> None:
        expected = SETTINGS[self.method]
        if not isinstance(self.settings, expected):
            found = type(self.settings).__name__
            raise ConfigError(f"settings: expected {expected.__name__} for method {self.method}, found {found}")
        if self.batch_size * self.accumulate < 2:
            raise ConfigError(f"--batch-size {self.batch_size}: expected 2 or more: methods compare slices")
        if self.optimizer == "lars" and 0 in (self.weight_decay, self.final_weight_decay):
            raise ConfigError(
                "--weight-decay 0 switches off the scaling of --optimizer lars: give one, such as 1e-6"
            )
        queue = getattr(self.settings, "queue", 0)
        if queue % self.batch_size:
            raise ConfigError(
                f"settings.queue {queue}: expected a multiple of the batch size {self.batch_size}: else some "
                "would be lost where the queue begins again"
            )

    def _check_views(self) -> None:
        first = self.views.crops[0].count
        if self.method in MULTI_CROP:
            if first < 2:
                raise ConfigError(
                    f"views: method {self.method} needs 2 or more crops in the first group, found {first}"
                )
        elif self.views.views != 2:
            raise ConfigError(f"views: method {self.method} takes 2 views of a slice, found {self.views.views}")
        if self.views.window is not None and self.depth == 8:
            raise ConfigError("views.window needs Hounsfield units: give --depth 16")
        if self.views.window is None and self.depth == 16:
            raise ConfigError(
                "--depth 16 needs views.window, such as {center: 0, width: 2000}: in the whole range of 16 bits "
                "all tissue is the same grey"
            )

    @classmethod
    def resolve(
        cls,
        options: Mapping[str, Any],
        *,
        preset_name: str | None = None,
        file: str | os.PathLike[str] | None = None,
    ) -> PretrainConfig:
        """Put a configuration together: the preset's options, those of a file, then the options given.

        Args:
            options: By name, as `from_dict` takes them; None stands for not given.
            preset_name: `paper`, `vit`, `small` or `smoke`; by default `paper`, or nothing when there is a file.
            file: A YAML file such as `config.yaml` of an earlier pre-training.

        Raises:
            ConfigError: An option is not known or out of range, or the file cannot be read.
        """
        given = {name: value for name, value in options.items() if value is not None}
        of_file = {} if file is None else read_yaml(Path(file))
        method = given.get("method", of_file.get("method", "swav"))
        _one_of("method", method, tuple(SETTINGS))
        if preset_name is None and file is None:
            preset_name = "paper"
        if preset_name is not None:
            _one_of("preset", preset_name, PRESETS)
        if of_file.get("method", method) != method:
            # Another method's own settings and views mean nothing to this one.
            of_file = {key: value for key, value in of_file.items() if key not in ("settings", "views")}
            preset_name = preset_name or "paper"
        backbone = given.get("backbone", of_file.get("backbone"))
        merged: dict[str, Any] = {"method": method}
        for layer in (preset(preset_name, method, backbone) if preset_name else {}, of_file, given):
            merged = _merged(merged, layer)
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
        known = {item.name for item in fields(cls)}
        for name in options:
            if name not in known:
                raise ConfigError(f"{name}: not an option of pre-training; known are {', '.join(sorted(known))}")
        values = dict(options)
        settings = SETTINGS.get(str(values.get("method", "swav")), SwavSettings)
        if not isinstance(values.get("settings"), tuple(SETTINGS.values())):
            values["settings"] = _settings(settings, values.get("settings") or {})
        if "views" in values and not isinstance(values["views"], ViewConfig):
            values["views"] = ViewConfig.from_dict(_mapping("views", values["views"]))
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """All options, as plain lists and dictionaries for YAML and JSON."""
        return {
            **asdict(self),
            "exclude": list(self.exclude),
            "views": self.views.to_dict(),
            "settings": asdict(self.settings),
        }

    @property
    def several(self) -> bool:
        """Whether several processes train together, as far as the options say."""
        return self.devices != 1 or self.nodes != 1

    def deciding(self) -> dict[str, Any]:
        """The options that decide what is learned: a run can only be resumed with the same ones."""
        return {name: value for name, value in self.to_dict().items() if name not in _FREE}


def read_yaml(file: Path) -> dict[str, Any]:
    """A mapping from a YAML file.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    from ctprune.environment.extras import extra

    with extra("train", "reading YAML"):
        import yaml
    try:
        found = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ConfigError(f"{file}: expected a YAML file: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    return dict(_mapping(str(file), {} if found is None else found))


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{name}: expected options by name, found {type(value).__name__}")
    return dict(value)


def _settings(kind: type[MethodSettings], options: Any) -> MethodSettings:
    known = [item.name for item in fields(kind)]
    for name in _mapping("settings", options):
        if name not in known:
            raise ConfigError(f"settings.{name}: not a setting of {kind.__name__}; known are {', '.join(known)}")
    return kind(**options)


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Options of both, those of `above` first; groups of options are merged, too."""
    merged = dict(below)
    for name, value in above.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = {**merged[name], **value}
        else:
            merged[name] = value
    return merged


def _with_window(views: Any) -> Any:
    """Views of Hounsfield units, in the default window if none is given."""
    if isinstance(views, Mapping) and views.get("window") is None:
        return {**views, "window": {}}
    if isinstance(views, ViewConfig) and views.window is None:
        return replace(views, window=WindowConfig())
    return views


def _check_pattern(pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(f"--probe-patient-pattern {pattern}: {error}") from None
    if groups != 1:
        raise ConfigError(f"--probe-patient-pattern {pattern}: expected one group in parentheses, found {groups}")


def _one_of(option: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"--{option} {value}: expected one of {', '.join(choices)}")


def _whole(option: str, value: object, low: int) -> None:
    if value is None and option in ("steps", "exclude_threshold"):
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(f"--{option.replace('_', '-')} {value}: expected a whole number, {low} or more")


def _number(option: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigError(f"--{option.replace('_', '-')} {value}: expected {low:g} to {high:g}")
