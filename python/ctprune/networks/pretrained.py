"""Files of weights that a training or an embedding starts from: found, downloaded where asked for, identified."""

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
from ctprune.options.neighbors import GRAY


@dataclass(frozen=True)
class Pretrained:
    """A file of weights.

    Attributes:
        file: Path of the file.
        sha256: SHA-256 of the file, in hexadecimal.
        metadata: What ctprune wrote into the file; empty for files of other origin.
    """

    file: Path
    sha256: str
    metadata: dict[str, Any]

    @classmethod
    def find(cls, path: Path | None, *, download: bool = False, neighbors: bool = False) -> Pretrained:
        """A file of weights, or that in the folder of a pre-training.

        Args:
            path: The file or folder; None takes torchvision's ResNet-50, trained on ImageNet.
            download: Whether that ResNet-50 may be fetched if it is not on disk.
            neighbors: Whether the weights may be such that see neighboring slices as channels.

        Raises:
            WeightsError: The file is not there, holds no weights, or such that see neighboring slices.
        """
        file = imagenet_weights(download=download) if path is None else backbone_file(path)
        metadata = backbone_metadata(file)
        if not neighbors:
            _refuse_neighbors(metadata, file)
        return cls(file, metadata=metadata, sha256=sha256_of(file))

    def to_dict(self) -> dict[str, Any]:
        """The attributes for JSON; of the path only the name, which says nothing of the machine."""
        return {"path": self.file.name, "sha256": self.sha256, "metadata": self.metadata}


def _refuse_neighbors(metadata: Mapping[str, Any], file: Path) -> None:
    """Refuse weights whose channels are neighboring slices, where each image comes alone."""
    channels = metadata.get("channels", GRAY)
    if channels != GRAY:
        raise WeightsError(
            f"{file}: expected a backbone for single gray slices, found one that was pre-trained with neighboring "
            f"slices as channels (`channels` {channels}): take one that was pre-trained with `channels` {GRAY}"
        )


def imagenet_weights(*, download: bool = False) -> Path:
    """The file of torchvision's ResNet-50, trained on ImageNet, in the cache of torch.hub.

    Args:
        download: Whether it may be fetched if it is not on disk.

    Raises:
        WeightsError: The file is not there and may not be downloaded, or cannot be.
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
        raise WeightsError(f"{url}: cannot be downloaded: {error}; give a file as `weights`") from None
    return file
