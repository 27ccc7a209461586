"""What each method of pre-training has of its own: frozen dataclasses, free of torch. Defaults are the paper's."""

from __future__ import annotations

from dataclasses import dataclass

from ctprune.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SwavSettings:
    """SwAV (Caron et al. 2020, arXiv 2006.09882), with the reference's numbers for CT.

    Args:
        prototypes: Number of prototypes.
        freeze_epochs: Epochs in which the prototypes are not trained.
        freeze_steps: The same in optimizer steps, instead of `freeze_epochs`, such as the published launch
            script's 313.
        temperature: Of the softmax over prototypes.
        epsilon: Of the Sinkhorn-Knopp algorithm.
        sinkhorn_iterations: Its iterations.
        hidden: Width of the projection head.
        projection: Length of a projection.
        queue: Projections of earlier slices that take part in the assignment of a batch, of all devices together,
            a multiple of their batches; 0 for none. For batches that are small beside the prototypes.
        queue_epochs: Epochs before it is used, as projections change too fast at the beginning.
    """

    prototypes: int = 500
    freeze_epochs: int = 1
    freeze_steps: int | None = None
    temperature: float = 0.1
    epsilon: float = 0.05
    sinkhorn_iterations: int = 3
    hidden: int = 2048
    projection: int = 128
    queue: int = 0
    queue_epochs: int = 15

    def __post_init__(self) -> None:
        _at_least(self, 1, "prototypes", "sinkhorn_iterations", "hidden", "projection")
        _at_least(self, 0, "freeze_epochs", "queue", "queue_epochs")
        if self.freeze_steps is not None:
            _at_least(self, 0, "freeze_steps")
        _positive(self, "temperature", "epsilon")


@dataclass(frozen=True, kw_only=True)
class MocoSettings:
    """MoCo v2 (Chen et al. 2020, arXiv 2003.04297).

    Args:
        temperature: Of the InfoNCE loss.
        queue: Keys of earlier batches that serve as negatives; a multiple of the batch size.
        teacher_momentum: Share of the key encoder that stays from step to step.
        hidden: Width of the projection head; 0 for a linear one.
        projection: Length of a projection.
    """

    temperature: float = 0.2
    queue: int = 65536
    teacher_momentum: float = 0.999
    hidden: int = 2048
    projection: int = 128

    def __post_init__(self) -> None:
        _at_least(self, 1, "queue", "projection")
        _at_least(self, 0, "hidden")
        _positive(self, "temperature")
        _share(self, "teacher_momentum")


@dataclass(frozen=True, kw_only=True)
class ByolSettings:
    """BYOL (Grill et al. 2020, arXiv 2006.07733).

    Args:
        teacher_momentum: Share of the target network that stays from step to step; rises to 1 as a cosine.
        hidden: Width of the projection and of the prediction head.
        projection: Length of a projection.
    """

    teacher_momentum: float = 0.996
    hidden: int = 4096
    projection: int = 256

    def __post_init__(self) -> None:
        _at_least(self, 1, "hidden", "projection")
        _share(self, "teacher_momentum")


@dataclass(frozen=True, kw_only=True)
class SimclrSettings:
    """SimCLR (Chen et al. 2020, arXiv 2002.05709).

    Args:
        temperature: Of the NT-Xent loss.
        hidden: Width of the projection head.
        projection: Length of a projection.
    """

    temperature: float = 0.1
    hidden: int = 2048
    projection: int = 128

    def __post_init__(self) -> None:
        _at_least(self, 1, "hidden", "projection")
        _positive(self, "temperature")


@dataclass(frozen=True, kw_only=True)
class DinoSettings:
    """DINO (Caron et al. 2021, arXiv 2104.14294).

    Args:
        outputs: Length of the head's output.
        hidden: Width of the head.
        bottleneck: Its narrowest layer.
        student_temperature: Of the student's softmax.
        teacher_temperature: Of the teacher's softmax, after the warm-up.
        teacher_start_temperature: At the beginning of the warm-up.
        teacher_warmup_epochs: Epochs over which it rises in equal steps.
        teacher_momentum: Share of the teacher that stays from step to step; rises to 1 as a cosine. None takes
            what fits the slices of an optimizer step: 0.996^(slices / 1,024).
        center_momentum: Share of the centre that stays from step to step.
        freeze_epochs: Epochs in which the head's last layer is not trained.
    """

    outputs: int = 65536
    hidden: int = 2048
    bottleneck: int = 256
    student_temperature: float = 0.1
    teacher_temperature: float = 0.07
    teacher_start_temperature: float = 0.04
    teacher_warmup_epochs: int = 30
    teacher_momentum: float | None = None
    center_momentum: float = 0.9
    freeze_epochs: int = 1

    def __post_init__(self) -> None:
        _at_least(self, 1, "outputs", "hidden", "bottleneck")
        _at_least(self, 0, "teacher_warmup_epochs", "freeze_epochs")
        _positive(self, "student_temperature", "teacher_temperature", "teacher_start_temperature")
        _share(self, "center_momentum")
        if self.teacher_momentum is not None:
            _share(self, "teacher_momentum")


MethodSettings = SwavSettings | MocoSettings | ByolSettings | SimclrSettings | DinoSettings

#: By the name of the method, the main one first.
SETTINGS: dict[str, type[MethodSettings]] = {
    "swav": SwavSettings,
    "mocov2": MocoSettings,
    "byol": ByolSettings,
    "simclr": SimclrSettings,
    "dino": DinoSettings,
}

#: Methods that compare many small crops with a few large ones; the others take two views.
MULTI_CROP = frozenset({"swav", "dino"})


def _at_least(settings: object, low: int, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ConfigError(f"settings.{name} {value}: expected a whole number, {low} or more")


def _positive(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise ConfigError(f"settings.{name} {value}: expected a number above 0")


def _share(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ConfigError(f"settings.{name} {value}: expected 0 to 1")
