"""Sweep of the method `deep`: embeddings are those beside the manifest, or made in one pass over the pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ctprune.embedding.embeddings import COLUMNS, Embedded, Lines, embed_slices, kept_embeddings
from ctprune.selection.cosine import cosine_exemplars
from ctprune.sweeping.method import KeptSets, SweptMethod, Ticks
from ctprune.sweeping.slices import SweptSlices

if TYPE_CHECKING:
    from ctprune.embedding.embedder import Embedder

#: As for `--keep`: angles of 0 and 90 × 2^(−j / 16) degrees.
_STEPS, _HALVINGS = 16, 8


class DeepSweep(SweptMethod):
    """Cosines of embeddings."""

    name = "deep"
    measure = "smallest cosine similarity"
    strict_first = -1

    def default_thresholds(self, slices: SweptSlices) -> Sequence[float]:
        """The cosines among which `--keep` chooses."""
        degrees = [90.0 * 2 ** (-j / _STEPS) for j in range(1, _STEPS * _HALVINGS + 1)]
        return [0.0, *(math.cos(math.radians(angle)) for angle in degrees), 1.0]

    def expected(self, threshold: float, slices: SweptSlices) -> str | None:
        """A cosine."""
        return None if -1 <= threshold <= 1 else "a cosine similarity, -1 to 1"

    def keep(self, slices: SweptSlices, thresholds: Sequence[float], ticks: Ticks) -> KeptSets:
        """One pass for embeddings that are not there, then one selection per cosine."""
        embedded, weights = self._embed(slices, ticks)
        rows = []
        for done, threshold in enumerate(thresholds, 1):
            found = cosine_exemplars(
                embedded.embeddings, threshold=threshold, starts=slices.starts, threads=self.options.threads
            )
            rows.append(np.packbits(found.kept))
            ticks(done, len(thresholds))
        return KeptSets(np.stack(rows), len(slices), embedded.left_out, {"weights_sha256": weights})

    def _embed(self, slices: SweptSlices, ticks: Ticks) -> tuple[Embedded, str]:
        config = slices.manifest.config

        def batches(size: int) -> Iterator[Lines]:
            return slices.lines(list(COLUMNS), size)

        if self.options.weights is None and not self.options.download:
            # Those of the run's own network need neither torch nor a file.
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
            threads=self.options.threads,
            progress=lambda done: ticks(done, len(slices)),
        )
        return embedded, embedder.digest

    def _embedder(self, weights_of_run: str | None) -> Embedder:
        from ctprune.embedding.embedder import Embedder

        weights = self.options.weights
        if weights is None and not self.options.download:
            weights = weights_of_run
        return Embedder(weights, download=self.options.download)
