"""Reductions by retrieval: keep the slices that are closest to those of another run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.embedding.embeddings import COLUMNS, KnownEmbeddings, known_embeddings
from ctprune.errors import ConfigError, StoreError
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.manifest.manifest import batches as manifest_batches
from ctprune.manifest.slices import Slices
from ctprune.selection.methods import method_of
from ctprune.selection.points import PointSelection, retrieve_points

_ROWS_TOGETHER = 1 << 16

#: Options that decide a fingerprint.
_DECIDING = ("fingerprint", "hash_size", "intensity")


class Target:
    """The target: slices of a run, kept and dropped, with only the data that is compared.

    Args:
        run: Folder, manifest file or address of the target's reduction.
        config: Options of the reduction that compares with the target, as in its manifest.
        weights_sha256: SHA-256 of the weights whose embeddings are compared; None compares fingerprints.

    Attributes:
        digest: `Manifest.digest()` of the target's reduction.

    Raises:
        ManifestError: There is no manifest.
        ConfigError: The run has no slice, its fingerprints were made differently, or no slice has an embedding by
            that network.
        StoreError: The embeddings are damaged.
    """

    def __init__(
        self, run: str | os.PathLike[str], config: Mapping[str, Any], weights_sha256: str | None = None
    ) -> None:
        self._run = run
        self._config = config
        manifest = Manifest.load(run)
        for name in _DECIDING:
            own, other = config[name], manifest.config[name]
            if own != other:
                raise ConfigError(
                    f"target {run}: expected a reduction with `{name}` {own}, found {other}: reduce both with "
                    "the same options",
                    field="target",
                )
        slices = manifest.slices()
        if not len(slices):
            raise ConfigError(f"target {run}: expected a reduction with slices, found none", field="target")
        self.digest = manifest.digest()
        self._facts: dict[str, Any] = {"target_slices": len(slices), "target_digest": self.digest}
        self._points: npt.NDArray[Any]
        if weights_sha256 is None:
            self._points = np.unique(slices.fingerprints, axis=0)
        else:
            found = self._embeddings(slices, weights_sha256)
            self._facts["target_not_embedded"] = int((~found.known).sum())
            self._points = found.embeddings if found.known.all() else found.embeddings[found.known]

    def _embeddings(self, slices: Slices, weights_sha256: str) -> KnownEmbeddings:
        found = embeddings_of(slices, manifest_path(self._run).parent)
        what = ""
        if found is None or not found.known.any():
            what = "none"
        elif found.weights_sha256 != weights_sha256:
            what = "those of other weights"
        if found is None or what:
            raise ConfigError(
                f"target {self._run}: expected embeddings by the same network, found {what}: reduce it with "
                "`method` deep and the same `weights` first",
                field="target",
            )
        return found

    def closest(self, points: npt.NDArray[Any], threads: int) -> PointSelection:
        """The points closest to the target, as many as the options ask for."""
        keep, budget = self._config["keep"], self._config["budget"]
        return retrieve_points(points, self._points, keep=keep, budget=budget, threads=threads)

    def select_by_fingerprints(self, archive: _core.Archive, threads: int) -> dict[str, Any]:
        """Select among the grouped slices of `archive`; returns the facts for the summary."""
        starts = archive.volume_starts()
        slices = starts[-1] if starts else 0
        batches = manifest_batches(archive, slices, size=_ROWS_TOGETHER)
        own = [np.asarray(rows["fingerprint"], np.uint8) for rows in batches]
        points = np.concatenate([np.zeros((0, self._points.shape[1]), np.uint8), *own])
        found = self.closest(points, threads)
        archive.set_selection(found.exemplar, found.measured)
        return self.facts(found)

    def facts(self, found: PointSelection) -> dict[str, Any]:
        """Facts about a selection, for the reduction's summary."""
        return self._facts | {"farthest_kept": found.threshold}


def embeddings_of(slices: Slices, folder: Path) -> KnownEmbeddings | None:
    """The saved embeddings of the run in this folder; None if there are none.

    Raises:
        StoreError: The embeddings are damaged.
    """
    return known_embeddings(partial(slices.dicts, COLUMNS), slices.config, out=folder)


def retrieved_again(
    slices: Slices, summary: Mapping[str, Any], folder: Path, threads: int
) -> npt.NDArray[np.bool_]:
    """Which slices of a finished run are to be kept by its target, bool of shape (n,).

    Args:
        slices: The run's slices.
        summary: The run's summary.
        folder: The run's folder.
        threads: Number of threads, 0 for one per core.

    Raises:
        CtpruneError: The target or the embeddings are gone, or are not those of the selection.
    """
    config = slices.config
    if method_of(config).compares == "fingerprints":
        points: npt.NDArray[Any] = slices.fingerprints
        weights = None
    else:
        found = embeddings_of(slices, folder)
        weights = summary.get("embeddings", {}).get("weights_sha256")
        if found is None or found.weights_sha256 != weights:
            raise StoreError("the embeddings that it was made by are gone: run 'ctprune reduce' again")
        points = found.embeddings
    target = Target(config["target"], config, weights)
    if target.digest != summary.get("retrieval", {}).get("target_digest"):
        raise ConfigError(f"target {config['target']}: it has changed since: run 'ctprune reduce' again")
    return target.closest(points, threads).kept
