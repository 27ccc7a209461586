"""A backbone on grey squares: normalisation, precision and device in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.extras import extra
from ctprune.errors import ConfigError, WeightsError
from ctprune.finetuning.config import DEFAULT_BACKBONE, IMAGENET, NORMALISATIONS, FinetuneConfig, mean_and_std

with extra("train", "ctprune finetune"):
    import torch

    from ctprune.embedding.embedder import IMAGENET_MEAN, IMAGENET_STD, default_weights, sha256_of
    from ctprune.networks.backbone import RESNETS, backbone_metadata, create_backbone, load_backbone, repeat_grey

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Weights:
    """A file of weights that a fine-tuning starts from.

    Attributes:
        file: Where it lies.
        sha256: Of the file, in hexadecimal.
        metadata: What ctprune wrote into it; empty for files of other origin.
    """

    file: Path
    sha256: str
    metadata: dict[str, Any]

    @classmethod
    def find(cls, config: FinetuneConfig, *, download: bool) -> Weights | None:
        """The file that the configuration means; None for random weights.

        Raises:
            WeightsError: It is not there or cannot be used.
        """
        if download and config.weights != IMAGENET:
            raise ConfigError("--download belongs to --weights imagenet")
        if config.weights is None:
            return None
        file = default_weights(download=download) if config.weights == IMAGENET else Path(config.weights)
        if file.is_dir():
            # The folder of a pre-training.
            file = file / "backbone.safetensors"
        metadata = backbone_metadata(file)
        with file.open("rb") as opened:
            return cls(file, sha256_of(opened), metadata)

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON; of the path only the name, which says nothing of the machine."""
        return {"path": self.file.name, "sha256": self.sha256, "metadata": self.metadata}


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation by channel, one or three of them, as fractions of 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def choose(cls, way: str, weights: Weights | None, train: Pixels) -> Normalisation:
        """As `FinetuneConfig.normalise` says."""
        metadata = {} if weights is None else weights.metadata
        if way == "auto" and "mean" in metadata and "std" in metadata:
            return cls(_channels(metadata["mean"]), _channels(metadata["std"]))
        if way == "imagenet" or (way == "auto" and weights is not None):
            return cls(IMAGENET_MEAN, IMAGENET_STD)
        if way not in NORMALISATIONS:
            given_mean, given_std = mean_and_std(way)
            return cls((given_mean,), (given_std,))
        values = np.bincount(train.reshape(-1), minlength=256) / train.size
        grey = np.arange(256) / 255
        mean = float(values @ grey)
        std = float(np.sqrt(values @ (grey - mean) ** 2))
        # All images of one colour have nothing to scale.
        return cls((mean,), (std or 1.0,))


class GreyBackbone(torch.nn.Module):
    """A backbone that takes grey squares, uint8 of shape (n, side, side), and gives features (n, num_features).

    With `transposed` it sees their rows as columns.
    """

    def __init__(
        self, backbone: torch.nn.Module, normalisation: Normalisation, *, transposed: bool = False
    ) -> None:
        super().__init__()
        self._transposed = transposed
        self.backbone = backbone.to(memory_format=torch.channels_last)
        self.num_features = int(backbone.num_features)  # type: ignore[arg-type]
        for name, values in (("mean", normalisation.mean), ("std", normalisation.std)):
            self.register_buffer(name, torch.tensor(values).reshape(-1, 1, 1), persistent=False)

    def forward(self, squares: torch.Tensor) -> torch.Tensor:
        """Pooled features."""
        upright = squares.mT if self._transposed else squares
        grey = repeat_grey(upright.unsqueeze(1)).float() / 255
        images = (grey - self.get_buffer("mean")) / self.get_buffer("std")
        features: torch.Tensor = self.backbone(images.contiguous(memory_format=torch.channels_last))
        return features


def new_backbone(config: FinetuneConfig, weights: Weights | None, seed: int) -> tuple[torch.nn.Module, str]:
    """A backbone as the configuration says, random weights drawn from the seed, and its name.

    Raises:
        WeightsError: The file cannot be used.
        ConfigError: The name is not known, or the network cannot take squares of this side.
    """
    with seeded(seed):
        if weights is None:
            name = config.backbone or DEFAULT_BACKBONE
            module = create_backbone(name)
        else:
            module = load_backbone(weights.file, name=config.backbone)
            _check_finite(module, weights.file)
            name = config.backbone or weights.metadata.get("backbone") or _name_of(module)
    _check_side(module, config.side, name)
    return module, name


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's generators as this seed says, and leave them as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def device_of(name: str) -> torch.device:
    """`auto` takes a GPU where there is one.

    Raises:
        ConfigError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"--device {name}: expected auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no GPU: use auto or cpu")
    return torch.device(name)


def mixed_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The smaller type of mixed precision, None for 32 bits."""
    if precision == "32" or (precision == "auto" and device.type == "cpu"):
        return None
    if device.type == "cpu":
        return torch.bfloat16
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    """Mixed precision in this block, or nothing."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def on_device(pixels: Pixels, device: torch.device) -> torch.Tensor:
    """Squares as a tensor there."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(device, non_blocking=True)


def features_of(
    network: GreyBackbone,
    pixels: Pixels,
    rows: npt.NDArray[np.int64],
    *,
    batch: int,
    device: torch.device,
    dtype: torch.dtype | None,
) -> npt.NDArray[np.float32]:
    """Features of these rows, float32 of shape (n, num_features), by the network in evaluation mode."""
    network.eval()
    found = [np.zeros((0, network.num_features), np.float32)]
    with torch.inference_mode(), autocast(device, dtype):
        for start in range(0, len(rows), batch):
            features = network(on_device(pixels[rows[start : start + batch]], device))
            found.append(features.float().cpu().numpy())
    return np.concatenate(found)


def _check_finite(module: torch.nn.Module, file: Path) -> None:
    for key, tensor in module.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(
                f"{file}: {key} holds values that are not finite: the training diverged, or the file is damaged"
            )


def _check_side(module: torch.nn.Module, side: int, name: str) -> None:
    try:
        with torch.inference_mode():
            module.eval()(torch.zeros(1, 3, side, side))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(f"--side {side}: {name} cannot take it: {str(error).splitlines()[0]}") from None


def _channels(value: Any) -> tuple[float, ...]:
    return tuple(float(one) for one in np.atleast_1d(value))


def _name_of(module: torch.nn.Module) -> str:
    """The ResNet of torchvision that this is, by the shapes of its weights."""
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    for name in RESNETS:
        with torch.device("meta"):
            template = create_backbone(name)
        if {key: tuple(value.shape) for key, value in template.state_dict().items()} == shapes:
            return name
    raise AssertionError("load_backbone gave a network without a name")
