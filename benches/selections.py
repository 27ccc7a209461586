"""Selections beyond the paper among embeddings of 384 float16: time and memory, beside libraries for the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from apricot import FacilityLocationSelection
from sklearn.cluster import MiniBatchKMeans

from benches.measure import Contender, Table, compare, number
from benches.settings import Settings
from ctprune.selection.points import select_points

_FEATURES = 384
_KINDS = 2000

#: Farthest first and facility location grow faster than the others: they are timed on the first rows.
_KCENTER_ROWS, _KCENTER_KEPT = 100_000, 1000
_FACILITY_ROWS, _FACILITY_KEPT = 10_000, 1000

#: How often `balanced` clusters the rows nearest to its centroids anew, at each level.
_RESAMPLED = 2

Embeddings = npt.NDArray[np.float16]


def run(settings: Settings, threads: int) -> dict[str, Any]:
    faiss.omp_set_num_threads(threads)
    sizes = {"100,000": 100_000, "1 million": 1_000_000}
    if settings.large:
        sizes["10 million"] = 10_000_000
    tables = []
    memory = Table(
        "Peak memory of a process that selects", ["embeddings", "method", "MiB", "MiB before selecting"]
    )
    for name, rows in sizes.items():
        file = Path(settings.work, "embeddings.npy")
        _write(file, rows)
        embeddings: Embeddings = np.load(file, mmap_mode="r")
        tables += _clusters(name, embeddings, threads)
        if rows == _KCENTER_ROWS:
            tables += [
                _kcenter(embeddings[:_KCENTER_ROWS], threads),
                _facility(embeddings[:_FACILITY_ROWS], threads),
            ]
        for method in ("balanced", "semdedup"):
            _add_memory(memory, name, method, file)
    return {
        "input": f"generated embeddings of {_FEATURES} float16 around {_KINDS} directions, some far more common",
        "about": "Files are mapped into memory. FAISS: spherical Kmeans on at most 256 rows for each cluster, as "
        "ctprune; it holds all rows as float32. scikit-learn: MiniBatchKMeans.",
        "tables": [*tables, memory],
    }


def _write(file: Path, rows: int) -> None:
    """Embeddings, a block at a time."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(_KINDS, _FEATURES)).astype(np.float32)
    out = np.lib.format.open_memmap(file, "w+", np.float16, (rows, _FEATURES))
    for first in range(0, rows, 1 << 16):
        count = min(1 << 16, rows - first)
        kind = (_KINDS * rng.random(count) ** 3).astype(int)
        noisy = centers[kind] + rng.normal(0, 0.4, (count, _FEATURES)).astype(np.float32)
        out[first : first + count] = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    out.flush()


def _clusters(name: str, embeddings: Embeddings, threads: int) -> list[Table]:
    clusters = int(np.ceil(np.sqrt(len(embeddings))))

    def contender(title: str, run: Callable[[], object], note: str = "") -> Contender:
        return Contender(name=title, run=run, items=1, loops=1, note=note)

    def mini_batches() -> npt.NDArray[np.int64]:
        rows = np.asarray(embeddings, np.float32)
        found: npt.NDArray[np.int64] = MiniBatchKMeans(clusters, random_state=0, n_init=1).fit_predict(rows)
        return found

    about = f"{name} embeddings, {clusters:,} clusters, 10 % kept, {threads} threads"
    balanced = [
        contender("ctprune balanced", _choose(embeddings, "balanced", threads, keep=0.1)),
        contender("FAISS, the same levels and rounds", lambda: _faiss_levels(embeddings, clusters)),
    ]
    once = [
        contender("ctprune semdedup", _choose(embeddings, "semdedup", threads, keep=0.1), "exemplars, too"),
        contender("FAISS Kmeans and assignment", lambda: _faiss(embeddings, clusters)),
    ]
    if len(embeddings) <= _KCENTER_ROWS:
        once.append(contender("scikit-learn MiniBatchKMeans", mini_batches, "another algorithm"))
    return [
        compare(f"{about}: {what}", those, rounds=1, unit="s")
        for what, those in (("balanced", balanced), ("clustered once", once))
    ]


def _faiss(embeddings: Embeddings, clusters: int) -> npt.NDArray[np.int64]:
    rows = np.asarray(embeddings, np.float32)
    found: npt.NDArray[np.int64] = _trained(rows, clusters).index.search(rows, 1)[1][:, 0]
    return found


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
    return np.sort(order[ranks < min(max(len(order) // (2 * clusters), 1), 256)])


def _trained(rows: npt.NDArray[np.float32], clusters: int) -> Any:
    kmeans = faiss.Kmeans(
        _FEATURES,
        clusters,
        niter=20,
        spherical=True,
        seed=0,
        min_points_per_centroid=1,
        max_points_per_centroid=256,
    )
    kmeans.train(rows)
    return kmeans


def _choose(embeddings: Embeddings, method: str, threads: int, **options: Any) -> Any:
    return lambda: select_points(embeddings, method, threads=threads, **options)


def _kcenter(embeddings: Embeddings, threads: int) -> Table:
    def plain() -> npt.NDArray[np.bool_]:
        """Farthest first with one matrix product for each kept row."""
        rows = np.asarray(embeddings, np.float32)
        closest = np.full(len(rows), -np.inf, np.float32)
        kept, new = np.zeros(len(rows), np.bool_), 0
        for _ in range(_KCENTER_KEPT):
            kept[new] = True
            closest = np.maximum(closest, rows @ rows[new])
            new = int(np.where(kept, np.inf, closest).argmin())
        return kept

    contenders = [
        Contender(
            name="ctprune kcenter",
            run=_choose(embeddings, "kcenter", threads, budget=_KCENTER_KEPT),
            items=1,
            loops=1,
        ),
        Contender(name="numpy, farthest first", run=plain, items=1, loops=1, note="float32"),
    ]
    title = f"{len(embeddings):,} embeddings, {_KCENTER_KEPT:,} kept, {threads} threads"
    return compare(title, contenders, rounds=1, unit="s")


def _facility(embeddings: Embeddings, threads: int) -> Table:
    rows = np.asarray(embeddings, np.float64)

    def plain() -> npt.NDArray[np.int64]:
        model = FacilityLocationSelection(_FACILITY_KEPT, metric="cosine", optimizer="lazy")
        found: npt.NDArray[np.int64] = model.fit(rows).ranking
        return found

    choose = _choose(embeddings, "facility", threads, budget=_FACILITY_KEPT)
    contenders = [
        Contender(name="ctprune facility", run=choose, items=1, loops=1, note="32 neighbors"),
        Contender(name="apricot FacilityLocationSelection", run=plain, items=1, loops=1, note="all pairs"),
    ]
    ours, theirs = _worth(rows, np.flatnonzero(choose().kept)), _worth(rows, plain())
    if ours < 0.98 * theirs:
        raise AssertionError(f"the sum of similarities is {ours:.1f}, apricot's {theirs:.1f}")
    title = f"{len(embeddings):,} embeddings, {_FACILITY_KEPT:,} kept, {threads} threads"
    table = compare(title, contenders, rounds=1, unit="s")
    table.notes.append(f"Sum of similarities to the nearest kept one: {ours / theirs:.4f} of apricot's.")
    return table


def _worth(rows: npt.NDArray[np.float64], kept: npt.NDArray[np.int64]) -> float:
    """Of all rows the similarity to the nearest kept one, summed."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return float((unit @ unit[kept].T).max(axis=1).sum())


def _add_memory(table: Table, name: str, method: str, file: Path) -> None:
    command = [sys.executable, "-m", "benches.peak_of_points", str(file), method]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, peak = (int(text) / 1024 for text in done.stdout.split())
    table.rows.append([name, method, number(peak), number(before)])
    table.raw.append({"embeddings": name, "method": method, "peak_mib": peak, "before_mib": before})
