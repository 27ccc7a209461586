"""Sweep of the method that compares embeddings: those beside the manifest, or made in one pass over the pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ctprune.embedding.embeddings import COLUMNS, Embedded, Lines, embed_slices, kept_embeddings
from ctprune.environment.extras import extra
from ctprune.environment.progress import Operation
from ctprune.selection.cosine import cosine_exemplars
from ctprune.sweeping.method import KeptSets, SweptMethod
from ctprune.sweeping.slices import SweptSlices

if TYPE_CHECKING:
    from ctprune.embedding.embedder import Embedder


class EmbeddingSweep(SweptMethod):
    """Cosines of embeddings."""

    def keep(self, slices: SweptSlices, thresholds: Sequence[float], operation: Operation) -> KeptSets:
        """One pass for embeddings that are not there, then one selection per cosine."""
        embedded, weights = self._embed(slices, operation)
        rows = []
        for done, threshold in enumerate(thresholds, 1):
            found = cosine_exemplars(
                embedded.embeddings, threshold=threshold, starts=slices.group_starts, threads=self.config.threads
            )
            rows.append(np.packbits(found.kept))
            operation.report(self.name, done, len(thresholds), "thresholds")
        return KeptSets(np.stack(rows), len(slices), embedded.left_out, {"weights_sha256": weights})

    def _embed(self, slices: SweptSlices, operation: Operation) -> tuple[Embedded, str]:
        config = slices.manifest.config

        def batches(size: int) -> Iterator[Lines]:
            return slices.dicts(COLUMNS, size)

        if self.config.weights is None and not self.config.download:
            # Those of the reduction's own network need neither torch nor a file.
            known = kept_embeddings(batches, config, out=slices.folder)
            if known is not None:
                return known
        embedder = self._embedder(config["weights"])
        slices.check_files()
        embedded = embed_slices(
            batches,
            embedder,
            config,
            out=slices.folder,
            threads=self.config.threads,
            progress=operation.counter(self.name, len(slices), "slices"),
        )
        return embedded, embedder.digest

    def _embedder(self, weights_of_run: str | None) -> Embedder:
        with extra("train", "the method deep"):
            from ctprune.embedding.embedder import Embedder
        weights = self.config.weights
        if weights is None and not self.config.download:
            weights = weights_of_run
        return Embedder(weights, download=self.config.download)
