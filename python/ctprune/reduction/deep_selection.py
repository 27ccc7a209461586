"""Reductions by embeddings: embed the grouped slices and select among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.embedding.embedder import Embedder
from ctprune.embedding.embeddings import COLUMNS, Embedded, Lines, embed_slices
from ctprune.environment.progress import Count
from ctprune.manifest.manifest import batches as manifest_batches
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.retrieving import Target
from ctprune.selection.cosine import CosineSelection, cosine_exemplars
from ctprune.selection.points import select_points

_ROWS_TOGETHER = 1 << 16


class DeepSelection:
    """One selection by embeddings.

    Attributes:
        threshold: The cosine similarity that was used; None before the selection.
        retrieved: Facts about a selection by a target; None for others.
    """

    def __init__(self, config: ReduceConfig, *, download: bool, threads: int) -> None:
        self.threshold: float | None = None
        self.retrieved: dict[str, Any] | None = None
        self._config = config
        self._threads = threads
        self._embedder = Embedder(config.weights, download=download)
        self._done: Embedded | None = None
        self._target: Target | None = None
        if config.target is not None:
            # Loaded before hours of reading, since it may not fit.
            self._target = Target(config.target, config.to_dict(), self._embedder.digest)

    def embed(
        self, batches: Callable[[int], Iterator[_core.Rows]], out: Path | None, progress: Count = lambda done: None
    ) -> Embedded:
        """Embed slices, given in batches of a number of rows; embeddings are saved in `out`."""

        def lines(size: int) -> Iterator[Lines]:
            return (rows.select(list(COLUMNS)).to_dicts() for rows in batches(size))

        self._done = embed_slices(
            lines,
            self._embedder,
            self._config.to_dict(),
            out=out,
            threads=self._threads,
            progress=progress,
        )
        return self._done

    def select(self, archive: _core.Archive, out: Path | None, progress: Count) -> None:
        """Select among the grouped slices of `archive`; embeddings are saved in `out`."""
        starts = archive.volume_starts()
        slices = starts[-1] if starts else 0
        done = self.embed(lambda size: manifest_batches(archive, slices, size=size), out, progress)
        groups = starts if self._config.scope == "volume" and slices else [0, slices]
        if self._target is not None:
            found = self._target.closest(done.embeddings, self._threads)
            archive.set_selection(found.exemplar, found.measured)
            self.retrieved = self._target.facts(found)
            return
        if self._config.on_features.by_points:
            self._take(archive, self._select_points(done.embeddings, groups))
            return
        ahead = archive.kept_before() if self._config.stable else None
        positions = None
        if self._config.max_gap_mm is not None:
            rows = manifest_batches(archive, slices, size=_ROWS_TOGETHER)
            positions = np.concatenate([np.asarray(some["position_mm"], np.float64) for some in rows])
        selection = self._exemplars(done.embeddings, groups, positions, ahead)
        if ahead is not None and not np.array_equal(selection.kept, ahead):
            # New slices are kept, too: the exemplar is the first kept slice in order.
            selection = self._exemplars(done.embeddings, groups, positions, selection.kept)
        self._take(archive, selection)

    def _take(self, archive: _core.Archive, selection: CosineSelection) -> None:
        self.threshold = selection.threshold
        archive.set_selection(selection.exemplar, selection.similarity)

    def _select_points(self, embeddings: npt.NDArray[np.float16], groups: list[int]) -> CosineSelection:
        config = self._config
        found = select_points(
            embeddings,
            config.method,
            threshold=config.threshold,
            keep=config.keep,
            budget=config.budget,
            seed=config.seed,
            clusters=config.clusters,
            starts=groups,
            threads=self._threads,
        )
        return CosineSelection(found.exemplar, found.measured, found.threshold)

    def _exemplars(
        self,
        embeddings: npt.NDArray[np.float16],
        groups: list[int],
        positions: npt.NDArray[np.float64] | None,
        ahead: npt.NDArray[np.bool_] | None,
    ) -> CosineSelection:
        """The selection, with the slices that are `ahead`, if any, first in their groups."""
        walk = None
        if ahead is not None:
            group = np.repeat(np.arange(len(groups) - 1), np.diff(groups))
            walk = np.lexsort((~ahead, group)).astype(np.uint32)
            embeddings = embeddings[walk]
            positions = None if positions is None else positions[walk]
        found = cosine_exemplars(
            embeddings,
            threshold=self._config.threshold,
            keep=_fraction(self._config, len(embeddings)),
            starts=groups,
            position_mm=positions,
            max_gap_mm=self._config.max_gap_mm,
            threads=self._threads,
        )
        if walk is None:
            return found
        exemplar, similarity = np.empty_like(found.exemplar), np.empty_like(found.similarity)
        exemplar[walk], similarity[walk] = walk[found.exemplar], found.similarity
        return CosineSelection(exemplar, similarity, found.threshold)

    def summary(self) -> dict[str, Any]:
        """Facts about the embeddings, for the reduction's summary."""
        done, embedder = self._done, self._embedder
        if done is None:
            return {}
        return {
            "weights_sha256": embedder.digest,
            "features": embedder.features,
            "device": str(embedder.device),
            "slices_embedded": done.made,
            "slices_reused": done.reused,
            "not_embedded": dict(done.left_out),
            "slices_per_second": round(done.made / embedder.seconds, 1) if done.made else None,
        }


def _fraction(config: ReduceConfig, slices: int) -> float | None:
    """The fraction to keep of this many slices; None if a threshold was given."""
    if config.budget is None:
        return config.keep
    return min(config.budget, slices) / slices if slices else 1.0
