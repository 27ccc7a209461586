"""Selections beyond the paper among embeddings of 384 float16: time and memory, beside libraries for the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from apricot import FacilityLocationSelection

from benches.measure import Contender, Table, compare, number
from benches.settings import Settings
from ctprune.selection.points import select_points

_FEATURES = 384
_KINDS = 2000

#: Farthest first and facility location grow faster than the others: they are timed on the first rows.
_KCENTER_ROWS, _KCENTER_KEPT = 100_000, 1000
_FACILITY_ROWS, _FACILITY_KEPT = 10_000, 1000

_ALL = 10_000_000

Embeddings = npt.NDArray[np.float16]


def run(settings: Settings, threads: int) -> dict[str, Any]:
    sizes = {"100,000": 100_000, "1 million": 1_000_000}
    if settings.large:
        sizes["10 million"] = 10_000_000
    tables = []
    for name, rows in sizes.items():
        file = Path(settings.work, "embeddings.npy")
        _write(file, rows)
        tables += _clusters(name, file, rows, threads)
        if rows == _KCENTER_ROWS:
            embeddings: Embeddings = np.load(file, mmap_mode="r")
            tables += [
                _kcenter(embeddings[:_KCENTER_ROWS], threads),
                _facility(embeddings[:_FACILITY_ROWS], threads),
            ]
    return {
        "input": f"generated embeddings of {_FEATURES} float16 around {_KINDS} directions, some far more common",
        "about": "Files are mapped into memory, and their pages count as a process's memory. FAISS: spherical "
        "Kmeans on at most 256 rows for each cluster, as ctprune; it holds all rows as float32. Its levels "
        "run up to 1 million. scikit-learn: MiniBatchKMeans.",
        "tables": tables,
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


#: What is run in a process of its own, first ours: title, name for `benches.clustered`, note, most embeddings.
_CLUSTERED = {
    "balanced": [
        ("ctprune balanced", "balanced", "", _ALL),
        ("FAISS, the same levels and rounds", "faiss-levels", "", 1_000_000),
    ],
    "clustered once": [
        ("ctprune semdedup", "semdedup", "exemplars, too", _ALL),
        ("FAISS Kmeans and assignment", "faiss", "", _ALL),
        ("scikit-learn MiniBatchKMeans", "mini-batches", "another algorithm", 100_000),
    ],
}


def _clusters(name: str, file: Path, rows: int, threads: int) -> list[Table]:
    clusters = int(np.ceil(np.sqrt(rows)))
    tables = []
    for what, tools in _CLUSTERED.items():
        title = f"{name} embeddings, {clusters:,} clusters, 10 % kept, {threads} threads: {what}"
        table = Table(title, ["tool", "seconds", "time ratio", "MiB", "MiB before", "note"])
        for tool, short, note, most in tools:
            if rows > most:
                continue
            command = [sys.executable, "-m", "benches.clustered", str(file), short, str(clusters), str(threads)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(f"  {rows:,} {tool}: {found['seconds']:.1f} s", file=sys.stderr)
            table.raw.append({"tool": tool, **found})
            ratio = found["seconds"] / table.raw[0]["seconds"]
            mib = [number(found[key] / 1024) for key in ("peak_kib", "before_kib")]
            table.rows.append([tool, number(found["seconds"]), number(ratio), *mib, note])
        tables.append(table)
    return tables


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
