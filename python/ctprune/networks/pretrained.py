"""Files of initial weights: find them, download them on request, identify them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
import torchvision

from ctprune.errors import WeightsError
from ctprune.files.checksums import sha256_of
from ctprune.networks.backbone import backbone_file, backbone_metadata
from ctprune.networks.facts import channels_of
from ctprune.options.neighbors import GRAY


@dataclass(frozen=True)
class Pretrained:
    """A file of weights.

    Attributes:
        file: Path of the file.
        sha256: SHA-256 of the file, in hexadecimal.
        metadata: Metadata that ctprune wrote into the file; empty for files of other programs.
    """

    file: Path
    sha256: str
    metadata: dict[str, Any]

    @classmethod
    def find(cls, path: Path | None, *, download: bool = False, neighbors: bool = False) -> Pretrained:
        """A file of weights, or the one in the folder of a pre-training.

        Args:
            path: The file or folder; None takes torchvision's ResNet-50, trained on ImageNet.
            download: Whether this ResNet-50 may be downloaded if it is not on disk.
            neighbors: Whether the weights may expect neighboring slices as channels.

        Raises:
            WeightsError: The file is missing, holds no weights, or expects neighboring slices without `neighbors`.
        """
        file = imagenet_weights(download=download) if path is None else backbone_file(path)
        metadata = backbone_metadata(file)
        if not neighbors:
            _refuse_neighbors(metadata, file)
        return cls(file, metadata=metadata, sha256=sha256_of(file))

    def to_dict(self) -> dict[str, Any]:
        """The attributes for JSON; only the name of the file, as its path would describe this machine."""
        return {"path": self.file.name, "sha256": self.sha256, "metadata": self.metadata}


def _refuse_neighbors(metadata: Mapping[str, Any], file: Path) -> None:
    """Refuse weights that expect neighboring slices as channels."""
    channels = channels_of(metadata)
    if channels != GRAY:
        raise WeightsError(
            f"{file}: expected a backbone for single gray slices, found one that was pre-trained with neighboring "
            f"slices as channels (`channels` {channels}): take one that was pre-trained with `channels` {GRAY}"
        )


def imagenet_weights(*, download: bool = False) -> Path:
    """The file of torchvision's ResNet-50, trained on ImageNet, in the cache of torch.hub.

    Args:
        download: Whether it may be downloaded if it is not on disk.

    Raises:
        WeightsError: The file is missing and may not, or cannot, be downloaded.
    """
    url: str = torchvision.models.ResNet50_Weights.DEFAULT.url
    folder = Path(torch.hub.get_dir(), "checkpoints")
    file: Path = folder / url.rpartition("/")[2]
    if file.is_file():
        return file
    if not download:
        raise WeightsError(
            f"the weights of torchvision's ResNet-50 are not on disk: expected {file}; give `download` to fetch "
            f"them from {url}, or a file as `weights`"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Torchvision puts the beginning of the SHA-256 into its files' names.
        digest = file.name.rpartition("-")[2].partition(".")[0]
        torch.hub.download_url_to_file(url, str(file), digest, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        why = getattr(error, "reason", error)
        why = getattr(why, "strerror", None) or why
        raise WeightsError(f"{url}: cannot be downloaded: {why}; give a file as `weights`") from None
    return file
