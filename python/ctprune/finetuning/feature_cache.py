"""Features of a frozen backbone, computed once for all seeds, poolings and fractions, and after a kill."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ctprune.files.atomic import replace_file
from ctprune.finetuning.votes import Features
from ctprune.networks.gray_backbone import Pixels

#: Squares that are hashed at a time: they may lie in a file.
_AT_A_TIME = 1024


class FeatureCache:
    """Features in a folder, one file for each set of images and network.

    The file's name is a digest of the pixels and of everything that determines their features, so fine-tunings can
    share a folder. Files have checksums: the features of a damaged one are computed again.

    Args:
        folder: Folder of the files; made when the first one is written.
        pixels: Squares that go through the network, uint8 of shape (n, side, side).
    """

    def __init__(self, folder: Path, pixels: Pixels) -> None:
        self._folder, self._count = folder, len(pixels)
        digest = hashlib.sha256(str(pixels.shape).encode())
        for start in range(0, len(pixels), _AT_A_TIME):
            digest.update(np.ascontiguousarray(pixels[start : start + _AT_A_TIME]).data)
        self._pixels = digest.hexdigest()

    def of(self, network: dict[str, Any], compute: Callable[[], Features]) -> Features:
        """The features of a network, float32 of shape (n, features): saved ones, or else computed.

        Args:
            network: Everything that determines the features besides the pixels, fit for JSON.
            compute: Function that computes them.

        Raises:
            OutputError: They cannot be written.
        """
        said = json.dumps([self._pixels, network], sort_keys=True)
        file = self._folder / f"features-{hashlib.sha256(said.encode()).hexdigest()[:32]}.npz"
        found = self._read(file)
        if found is None:
            found = compute()
            with replace_file(file) as beside, beside.open("wb") as opened:
                np.savez(opened, features=found)
        return found

    def _read(self, file: Path) -> Features | None:
        try:
            with np.load(file, allow_pickle=False) as opened:
                found = opened["features"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        is_whole = found.dtype == np.float32 and found.ndim == 2 and len(found) == self._count
        return found if is_whole else None
