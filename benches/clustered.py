"""Select or cluster embeddings in a file with one tool, and print its seconds and peak memory.

Run as `python -m benches.clustered FILE TOOL CLUSTERS THREADS`, a process for each, whose peak is then its own.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benches.peak_memory import peak_kib

#: How often `balanced` clusters the rows nearest to its centroids anew, at each level.
_RESAMPLED = 2

#: Rows that k-means takes for each cluster, and its rounds: as ctprune's.
_ROWS_PER_CLUSTER, _ROUNDS = 256, 20

Embeddings = npt.NDArray[np.float16]
_Tool = Callable[[Embeddings, int], object]


def _ctprune(method: str, threads: int) -> _Tool:
    from ctprune.selection.points import select_points

    return lambda embeddings, clusters: select_points(
        embeddings, method, keep=0.1, clusters=clusters, threads=threads
    )


def _faiss(embeddings: Embeddings, clusters: int) -> None:
    rows = np.asarray(embeddings, np.float32)
    _trained(rows, clusters).index.search(rows, 1)


def _faiss_levels(embeddings: Embeddings, clusters: int) -> None:
    """What `balanced` clusters, level by level, without the sample that it draws from them."""
    rows = np.asarray(embeddings, np.float32)
    for count in (clusters, -(-clusters // 8), -(-clusters // 64)):
        kmeans = _trained(rows, count)
        for _ in range(_RESAMPLED):
            similarity, found = (array[:, 0] for array in kmeans.index.search(rows, 1))
            kmeans = _trained(rows[_nearest(similarity, found, count)], count)
        kmeans.index.search(rows, 1)
        rows = kmeans.centroids


def _nearest(similarity: npt.NDArray[np.float32], found: npt.NDArray[np.int64], clusters: int) -> Any:
    """Of each cluster the rows that are nearest to its centroid, half as many as clusters have on average."""
    order = np.lexsort((-similarity, found))
    grouped = found[order]
    ranks = np.arange(len(order)) - np.searchsorted(grouped, grouped)
    return np.sort(order[ranks < min(max(len(order) // (2 * clusters), 1), _ROWS_PER_CLUSTER)])


def _trained(rows: npt.NDArray[np.float32], clusters: int) -> Any:
    import faiss

    kmeans = faiss.Kmeans(
        rows.shape[1],
        clusters,
        niter=_ROUNDS,
        spherical=True,
        seed=0,
        min_points_per_centroid=1,
        max_points_per_centroid=_ROWS_PER_CLUSTER,
    )
    kmeans.train(rows)
    return kmeans


def _mini_batches(embeddings: Embeddings, clusters: int) -> None:
    from sklearn.cluster import MiniBatchKMeans

    MiniBatchKMeans(clusters, random_state=0, n_init=1).fit_predict(np.asarray(embeddings, np.float32))


def _tool(name: str, threads: int) -> _Tool:
    """The named tool, with its library loaded: that is no part of its time."""
    if name in ("balanced", "semdedup"):
        return _ctprune(name, threads)
    if name == "mini-batches":
        import sklearn.cluster  # noqa: F401

        return _mini_batches
    import faiss

    faiss.omp_set_num_threads(threads)
    return {"faiss": _faiss, "faiss-levels": _faiss_levels}[name]


def main(file: str, name: str, clusters: int, threads: int) -> None:
    embeddings: Embeddings = np.load(file, mmap_mode="r")
    call = functools.partial(_tool(name, threads), embeddings, clusters)
    before = peak_kib()
    start = time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "before_kib": before, "peak_kib": peak_kib()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
