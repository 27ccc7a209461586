"""A map-style dataset of slices: from a packed store, or straight from the files of a reduction."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from ctprune import _core
from ctprune.errors import ConfigError, ManifestError, SourceError
from ctprune.manifest.manifest import Manifest
from ctprune.manifest.slices import STAMP, WHERE, path_of, stands_for, why_unusable
from ctprune.reading.resized import read_resized
from ctprune.sources.addresses import is_address
from ctprune.store.config import StoreConfig
from ctprune.store.store import HU_OFFSET, SliceStore, open_store

T = TypeVar("T")

#: What `SliceDataset` takes from a reduction's configuration to read its files.
_READING = ("intensity", "modality", "max_slice_mb")


class SliceDataset(Dataset[Any]):
    """Slices as tensors of shape (1, side, side), to be used with `torch.utils.data.DataLoader`.

    The values are uint8 (gray, as it was fingerprinted) or, with 16 bits, float32 (Hounsfield units). From files,
    they are those that a store would have; a store is much faster from the second epoch on. Worker processes open
    the store or the files themselves.

    Args:
        source: A store or its folder; or a manifest, its file or the folder of a reduction, whose files are read
            each time.
        transform: Called with each tensor; its result takes the tensor's place.
        use: Of a reduction: `kept` or `all` slices.
        side: Of a reduction: rows and columns, 8 to 4096. The shorter side of a slice is scaled to it, the longer
            one cropped.
        depth: Of a reduction: 8 (gray) or 16 (Hounsfield units).

    Attributes:
        rows: Row of each slice in the manifest, int64 of shape (n,).

    Raises:
        ConfigError: An option cannot be used, or is given for a store, which has its own.
        ManifestError: There is no manifest, or it has no such slice.
        StoreError: The store is damaged.

    >>> import ctprune, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
    >>> _ = ctprune.reduce(folder / "dicoms", out=folder / "run")
    >>> slices = SliceDataset(folder / "run", side=32)
    >>> slices[0].shape, slices[0].dtype
    (torch.Size([1, 32, 32]), torch.uint8)
    """

    def __init__(
        self,
        source: SliceStore | Manifest | str | os.PathLike[str],
        *,
        transform: Callable[[torch.Tensor], Any] | None = None,
        use: str | None = None,
        side: int | None = None,
        depth: int | None = None,
    ) -> None:
        self.transform = transform
        given: dict[str, Any] = {"use": use, "side": side, "depth": depth}
        given = {name: value for name, value in given.items() if value is not None}
        self._slices: _FromStore | _FromFiles
        if isinstance(source, SliceStore):
            self._slices = _FromStore(_without_options(source, given))
        elif not isinstance(source, Manifest) and (Path(source) / "store.json").is_file():
            self._slices = _FromStore(open_store(_without_options(source, given)))
        else:
            manifest = source if isinstance(source, Manifest) else Manifest.load(source)
            self._slices = _FromFiles(manifest, StoreConfig(**given))
        self.rows = self._slices.rows

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.rows)

    @property
    def weights(self) -> npt.NDArray[np.int64]:
        """How many slices of the reduction each one stands for, int64 of shape (n,), for `WeightedRandomSampler`.

        Raises:
            ConfigError: The slices are those of a store, which does not say it.

        >>> import ctprune, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
        >>> _ = ctprune.reduce(folder / "dicoms", out=folder / "run")
        >>> slices = SliceDataset(folder / "run", side=32)
        >>> len(list(torch.utils.data.WeightedRandomSampler(slices.weights.tolist(), num_samples=100)))
        100
        """
        if isinstance(self._slices, _FromStore):
            raise ConfigError(
                "weights: a store does not say what its slices stand for: take them from the reduction, "
                "`Manifest.load(run).slices().stands_for[dataset.rows]`"
            )
        return self._slices.weights

    def __getitem__(self, index: int) -> Any:
        """The tensor of a slice, or what the transform makes of it.

        Raises:
            IndexError: There is no such slice.
            SourceError: The slice can no longer be read.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"slice {index} does not exist: there are {len(self)}")
        pixels = self._slices.read(index % len(self))
        image = torch.from_numpy(pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32) - HU_OFFSET)
        return image if self.transform is None else self.transform(image)


def _without_options(store: T, given: dict[str, Any]) -> T:
    """The store, of which nothing else can be asked."""
    for name in given:
        raise ConfigError(f"{name} belongs to a reduction: a store has its own", field=name)
    return store


class _FromStore:
    """Slices of a store, copied from its memory map."""

    def __init__(self, store: SliceStore) -> None:
        self._store = store
        self.rows = store.rows

    def read(self, index: int) -> npt.NDArray[Any]:
        return np.array(self._store.pixels[index : index + 1])

    def __getstate__(self) -> Path:
        # As it is, a memory map would be sent whole.
        return self._store.folder.absolute()

    def __setstate__(self, folder: Path) -> None:
        self.__init__(open_store(folder, verify=False))  # type: ignore[misc]


class _FromFiles:
    """Slices of a reduction, read from its files."""

    def __init__(self, manifest: Manifest, config: StoreConfig) -> None:
        if config.use == "random":
            raise ConfigError("use random: expected kept or all; a store can hold a random sample", field="use")
        slices = manifest.slices()
        self.rows: npt.NDArray[np.int64] = (
            np.flatnonzero(slices.kept).astype(np.int64) if config.use == "kept" else np.arange(len(slices))
        )
        if not len(self.rows):
            raise ManifestError(f"the manifest has no slices to use ({config.use})")
        self._exemplar = slices.exemplar
        self._where = slices.rows.select([*WHERE, *STAMP]).take(self.rows)
        self._reading = {name: manifest.config[name] for name in _READING}
        self._config = config

    @cached_property
    def weights(self) -> npt.NDArray[np.int64]:
        if self._config.use == "all":
            # All slices stand for themselves.
            return np.ones_like(self.rows)
        return stands_for(self._exemplar)[self.rows]

    def read(self, index: int) -> npt.NDArray[Any]:
        [row] = self._where.slice(index, index + 1).to_dicts()
        side = self._config.side
        pixels: npt.NDArray[Any] = np.empty((1, side, side), np.uint8 if self._config.depth == 8 else np.uint16)
        # A server is not asked about each slice once more.
        changed = "" if is_address(path_of(row)) else why_unusable([row])[0]
        reason = changed or read_resized([row], pixels, self._reading, threads=1)[0][2]
        if reason:
            raise SourceError(f"{path_of(row)}: {reason}")
        return pixels

    def __getstate__(self) -> dict[str, Any]:
        # Rows are Rust's, and cannot be sent as they are.
        columns = {name: self._where[name] for name in self._where.columns}
        whole = {name: v if isinstance(v, list) else v.astype(np.int64) for name, v in columns.items()}
        return self.__dict__ | {"_where": whole, "weights": self.weights, "_exemplars": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._where = _core.Rows.from_columns(state["_where"])
