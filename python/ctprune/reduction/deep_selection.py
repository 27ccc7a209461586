"""The method `deep` of a reduction: embed the grouped slices and select by cosine similarity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctprune import _core
from ctprune.embedding.embedder import Embedder
from ctprune.embedding.embeddings import COLUMNS, Embedded, Lines, embed_slices
from ctprune.environment.progress import Count
from ctprune.manifest.manifest import batches as manifest_batches
from ctprune.reduction.config import ReduceConfig
from ctprune.selection.cosine import cosine_exemplars


class DeepSelection:
    """One selection by embeddings.

    Attributes:
        threshold: The cosine similarity that was used; None until it was selected.
    """

    def __init__(self, config: ReduceConfig, *, download: bool, threads: int) -> None:
        self.threshold: float | None = None
        self._config = config
        self._threads = threads
        self._embedder = Embedder(config.weights, download=download)
        self._done: Embedded | None = None

    def select(self, archive: _core.Archive, out: Path | None, progress: Count) -> None:
        """Choose among the grouped slices of `archive`; embeddings are kept in `out`."""
        starts = archive.volume_starts()
        slices = starts[-1] if starts else 0

        def batches(size: int) -> Iterator[Lines]:
            for rows in manifest_batches(archive, slices, size=size):
                yield rows.select(list(COLUMNS)).to_dicts()

        self._done = embed_slices(
            batches,
            self._embedder,
            self._config.to_dict(),
            out=out,
            threads=self._threads,
            progress=progress,
        )
        selection = cosine_exemplars(
            self._done.embeddings,
            threshold=self._config.threshold,
            keep=self._config.keep,
            starts=starts if self._config.scope == "volume" and slices else [0, slices],
            threads=self._threads,
        )
        self.threshold = selection.threshold
        archive.set_selection(selection.exemplar, selection.similarity)

    def summary(self) -> dict[str, Any]:
        """What is known of the embeddings, for the run's summary."""
        done, embedder = self._done, self._embedder
        if done is None:
            return {}
        return {
            "weights_sha256": embedder.digest,
            "features": embedder.features,
            "device": str(embedder.device),
            "slices_embedded": done.made,
            "slices_reused": done.reused,
            "not_embedded_so_kept": dict(done.left_out),
            "slices_per_second": round(done.made / embedder.seconds, 1) if done.made else None,
        }
