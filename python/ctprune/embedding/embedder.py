"""Embeddings of slices: the pooled features of a network, for selection by cosine similarity.

A slice becomes 8-bit gray as it is fingerprinted, then 224 × 224 as in the packed store, then three equal
channels, normalized with the mean and standard deviation that the network was trained with: ImageNet's, or `mean`
and `std` (fractions of 255) in the metadata of a ctprune backbone.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ctprune.networks.backbone import load_backbone
from ctprune.networks.device import autocast, choose_device, choose_precision
from ctprune.networks.gray_backbone import GrayBackbone, Normalization
from ctprune.networks.pretrained import Pretrained

#: Rows and columns of the network's input.
SIDE = 224

#: Slices that go through the network together, on a GPU and on a CPU.
_GPU_BATCH, _CPU_BATCH = 256, 32


class Embedder:
    """A network ready to turn images into embeddings.

    Args:
        weights: A file for `ctprune.load_backbone`, or the folder of a pre-training; None takes torchvision's
            ResNet-50, trained on ImageNet.
        download: Whether this ResNet-50 may be downloaded if it is not on disk.

    Attributes:
        features: Length of an embedding.
        digest: SHA-256 of the weights' file, in hexadecimal.
        device: `cuda` or `cpu`.
        precision: `32` on a CPU; on a GPU `bf16`, or `fp16` if the GPU has no bf16.
        batch: Slices that go through the network together.
        seconds: Time spent in the network.

    Raises:
        WeightsError: The weights are not there or cannot be used.
    """

    def __init__(self, weights: str | os.PathLike[str] | None, *, download: bool = False) -> None:
        pretrained = Pretrained.find(None if weights is None else Path(weights), download=download)
        network = GrayBackbone(load_backbone(pretrained.file), Normalization.of_weights(pretrained.metadata))
        self.digest = pretrained.sha256
        self.device = choose_device()
        self.precision = choose_precision("auto", self.device)
        self.features = network.num_features
        self.batch = _GPU_BATCH if self.device.type == "cuda" else _CPU_BATCH
        self.seconds = 0.0
        self._network = network.eval().to(self.device)

    def embed(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
        """Embeddings of gray images.

        Args:
            images: uint8 of shape (n, rows, columns).

        Returns:
            float16 of shape (n, features), each of unit length.
        """
        started = time.perf_counter()
        # Not in `quick_gpu`: what cuDNN finds fastest differs from run to run, and with it the last bits of an
        # embedding. A reduction that is resumed, shared by machines or repeated must select the same slices.
        with torch.inference_mode(), autocast(self.device, self.precision):
            found = [self._embed(batch) for batch in torch.split(torch.from_numpy(images), self.batch)]
        # A copy to the CPU waits for the GPU.
        embeddings: npt.NDArray[np.float16] = torch.cat(found).cpu().numpy()
        self.seconds += time.perf_counter() - started
        return embeddings

    def _embed(self, images: torch.Tensor) -> torch.Tensor:
        features = self._network(images.to(self.device, non_blocking=True))
        return torch.nn.functional.normalize(features.float(), dim=1).half()
