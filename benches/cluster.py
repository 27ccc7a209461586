"""What limits many workers and hundreds of millions of slices: measured costs, put into a simulation of the run.

What a cluster does is simple: each worker takes a shard, lists all names, reads its files, and takes the next one.
The last step, the join, is one machine's. So four costs, measured here on this machine, and the storage that all
share decide; the rest is chance: slow machines, and shards that are begun again.
"""

from __future__ import annotations

import heapq
import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benches.measure import Table, number
from benches.memory import write_archive
from benches.settings import Settings
from ctprune.reduction.ray_tasks import SHARDS_PER_SLOT

#: Pixels of CT, and bytes of such a file, which the simulation takes.
_SIDE, _FILE_BYTES = 512, 528_000

#: Files of the archives that are measured: of CT's size to read, small ones to list and to join.
_READ, _LISTED, _JOINED = (400, 2400), (20_000, 100_000), (100_000, 400_000)

#: Slices and workers of the simulated runs.
_SLICES = (1_000_000, 20_000_000, 100_000_000, 500_000_000)
_WORKERS = (1, 10, 100, 400)

#: Bytes per second that the storage gives to all workers together: a disk array, a parallel file system, no limit.
_STORAGE = (1e9, 10e9, float("inf"))

#: How much machines differ, as the SD of the logarithm of their speed; how often an hour one is lost; what is lost
#: with it, in seconds, beside the listing.
_SPREAD, _LOST_PER_HOUR, _LOST_SECONDS = 0.15, 0.01, 40.0


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What one slice costs, in seconds of one core, but for the join, which takes this machine's cores.

    Attributes:
        listed: To see the name of a file, of any shard.
        read: To read and fingerprint it.
        joined: To take it over, select and write it.
        joined_bytes: Memory of the join.
    """

    listed: float
    read: float
    joined: float
    joined_bytes: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A simulated run, in seconds.

    Attributes:
        reading: Until the last shard is read.
        listing: Of that the share of a worker's time that went into listing.
        waiting: … and into waiting for the storage.
        joining: The join.
        lost: Shards that were begun again.
    """

    reading: float
    listing: float
    waiting: float
    joining: float
    lost: int


def simulate(slices: int, workers: int, costs: Costs, *, storage: float, seed: int = 0) -> Outcome:
    """A run of so many workers with a core each.

    >>> costs = Costs(listed=0, read=1e-3, joined=0, joined_bytes=0)
    >>> one, ten = (simulate(10**6, n, costs, storage=1e12).reading for n in (1, 10))
    >>> 8 < one / ten < 11
    True
    """
    chance = random.Random(f"{seed} {slices} {workers}")
    shards = SHARDS_PER_SLOT * workers
    each = slices / shards
    # All read at the same time: what one gets of the storage.
    fastest = _FILE_BYTES * workers / storage
    slowness = [chance.lognormvariate(0, _SPREAD) for _ in range(workers)]
    free = [(0.0, worker) for worker in range(workers)]
    listing = waiting = end = 0.0
    lost = 0
    left = shards
    while left:
        now, worker = heapq.heappop(free)
        list_seconds = slices * costs.listed * slowness[worker]
        read_seconds = each * max(costs.read * slowness[worker], fastest)
        took = list_seconds + read_seconds
        if chance.random() < _LOST_PER_HOUR * took / 3600:
            # What was read is in parts: another one lists again and continues.
            lost += 1
            took += list_seconds + _LOST_SECONDS
            listing += list_seconds
        listing += list_seconds
        waiting += each * max(0.0, fastest - costs.read * slowness[worker])
        left -= 1
        end = max(end, now + took)
        heapq.heappush(free, (now + took, worker))
    total = end * workers
    return Outcome(
        reading=end,
        listing=listing / total,
        waiting=waiting / total,
        joining=slices * costs.joined,
        lost=lost,
    )


def run(settings: Settings, threads: int) -> dict[str, Any]:
    work = Path(settings.work)
    costs = _measured(work, threads, settings)
    measured = Table("Measured: one slice", ["what", "costs"])
    measured.raw.append(vars(costs))
    for name, seconds in (
        ("listing a name of another shard", costs.listed),
        ("reading and fingerprinting, one core", costs.read),
        (f"joining, {threads} cores", costs.joined),
    ):
        measured.rows.append([name, f"{number(seconds * 1e6)} µs"])
    measured.rows.append(["memory of the join", f"{number(costs.joined_bytes)} bytes"])
    return {
        "input": f"generated DICOM files of {_SIDE} × {_SIDE} pixels to read, of 8 × 8 to list and to join, in "
        "the page cache",
        "about": "Hash method. *Simulated* rows were not run: the measured costs are put into a model of the run. "
        f"Each worker has one core and {SHARDS_PER_SLOT} shards, machines differ by {_SPREAD:.0%}, "
        f"{_LOST_PER_HOUR:.0%} of them are lost in an hour, and a file has {_FILE_BYTES:,} bytes. *Listing* and "
        "*storage* are shares of the workers' time.",
        "tables": [measured, *(_simulated(costs, storage) for storage in _STORAGE)],
    }


def _simulated(costs: Costs, storage: float) -> Table:
    given = "no limit" if storage == float("inf") else f"{storage / 1e9:g} GB/s"
    table = Table(
        f"Simulated: storage that gives {given}",
        ["slices", "workers", "reading, h", "listing", "storage", "join, h", "memory of the join, GB"],
    )
    for slices in _SLICES:
        for workers in _WORKERS:
            found = simulate(slices, workers, costs, storage=storage)
            table.raw.append({"slices": slices, "workers": workers, **vars(found)})
            table.rows.append(
                [
                    f"{slices:,}",
                    str(workers),
                    number(found.reading / 3600),
                    f"{found.listing:.0%}",
                    f"{found.waiting:.0%}",
                    number(found.joining / 3600),
                    number(slices * costs.joined_bytes / 1e9),
                ]
            )
    return table


def _measured(work: Path, threads: int, settings: Settings) -> Costs:
    """Each cost from two sizes: what a start takes is not a slice's."""
    folder, out = work / "cluster", work / "cluster-run"

    def fastest(function: str, *options: str) -> float:
        return min(_seconds(function, folder, *options) for _ in range(settings.rounds))

    found: dict[str, list[float]] = {"read": [], "listed": [], "joined": [], "joined_bytes": []}
    for count in _READ:
        write_archive(folder, count, _SIDE)
        found["read"].append(fastest("ctprune.reduce", "threads=1"))
        shutil.rmtree(folder)
    for count in _LISTED:
        write_archive(folder, count, 8)
        found["listed"].append(fastest("ctprune.read_shard", f"shard='1/10000', out={str(out)!r}"))
        shutil.rmtree(folder)
        shutil.rmtree(out)
    for count in _JOINED:
        write_archive(folder, count, 8)
        for shard in ("1/2", "2/2"):
            _seconds("ctprune.read_shard", folder, f"shard={shard!r}, out={str(out)!r}")
        seconds, peak = _join(folder, out, threads)
        found["joined"].append(seconds)
        found["joined_bytes"].append(peak)
        shutil.rmtree(folder)
        shutil.rmtree(out)
    sizes = {"read": _READ, "listed": _LISTED, "joined": _JOINED, "joined_bytes": _JOINED}
    slopes = {name: (values[1] - values[0]) / (sizes[name][1] - sizes[name][0]) for name, values in found.items()}
    if min(slopes.values()) <= 0:
        raise AssertionError(f"a slice costs something: {slopes}")
    return Costs(**slopes)


def _seconds(function: str, folder: Path, *options: str) -> float:
    """Seconds of a call in a process of its own, without its start."""
    program = (
        "import time, ctprune, numpy\nstart = time.perf_counter()\n"
        f"{function}({str(folder)!r}, {', '.join(options)})\nprint(time.perf_counter() - start)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _join(folder: Path, out: Path, threads: int) -> tuple[float, int]:
    """Seconds and peak memory of the join of shards that are read."""
    command = [sys.executable, "-m", "benches.memory", "reduce", str(folder), "--out", str(out), "--json"]
    start = time.perf_counter()
    done = subprocess.run([*command, "--threads", str(threads)], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    *lines, peak = done.stdout.splitlines()
    if json.loads("\n".join(lines))["result"]["files_read"]:
        raise AssertionError("the join read files that shards had read")
    return seconds, 1024 * int(peak)
