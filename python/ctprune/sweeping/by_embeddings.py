"""Sweep of the method that compares embeddings: those beside the manifest, or made in one pass over the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ctprune.embedding.embeddings import COLUMNS, Embedded, embed_slices, kept_embeddings
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
        embedded, weights = embed(self, slices, operation)
        rows = []
        for done, threshold in enumerate(thresholds, 1):
            found = cosine_exemplars(
                embedded.embeddings, threshold=threshold, starts=slices.group_starts, threads=self.config.threads
            )
            rows.append(np.packbits(found.kept))
            operation.report(self.name, done, len(thresholds), "thresholds")
        return KeptSets(np.stack(rows), len(slices), embedded.left_out, {"weights_sha256": weights})


def embed(method: SweptMethod, slices: SweptSlices, operation: Operation) -> tuple[Embedded, str]:
    """The embeddings of all slices, and the SHA-256 of their network's weights."""
    config, wish = slices.manifest.config, method.config
    batches = partial(slices.dicts, COLUMNS)
    if wish.weights is None and not wish.download:
        # Those of the run's own network need neither torch nor a file.
        known = kept_embeddings(batches, config, out=slices.folder)
        if known is not None:
            return known
    embedder = _embedder(method, config["weights"])
    slices.check_files()
    embedded = embed_slices(
        batches,
        embedder,
        config,
        out=slices.folder,
        threads=wish.threads,
        progress=operation.counter(method.name, len(slices), "slices"),
    )
    return embedded, embedder.digest


def _embedder(method: SweptMethod, weights_of_run: str | None) -> Embedder:
    with extra("train", f"the method {method.name}"):
        from ctprune.embedding.embedder import Embedder
    weights = method.config.weights
    if weights is None and not method.config.download:
        weights = weights_of_run
    return Embedder(weights, download=method.config.download)
