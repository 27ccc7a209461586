"""Reductions by retrieval: what is closest to the slices of another run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.embedding.embeddings import COLUMNS, Lines, kept_embeddings
from ctprune.errors import ConfigError
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.manifest.manifest import batches as manifest_batches
from ctprune.manifest.slices import Slices
from ctprune.reduction.config import ReduceConfig
from ctprune.selection.points import PointSelection, retrieve_points

_ROWS_TOGETHER = 1 << 16

#: What decides a fingerprint.
_DECIDING = ("fingerprint", "hash_size", "intensity")


class Target:
    """The slices, kept and dropped, that others are compared with.

    Args:
        run: Folder, address or manifest file of their reduction.
        config: Configuration of the reduction that compares with them.

    Raises:
        ManifestError: There is no manifest.
        ConfigError: The run has no slice, or its slices are described in another way.
    """

    def __init__(self, run: str | os.PathLike[str], config: ReduceConfig) -> None:
        self._run = run
        self._config = config
        manifest = Manifest.load(run)
        for name in _DECIDING:
            own, other = getattr(config, name), manifest.config[name]
            if own != other:
                raise ConfigError(
                    f"target {run}: expected a run with `{name}` {own}, found {other}: reduce both with the same "
                    "options",
                    field="target",
                )
        self.slices: Slices = manifest.slices()
        if not len(self.slices):
            raise ConfigError(f"target {run}: expected a run with slices, found none", field="target")

    def embeddings(self, weights_sha256: str) -> npt.NDArray[np.float16]:
        """Their embeddings by the network with these weights, float16 of shape (n, features).

        Raises:
            ConfigError: The run has none of that network.
            StoreError: They are damaged.
        """

        def batches(size: int) -> Iterator[Lines]:
            return self.slices.dicts(COLUMNS, size)

        found = kept_embeddings(batches, self.slices.config, out=manifest_path(self._run).parent)
        if found is None or found[1] != weights_sha256:
            what = "none of all its slices" if found is None else "those of other weights"
            raise ConfigError(
                f"target {self._run}: expected embeddings by the same network, found {what}: reduce it with "
                "`method` deep and the same `weights` first",
                field="target",
            )
        return found[0].embeddings

    def closest(self, points: npt.NDArray[Any], targets: npt.NDArray[Any], threads: int) -> PointSelection:
        """The points that are closest to the targets, as many as the configuration asks for."""
        config = self._config
        return retrieve_points(points, targets, keep=config.keep, budget=config.budget, threads=threads)

    def select_by_fingerprints(self, archive: _core.Archive, threads: int) -> dict[str, Any]:
        """Choose among the grouped slices of `archive`; returns what is to be known of it."""
        starts = archive.volume_starts()
        slices = starts[-1] if starts else 0
        batches = manifest_batches(archive, slices, size=_ROWS_TOGETHER)
        own = [np.asarray(rows["fingerprint"], np.uint8) for rows in batches]
        width = self.slices.fingerprints.shape[1]
        points = np.concatenate([np.zeros((0, width), np.uint8), *own])
        found = self.closest(points, np.unique(self.slices.fingerprints, axis=0), threads)
        archive.set_selection(found.exemplar, found.measured)
        return self.facts(found)

    def facts(self, found: PointSelection) -> dict[str, Any]:
        """What is to be known of a selection, for the reduction's summary."""
        return {"target_slices": len(self.slices), "farthest_kept": found.threshold}
