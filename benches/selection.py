"""Selection over a whole data set of fingerprints: time and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

import ctprune
from benches import faiss_greedy
from benches.measure import Contender, Table, compare, number
from benches.settings import Settings
from benches.walks import Fingerprints, uniform, walks

_THRESHOLD = 6

#: FAISS takes minutes for the others; there its answer is compared on the first rows.
_WITH_FAISS = ("100,000 CT-like", "1 million CT-like")
_CHECKED = 20_000


def run(settings: Settings, threads: int) -> dict[str, Any]:
    faiss.omp_set_num_threads(threads)
    cases = {
        "100,000 CT-like": walks(100_000),
        "1 million CT-like": walks(1_000_000),
        "1 million uniform": uniform(1_000_000),
    }
    if settings.large:
        cases["10 million CT-like"] = walks(10_000_000)
    memory = Table("Peak memory of a process that selects", ["fingerprints", "MiB", "MiB before selecting"])
    tables = []
    for name, fingerprints in cases.items():
        tables.append(_table(name, fingerprints, settings, threads))
        _add_memory(memory, name, fingerprints, Path(settings.work))
    return {
        "input": "generated fingerprints of 64 bits; CT-like: volumes of 250–600, 0–3 bits flipped a step",
        "about": (
            "Goals on 2 threads: 0.2 s for 1 million, 6 s for 10 million, 5 s for 1 million uniform, in less "
            "than 2 GiB. FAISS: IndexBinaryMultiHash, 4 × 16 bits, one flip, in blocks of "
            f"{faiss_greedy.BLOCK}."
        ),
        "tables": [*tables, memory],
    }


def _table(name: str, fingerprints: Fingerprints, settings: Settings, threads: int) -> Table:
    found = ctprune.select_exemplars(fingerprints, threshold=_THRESHOLD)
    # What is kept of the first rows does not depend on later ones.
    _check(faiss_greedy.select(fingerprints[:_CHECKED], _THRESHOLD), found.exemplar[:_CHECKED])
    contenders = [
        Contender(
            name="ctprune.select_exemplars",
            run=lambda: ctprune.select_exemplars(fingerprints, threshold=_THRESHOLD),
            items=1,
            note=f"{100 * found.kept.mean():.1f} % kept",
        )
    ]
    if name in _WITH_FAISS:
        contenders.append(
            Contender(
                name="FAISS IndexBinaryMultiHash",
                run=lambda: _check(faiss_greedy.select(fingerprints, _THRESHOLD), found.exemplar),
                items=1,
                note="the same exemplars",
                loops=1,
                rounds=3,
            )
        )
    title = f"{name}, threshold {_THRESHOLD}, {threads} threads"
    return compare(title, contenders, rounds=settings.rounds, unit="s")


def _check(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> None:
    if not np.array_equal(one, other):
        raise AssertionError("FAISS and ctprune find other exemplars")


def _add_memory(table: Table, name: str, fingerprints: Fingerprints, work: Path) -> None:
    file = work / "fingerprints.npy"
    np.save(file, fingerprints)
    command = [sys.executable, "-m", "benches.peak_memory", str(file), str(_THRESHOLD)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, peak = (int(text) / 1024 for text in done.stdout.split())
    table.rows.append([name, number(peak), number(before)])
    table.raw.append({"fingerprints": name, "peak_mib": peak, "before_mib": before})
