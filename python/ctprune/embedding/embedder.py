"""Embeddings of slices: the pooled features of a network, for selection by cosine similarity.

A slice becomes 8-bit grey as it is fingerprinted, then 224 × 224 as in the packed store, then three equal
channels, normalised with the mean and standard deviation that the network was trained with: ImageNet's, or `mean`
and `std` (fractions of 255) in the metadata of a ctprune backbone.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import numpy.typing as npt

from ctprune.environment.extras import extra
from ctprune.errors import WeightsError

with extra("train", "--method deep"):
    import torch
    import torchvision

    from ctprune.networks.backbone import backbone_metadata, load_backbone, repeat_grey

#: Rows and columns of the network's input.
SIDE = 224

#: Channels of ImageNet's pictures as fractions of 255 (torchvision's documentation of its weights).
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: Slices that go through the network together, on a GPU and on a CPU.
_GPU_BATCH, _CPU_BATCH = 256, 32


def default_weights(*, download: bool = False) -> Path:
    """The file of torchvision's ResNet-50, trained on ImageNet, in the cache of torch.hub.

    Raises:
        WeightsError: It is not there and was not to be downloaded, or cannot be.
    """
    url: str = torchvision.models.ResNet50_Weights.DEFAULT.url
    folder = Path(torch.hub.get_dir(), "checkpoints")
    file: Path = folder / url.rpartition("/")[2]
    if file.is_file():
        return file
    if not download:
        raise WeightsError(
            f"the weights of torchvision's ResNet-50 are not on disk: expected {file}; give --download to fetch "
            f"them from {url}, or --weights FILE"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), _hash_in(file.name), progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(f"{url}: cannot be downloaded: {error}; give --weights FILE") from None
    return file


class Embedder:
    """A network ready to turn squares into embeddings.

    Args:
        weights: A file for `ctprune.load_backbone`; None takes torchvision's ResNet-50.
        download: Whether that may be fetched if it is not on disk.

    Attributes:
        features: Numbers of one embedding.
        digest: SHA-256 of the weights' file, in hexadecimal.
        device: `cuda` or `cpu`.
        precision: `fp32`, on a GPU `bf16`, or `fp16` where that has no bf16.
        batch: Slices that go through the network together.
        seconds: Time spent in the network.

    Raises:
        WeightsError: The weights are not there or cannot be used.
    """

    def __init__(self, weights: str | os.PathLike[str] | None, *, download: bool = False) -> None:
        file = default_weights(download=download) if weights is None else Path(weights)
        module = load_backbone(file)
        with file.open("rb") as opened:
            self.digest = sha256_of(opened)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision = _precision(self.device)
        self.features = int(module.num_features)  # type: ignore[arg-type]
        self.batch = _GPU_BATCH if self.device.type == "cuda" else _CPU_BATCH
        self.seconds = 0.0
        self._module = module.eval().to(self.device).to(memory_format=torch.channels_last)
        metadata = backbone_metadata(file)
        self._mean = self._channels(metadata.get("mean", IMAGENET_MEAN))
        self._std = self._channels(metadata.get("std", IMAGENET_STD))

    def embed(self, squares: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
        """Embeddings of unit length, float16 of shape (n, features), of grey squares (n, rows, cols)."""
        started = time.perf_counter()
        with torch.inference_mode(), self._autocast():
            batches = torch.split(torch.from_numpy(squares), self.batch)
            found = [self._features(batch) for batch in batches]
        # A copy to the CPU waits for the GPU.
        embeddings: npt.NDArray[np.float16] = torch.cat(found).cpu().numpy()
        self.seconds += time.perf_counter() - started
        return embeddings

    def _features(self, squares: torch.Tensor) -> torch.Tensor:
        grey = squares.to(self.device, non_blocking=True).unsqueeze(1)
        images = (repeat_grey(grey).float() / 255 - self._mean) / self._std
        features = self._module(images.contiguous(memory_format=torch.channels_last))
        return torch.nn.functional.normalize(features.float(), dim=1).half()

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast("cuda", torch.bfloat16 if self.precision == "bf16" else torch.float16)

    def _channels(self, value: Any) -> torch.Tensor:
        return torch.tensor(value, dtype=torch.float32, device=self.device).reshape(-1, 1, 1)


def _precision(device: torch.device) -> str:
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def _hash_in(name: str) -> str:
    """The beginning of the SHA-256 that torchvision puts into its files' names."""
    return name.rpartition("-")[2].partition(".")[0]


def sha256_of(file: Any) -> str:
    """SHA-256 of a file opened for reading bytes, in hexadecimal."""
    digest = hashlib.sha256()
    for part in _parts(file):
        digest.update(part)
    return digest.hexdigest()


def _parts(file: Any) -> Iterator[bytes]:
    while part := file.read(1 << 20):
        yield part
