"""Where the time of a reduction goes."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np

import ctprune
from benches import series
from benches.measure import Contender, Table, compare, number
from benches.published import STAGES, kept_slices
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.reduction import Reduction


def stages(folders: list[Path], pictures: Path, threads: int, rounds: int) -> Table:
    """Time per slice and stage of the published way and of ctprune, median of `rounds` runs."""
    table = Table("Stages", ["tool", "stage", "ms per slice"])
    found = _published(folders[0], pictures / "0")
    for count in dict.fromkeys((threads, 1)):
        found += _ctprune(folders, count, rounds)
    found.append(_in_memory(folders[0], threads, rounds))
    for tool, stage, seconds in found:
        table.rows.append([tool, stage, number(1000 * seconds)])
        table.raw.append({"tool": tool, "stage": stage, "seconds_per_slice": seconds})
    return table


def _published(folder: Path, pictures: Path) -> list[tuple[str, str, float]]:
    seconds = dict.fromkeys(STAGES, 0.0)
    kept_slices(folder, pictures, seconds)
    count = len(list(folder.iterdir()))
    return [("published way, 1 process", stage, time / count) for stage, time in seconds.items()]


def _ctprune(folders: list[Path], threads: int, rounds: int) -> list[tuple[str, str, float]]:
    runs = []
    for _ in range(rounds):
        reduction = Reduction(folders[0].parent, ReduceConfig(threads=threads))
        slices = len(reduction.carry_out())
        whole, reading = reduction.summary["seconds"], reduction.summary["reading_seconds"]
        runs.append((reading / slices, (whole - reading) / slices))
    tool = f"ctprune.reduce, {threads} thread{'s' * (threads > 1)}"
    reading, rest = (statistics.median(times) for times in zip(*runs, strict=True))
    return [(tool, "find, read, decode, fingerprint", reading), (tool, "group, select, manifest", rest)]


def _in_memory(folder: Path, threads: int, rounds: int) -> tuple[str, str, float]:
    stored = np.stack(list(series.stored_values(sorted(folder.iterdir()))))
    hashing = Contender(name="in memory", run=lambda: ctprune.dhash(stored), items=len(stored))
    seconds = compare("", [hashing], rounds=rounds, unit="slices").raw[0]["seconds"]
    tool = f"ctprune.dhash, {threads} thread{'s' * (threads > 1)}"
    return tool, "stored values in memory to fingerprint", statistics.median(seconds) / len(stored)
