"""Batches of a packed store, in an order that depends on seed and epoch alone."""

from __future__ import annotations

import os
import weakref
from collections.abc import Generator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ctprune.environment.words import counted
from ctprune.errors import ConfigError, StoreError
from ctprune.pretraining.ahead import Ahead
from ctprune.pretraining.neighbors import Neighbors
from ctprune.store.channels import CHANNELS
from ctprune.store.store import SliceStore

#: A store stays on the GPU when it takes at most this part of the memory that is free there.
_RESIDENT_PART = 0.4

#: Slices that are copied to the device at a time when the store becomes resident.
_BLOCK = 1024


class Batch(NamedTuple):
    """Some slices.

    Attributes:
        pixels: uint8 or uint16 of shape (n, side, side), on the loader's device; with three channels of shape
            (n, 3, side, side). With neighbors there are 2 n: the slices, then a neighbor of each.
        positions: int64 of shape (n,) or (2 n,), on the CPU: where each slice lies in the store.
    """

    pixels: Tensor
    positions: Tensor


class StoreBatches:
    """Shuffled batches of a store's slices; the last ones that do not fill a batch are left out of an epoch.

    With several processes each gets its share of every step: together their batches are those that one process
    would get with `batch_size` × `world_size`.

    Args:
        store: The packed store. Only the slices of a few batches are in memory at a time, unless it is resident.
        batch_size: Slices per batch and process.
        seed: Random seed of the order; each epoch has an order of its own.
        rank: Number of this process.
        world_size: Number of processes.
        positions: Positions in the store of the slices to use, integers; None uses all.
        weights: How often each of these slices is drawn, relative to the others; whole numbers from 1. An epoch
            has as many slices as without weights; each is drawn as often as its share says, rounded up or down
            at random. None draws each once.
        neighbors: Neighbors of each of these slices. Each slice of a batch then comes with one of them, decided by
            seed, epoch and place in the epoch's order. None gives the slices alone.
        channels: Where in the store the three channels of each of these slices lie, int64 of shape (n, 3). None
            gives the slice alone, without an axis of channels.
        resident: Hold all slices on the device. None does so on a GPU when they take at most 40 % of its free
            memory; on a CPU the system's page cache is as good.
        device: Device of the batches.

    Raises:
        ConfigError: An option that is out of range, or fewer slices than fill a batch.

    >>> import ctprune, tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
    >>> _ = ctprune.reduce(folder / "dicoms", out=folder / "run")
    >>> batches = StoreBatches(ctprune.build_store(folder / "run", use="all", side=32), 8, seed=0)
    >>> sum(len(batch.pixels) for batch in batches.epoch(0)) == 8 * batches.steps_per_epoch
    True
    """

    def __init__(
        self,
        store: SliceStore,
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        positions: npt.NDArray[np.int64] | None = None,
        weights: npt.NDArray[np.int64] | None = None,
        neighbors: Neighbors | None = None,
        channels: npt.NDArray[np.int64] | None = None,
        resident: bool | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if batch_size < 1 or world_size < 1 or not 0 <= rank < world_size:
            raise ConfigError(
                f"batch size {batch_size}, rank {rank} of {world_size}: expected at least one of each"
            )
        self.batch_size, self.seed, self.rank, self.world_size = batch_size, seed, rank, world_size
        self.device = torch.device(device)
        self._positions = _positions(store, positions)
        self._ends = None if weights is None else _ends(weights, len(self._positions))
        self._neighbors = neighbors
        if len(self._positions) < batch_size * world_size:
            raise ConfigError(
                f"a batch of {batch_size * world_size} is larger than all there is, "
                f"{counted(len(self._positions), 'slice')}: take a smaller batch or more slices"
            )
        self._has_channels = channels is not None
        # What is read for each slice, (n, 1) or (n, 3); and all of it, each once.
        self._shown = self._positions[:, None] if channels is None else channels
        self._needed = self._positions if channels is None else np.unique(channels)
        self._pixels = _Pixels(store)
        self.resident = _fits(store, self._needed, self.device) if resident is None else resident
        self._on_device = self._load() if self.resident else None

    @property
    def slices(self) -> int:
        """Number of slices in use."""
        return len(self._positions)

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch and process."""
        return len(self._positions) // (self.batch_size * self.world_size)

    def order(self, number: int) -> npt.NDArray[np.int64]:
        """Positions in the store in the order of an epoch, for all processes together."""
        return self._positions[self._shuffled(number)]

    def epoch(self, number: int, start_step: int = 0) -> Generator[Batch, None, None]:
        """The batches of an epoch of this process, from `start_step` on.

        Args:
            number: The epoch, counted from 0.
            start_step: The first batch, to continue in the middle of an epoch.

        Raises:
            ConfigError: The epoch has fewer steps.
        """
        if not 0 <= start_step <= self.steps_per_epoch or number < 0:
            raise ConfigError(
                f"epoch {number}, step {start_step}: expected an epoch from 0 on and a step up to "
                f"{self.steps_per_epoch}"
            )
        shuffled = self._shuffled(number)
        together = self.batch_size * self.world_size
        starts = [
            step * together + self.rank * self.batch_size for step in range(start_step, self.steps_per_epoch)
        ]
        chosen = [shuffled[start : start + self.batch_size] for start in starts]
        if self._neighbors is not None:
            lots = np.random.PCG64([self.seed, number, 2]).random_raw(len(shuffled))
            near = self._neighbors.choose(shuffled, lots)
            chosen = [
                np.concatenate([own, near[start : start + self.batch_size]])
                for start, own in zip(starts, chosen, strict=True)
            ]
        return self._from_device(chosen) if self._on_device is not None else self._from_map(chosen)

    def _shuffled(self, number: int) -> npt.NDArray[np.int64]:
        # Raw numbers of a bit generator, unlike numpy's distributions, never change from version to version.
        count = len(self._positions)
        order = np.argsort(np.random.PCG64([self.seed, number]).random_raw(count), kind="stable")
        if self._ends is None:
            return order
        # Points at equal distances, from a random start on, among as many units as all weights have.
        units = int(self._ends[-1])
        start = int(np.random.PCG64([self.seed, number, 1]).random_raw()) % units
        points = (start + np.arange(count, dtype=np.int64) * units) // count
        return np.searchsorted(self._ends, points, side="right")[order]

    def _load(self) -> Tensor:
        """All slices in use, and those that channels show, on the device."""
        shape = (len(self._needed), *self._pixels.shape)
        loaded = torch.empty(shape, dtype=self._pixels.dtype, device=self.device)
        for start in range(0, len(self._needed), _BLOCK):
            block = self._needed[start : start + _BLOCK]
            loaded[start : start + len(block)] = self._pixels.read(block).to(self.device)
        return loaded

    def _from_device(self, chosen: list[npt.NDArray[np.int64]]) -> Generator[Batch, None, None]:
        assert self._on_device is not None
        for indices in chosen:
            # Of each slice alone its index says where it is; what channels show is in ascending order.
            places = np.searchsorted(self._needed, self._shown[indices]).ravel() if self._has_channels else indices
            index = torch.from_numpy(places)
            if self.device.type == "cuda":
                index = index.pin_memory()
            pixels = self._on_device.index_select(0, index.to(self.device, non_blocking=True))
            yield Batch(self._shaped(pixels), torch.from_numpy(self._positions[indices]))

    def _from_map(self, chosen: list[npt.NDArray[np.int64]]) -> Generator[Batch, None, None]:
        ahead = Ahead(self._read(indices) for indices in chosen)
        try:
            for pixels, positions in ahead:
                yield Batch(self._shaped(pixels.to(self.device, non_blocking=True)), positions)
        finally:
            ahead.stop()

    def _read(self, indices: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        shown = self._shown[indices].ravel()
        pixels = self._pixels.read(shown, pin_memory=self.device.type == "cuda")
        return pixels, torch.from_numpy(self._positions[indices])

    def _shaped(self, pixels: Tensor) -> Tensor:
        """Unsigned, and with an axis of channels if there are several."""
        unsigned = pixels.view(torch.uint16) if pixels.dtype == torch.int16 else pixels
        return unsigned.view(-1, CHANNELS, *unsigned.shape[1:]) if self._has_channels else unsigned


class _Pixels:
    """A store's pixels, read from its file; 16 bits as int16, which more operations know than uint16.

    Where the system can, they are read, not mapped: if something shortens the file meanwhile, reading fails with
    an error, while a map would end the process (SIGBUS).
    """

    def __init__(self, store: SliceStore) -> None:
        array = store.pixels
        self.shape = array.shape[1:]
        self.dtype = torch.int16 if array.dtype.itemsize == 2 else torch.uint8
        self._folder = store.folder
        self._row_bytes = array[:1].nbytes
        self._map: Tensor | None = None
        if isinstance(array, np.memmap) and array.filename is not None and hasattr(os, "preadv"):
            self._offset = array.offset
            self._file = os.open(array.filename, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
        else:
            self._map = _mapped(store)

    def read(self, positions: npt.NDArray[np.int64], *, pin_memory: bool = False) -> Tensor:
        """Slices of the store, of shape (n, side, side).

        Raises:
            StoreError: The file has become shorter than it was.
        """
        pixels = torch.empty((len(positions), *self.shape), dtype=self.dtype, pin_memory=pin_memory)
        if self._map is not None:
            return torch.index_select(self._map, 0, torch.from_numpy(positions), out=pixels)
        size = self._row_bytes
        for row, position in zip(pixels.numpy(), positions.tolist(), strict=True):
            if os.preadv(self._file, [row.data], self._offset + position * size) != size:
                raise StoreError(
                    f"{self._folder}: the store was truncated while it was read: another program has changed "
                    f"it; rerun with `resume` to build it again and continue from the last checkpoint"
                )
        return pixels


def _positions(store: SliceStore, given: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
    if given is None:
        return np.arange(len(store), dtype=np.int64)
    positions = np.array(given, np.int64)
    if positions.ndim != 1 or (len(positions) and not 0 <= positions.min() <= positions.max() < len(store)):
        raise ConfigError(f"positions: expected integers from 0 to {len(store) - 1} in the store")
    return positions


def _ends(weights: npt.NDArray[np.int64], slices: int) -> npt.NDArray[np.int64]:
    """Where the units of each slice end, when as many as their weights follow each other, int64 of shape (n,)."""
    found = np.array(weights)
    if found.shape != (slices,) or found.dtype.kind not in "iu" or (found < 1).any():
        raise ConfigError(f"weights: expected {slices} whole numbers from 1 on, one of each slice")
    units = sum(found.tolist())
    if slices * units >= 2**63:
        raise ConfigError(f"weights: expected a sum below 2^63 / {slices}, found {units}")
    return np.cumsum(found, dtype=np.int64)


def _mapped(store: SliceStore) -> Tensor:
    """The store's pixels without reading them; 16 bits as int16, which more operations know than uint16."""
    array = store.pixels
    if isinstance(array, np.memmap) and array.filename is not None:
        # torch warns of arrays that cannot be written to. Nothing is written: this map would copy first.
        array = np.load(array.filename, mmap_mode="c")
    return torch.from_numpy(array.view(np.int16) if array.dtype.itemsize == 2 else array)


def _fits(store: SliceStore, positions: npt.NDArray[np.int64], device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    needed = len(positions) * store.pixels[:1].nbytes
    return bool(needed <= _RESIDENT_PART * free)
