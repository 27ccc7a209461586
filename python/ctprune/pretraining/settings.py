"""Settings of each method of pre-training: frozen dataclasses, free of torch. Defaults are the papers'."""

from __future__ import annotations

from dataclasses import dataclass

from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import Range, option


def _width(default: int, what: str, *, low: int = 1) -> int:
    return option(default, low=low, noun="a whole number", help=what)


def _temperature(default: float, what: str) -> float:
    return option(default, above=0, help=what)


def _share(default: float, what: str) -> float:
    return option(default, low=0, high=1, help=what)


def _start_temperature() -> float:
    return _temperature(0.04, "Temperature of the teacher's softmax at the beginning of the warm-up.")


def _warmup_epochs() -> int:
    return _width(30, "Epochs over which the teacher's temperature rises in equal steps.", low=0)


def _teacher_momentum(default: str) -> float | None:
    return option(
        None,
        low=0,
        high=1,
        help="Momentum of the teacher: the share that stays in each step; rises to 1 along a cosine.",
        more=f"None means {default} with the slices of an optimizer step.",
    )


class _Settings:
    def __post_init__(self) -> None:
        check(self, group="settings.")


@described
@dataclass(frozen=True, kw_only=True)
class SwavSettings(_Settings):
    """SwAV (Caron et al. 2020, arXiv 2006.09882), with the reference's numbers for CT."""

    prototypes: int = _width(500, "Number of prototypes.")
    freeze_epochs: int = _width(1, "Initial epochs in which the prototypes are not trained.", low=0)
    freeze_steps: int | None = option(
        None,
        low=0,
        noun="a whole number",
        help="Initial optimizer steps in which the prototypes are not trained, instead of `freeze_epochs`.",
        more="The published launch script has 313.",
    )
    temperature: float = _temperature(0.1, "Temperature of the softmax over prototypes.")
    epsilon: float = _temperature(0.05, "Entropy regularization of the Sinkhorn-Knopp algorithm.")
    sinkhorn_iterations: int = _width(3, "Iterations of the Sinkhorn-Knopp algorithm.")
    hidden: int = _width(2048, "Width of the projection head.")
    projection: int = _width(128, "Length of a projection.")
    queue: int = option(
        0,
        low=0,
        noun="a whole number",
        help="Number of projections of earlier slices that take part in the assignments, for all devices "
        "together; a multiple of their total batch, 0 for no queue.",
        more="Useful if the batch is small compared with the number of prototypes.",
    )
    queue_epochs: int = _width(
        15, "Epochs before the queue is used, as projections change too fast at the beginning.", low=0
    )


@described
@dataclass(frozen=True, kw_only=True)
class MocoSettings(_Settings):
    """MoCo v2 (Chen et al. 2020, arXiv 2003.04297)."""

    temperature: float = _temperature(0.2, "Temperature of the InfoNCE loss.")
    queue: int = _width(65536, "Keys of earlier batches that serve as negatives; a multiple of the batch size.")
    teacher_momentum: float = _share(0.999, "Momentum of the key encoder: the share that stays in each step.")
    hidden: int = _width(2048, "Width of the projection head; 0 for a linear one.", low=0)
    projection: int = _width(128, "Length of a projection.")


@described
@dataclass(frozen=True, kw_only=True)
class ByolSettings(_Settings):
    """BYOL (Grill et al. 2020, arXiv 2006.07733)."""

    teacher_momentum: float = _share(
        0.996, "Momentum of the target network: the share that stays in each step; rises to 1 along a cosine."
    )
    hidden: int = _width(4096, "Width of the projection and of the prediction head.")
    projection: int = _width(256, "Length of a projection.")


@described
@dataclass(frozen=True, kw_only=True)
class SimclrSettings(_Settings):
    """SimCLR (Chen et al. 2020, arXiv 2002.05709)."""

    temperature: float = _temperature(0.1, "Temperature of the NT-Xent loss.")
    hidden: int = _width(2048, "Width of the projection head.")
    projection: int = _width(128, "Length of a projection.")


@described
@dataclass(frozen=True, kw_only=True)
class DinoSettings(_Settings):
    """DINO (Caron et al. 2021, arXiv 2104.14294)."""

    outputs: int = _width(65536, "Length of the head's output.")
    hidden: int = _width(2048, "Width of the head.")
    bottleneck: int = _width(256, "Width of the head's narrowest layer.")
    student_temperature: float = _temperature(0.1, "Temperature of the student's softmax.")
    teacher_temperature: float = _temperature(0.07, "Temperature of the teacher's softmax, after the warm-up.")
    teacher_start_temperature: float = _start_temperature()
    teacher_warmup_epochs: int = _warmup_epochs()
    teacher_momentum: float | None = _teacher_momentum("0.996^(slices / 1,024)")
    center_momentum: float = _share(0.9, "Momentum of the center: the share that stays in each step.")
    freeze_epochs: int = _width(1, "Initial epochs in which the head's last layer is not trained.", low=0)


@described
@dataclass(frozen=True, kw_only=True)
class Dinov2Settings(_Settings):
    """DINOv2 (Oquab et al. 2023, arXiv 2304.07193), with the published code's numbers for ImageNet-1k."""

    outputs: int = _width(65536, "Length of a head's output.")
    hidden: int = _width(2048, "Width of a head.")
    bottleneck: int = _width(256, "Width of a head's narrowest layer.")
    separate_heads: bool = option(
        False,
        help="Whether patches have their own head.",
        more="In the published code, they do for large data sets only.",
    )
    student_temperature: float = _temperature(0.1, "Temperature of the student's softmax.")
    teacher_temperature: float = _temperature(0.07, "Temperature of the teacher's softmax, after the warm-up.")
    teacher_start_temperature: float = _start_temperature()
    teacher_warmup_epochs: int = _warmup_epochs()
    teacher_momentum: float | None = _teacher_momentum("0.992^(slices / 2,048)")
    centering: str = option(
        "softmax",
        choices=("softmax", "sinkhorn"),
        help="How the teacher is kept from collapsing: by a softmax of the difference from the center, or by even "
        "assignments.",
        more="The published code has `sinkhorn` for large data sets.",
    )
    center_momentum: float = _share(
        0.9, "Momentum of the centers, for `centering` softmax: the share that stays in each step."
    )
    sinkhorn_iterations: int = _width(3, "Iterations of the Sinkhorn-Knopp algorithm, for `centering` sinkhorn.")
    freeze_epochs: int = _width(1, "Initial epochs in which the heads' last layers are not trained.", low=0)
    mask_probability: float = option(
        0.5, above=0, high=1, help="Share of the large crops in which patches are masked for the student."
    )
    mask_ratio: Range = option(
        (0.1, 0.5),
        above=0,
        high=1,
        noun="a fraction of a crop's patches",
        help="Smallest and largest share of patches that are masked, in blocks.",
    )
    patch_weight: float = option(1.0, low=0, high=1e6, help="Weight of the loss of masked patches.")
    koleo_weight: float = option(
        0.1, low=0, high=1e6, help="Weight of the loss that keeps nearest neighbors apart; 0 for none."
    )


@described
@dataclass(frozen=True, kw_only=True)
class LejepaSettings(_Settings):
    """LeJEPA (Balestriero & LeCun 2025, arXiv 2511.08544)."""

    regularization: float = _share(
        0.05, "Share λ of SIGReg, the distance to a Gaussian, in the loss; the rest is prediction."
    )
    directions: int = _width(1024, "Number of random directions along which SIGReg looks, drawn for each batch.")
    points: int = _width(17, "Points at which SIGReg compares characteristic functions.", low=2)
    reach: float = option(3.0, above=0, help="The last of these points; the first one is 0.")
    hidden: int = _width(2048, "Width of the projection head.")
    projection: int = _width(64, "Length of a projection.")


@described
@dataclass(frozen=True, kw_only=True)
class MaeSettings(_Settings):
    """MAE (He et al. 2022, arXiv 2111.06377)."""

    mask_ratio: float = option(0.75, low=0, high=1, help="Share of the patches that the network is not shown.")
    decoder_width: int = _width(512, "Width of the decoder; a multiple of 4 and of `decoder_heads`.")
    decoder_depth: int = _width(8, "Blocks of the decoder.")
    decoder_heads: int = _width(16, "Heads of attention of the decoder.")


MethodSettings = (
    SwavSettings
    | MocoSettings
    | ByolSettings
    | SimclrSettings
    | DinoSettings
    | Dinov2Settings
    | LejepaSettings
    | MaeSettings
)

#: By the name of the method, the main one first.
SETTINGS: dict[str, type[MethodSettings]] = {
    "swav": SwavSettings,
    "mocov2": MocoSettings,
    "byol": ByolSettings,
    "simclr": SimclrSettings,
    "dino": DinoSettings,
    "dinov2": Dinov2Settings,
    "lejepa": LejepaSettings,
    "mae": MaeSettings,
}

#: Methods whose teacher is evaluated and saved.
TEACHER_SAVED = frozenset({"dino", "dinov2"})

#: Methods that compare many small crops with a few large ones.
MULTI_CROP = frozenset({"swav", "dino", "dinov2", "lejepa"})

#: Methods that compare nothing. Methods in neither set take two views.
ONE_VIEW = frozenset({"mae"})

#: Methods that mask patches, which only transformers have.
OF_TRANSFORMERS = frozenset({"dinov2", "mae"})
