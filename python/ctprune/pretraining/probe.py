"""A kNN probe: how well frozen features tell the classes of a small labelled set, while training goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ctprune.errors import SourceError
from ctprune.extras import extra
from ctprune.reduction import reduce
from ctprune.squares import WHERE, read_squares
from ctprune.store import SliceStore

with extra("train", "pre-training"):
    import torch

    from ctprune.backbone import repeat_grey
    from ctprune.pretraining.health import knn_accuracy
    from ctprune.pretraining.view_config import WindowConfig

#: Images that go through the network together.
_BATCH = 64


class Probe:
    """A folder per class, decoded once as the store's slices were.

    Args:
        folder: Has a folder per class, with images of any kind that ctprune reads.
        store: What the backbone is trained on: gives side, bits and intensity.
        window: The views' window, for 16 bits.
        mean: Of the normalisation that the views use.
        std: Likewise.

    Raises:
        SourceError: The folder is not there, or does not have two classes with images.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        store: SliceStore,
        *,
        window: WindowConfig | None,
        mean: float,
        std: float,
    ) -> None:
        self._window, self._mean, self._std = window, mean, std
        lines, config = _labelled_lines(Path(folder), store)
        squares = np.empty((len(lines), store.side, store.side), store.pixels.dtype)
        outcomes = read_squares(lines, squares, config)
        good = [place for place, (*_, reason) in enumerate(outcomes) if not reason]
        names = [lines[place]["path"].partition("/")[0] for place in good]
        self.classes = sorted(set(names))
        if len(self.classes) < 2:
            raise SourceError(
                f"--probe {folder}: expected a folder per class with images in at least two, "
                f"found {len(self.classes)}"
            )
        self._labels = torch.tensor([self.classes.index(name) for name in names])
        self._pixels = squares[good]

    def __len__(self) -> int:
        """Number of images."""
        return len(self._labels)

    @torch.no_grad()
    def accuracy(self, backbone: torch.nn.Module, device: torch.device) -> float:
        """Accuracy of the vote of the 20 nearest others; leaves the backbone in evaluation mode."""
        backbone.eval()
        features = []
        for start in range(0, len(self), _BATCH):
            images = torch.from_numpy(self._fractions(self._pixels[start : start + _BATCH])).to(device)
            features.append(backbone(repeat_grey(((images - self._mean) / self._std)[:, None])).float().cpu())
        return knn_accuracy(torch.cat(features), self._labels)

    def _fractions(self, pixels: Any) -> Any:
        if self._window is not None:
            return np.clip((pixels.astype(np.float32) - self._window.stored_low) / self._window.width, 0, 1)
        return pixels.astype(np.float32) / (255 if pixels.dtype.itemsize == 1 else 65535)


def _labelled_lines(folder: Path, store: SliceStore) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    if not folder.is_dir():
        raise SourceError(f"--probe {folder}: expected a folder per class, found no folder")
    manifest = reduce(folder, method="all", modality="any", intensity=store.intensity)
    table = manifest.kept().select(list(WHERE))
    # Files beside the classes' folders have no class.
    table = table.filter(pc.match_substring(table["path"], "/"))
    table = table.take(pc.sort_indices(table, [("path", "ascending"), ("frame", "ascending")]))
    return pa.Table.to_pylist(table), manifest.config
