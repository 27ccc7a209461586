"""Archives from small to large, wherever they lie: time and memory must grow with the number of slices, no faster.

The files are small (64 × 64), so that what is measured is what each file costs, not its pixels.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benches.measure import Table, number
from benches.memory import write_archive, write_multi_frame
from benches.settings import Settings

_SIDE = 64

_COUNTS, _LARGE = (10_000, 30_000, 100_000), (1_000_000,)

#: Files of a zip.
_PER_ZIP = 4_000

#: Slices that one process, several shards and a cluster read; of large archives more, so that starts count less.
_ENGINES_READ, _ENGINES_READ_LARGE = 100_000, 1_000_000

#: Frames of the multi-frame files that are joined, and shards.
_FRAMES, _SHARDS = 400, 100

_READ_SHARD = """
import sys
import ctprune
ctprune.read_shard(sys.argv[1], shard=sys.argv[2], out=sys.argv[3])
"""

_CLUSTER = """
import os, sys
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
import ray
ray.init(
    address="local",
    num_cpus=int(sys.argv[1]),
    include_dashboard=False,
    object_store_memory=100 << 20,
    _node_ip_address="127.0.0.1",
)
print("address", ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""

_Reduced = tuple[float, int, bytes]


def run(settings: Settings, threads: int) -> dict[str, Any]:
    work = Path(settings.work)
    counts = _COUNTS + (_LARGE if settings.large else ())
    tables = [
        _growth("Files in folders", work, counts, lambda folder: _here(folder)),
        _growth("The same in zips", work, counts, _zipped),
        _growth("… and in an S3 server on the same cores", work, counts, _stored),
        _engines(work, threads, _ENGINES_READ_LARGE if settings.large else _ENGINES_READ),
        _join(work, settings),
    ]
    return {
        "input": f"generated DICOM files of {_SIDE} × {_SIDE} pixels, one slice each, in the page cache",
        "about": f"Hash method, {threads} threads. Goals: the same number of slices per second and of bytes per "
        "slice at every size; two workers of a cluster at 0.9 of two processes or better. The server of objects "
        "is Python's, and takes most of the cores itself.",
        "tables": tables,
    }


@contextmanager
def _here(folder: Path) -> Iterator[str]:
    yield str(folder)


@contextmanager
def _zipped(folder: Path) -> Iterator[str]:
    zips = folder.with_name("zips")
    zips.mkdir()
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for start in range(0, len(files), _PER_ZIP):
        with zipfile.ZipFile(
            zips / f"{start // _PER_ZIP:04}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1
        ) as one:
            for file in files[start : start + _PER_ZIP]:
                one.write(file, file.relative_to(folder))
                # There need not be room for both.
                file.unlink()
    yield str(zips)
    shutil.rmtree(zips)


@contextmanager
def _stored(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "benches.slow_store", str(folder), "0", "inf"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        os.environ.update(AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", AWS_ALLOW_HTTP="true")
        yield "s3://bucket"
    finally:
        server.terminate()
        server.wait()


def _growth(title: str, work: Path, counts: Sequence[int], served: Callable[[Path], Any]) -> Table:
    table = Table(title, ["slices", "seconds", "slices/s", "MiB", "bytes per slice beyond the first line"])
    for count in counts:
        folder = work / "scale"
        write_archive(folder, count, _SIDE)
        os.sync()
        with served(folder) as source:
            seconds, peak, _ = _reduce(work, source)
        shutil.rmtree(folder)
        table.raw.append({"slices": count, "seconds": seconds, "peak_bytes": peak})
        first = table.raw[0]
        beyond = ""
        if count > first["slices"]:
            beyond = number((peak - first["peak_bytes"]) / (count - first["slices"]))
        table.rows.append(
            [f"{count:,}", number(seconds), number(count / seconds), number(peak / (1 << 20)), beyond]
        )
    return table


def _reduce(work: Path, source: str, *options: str) -> _Reduced:
    """Seconds, the peak memory in bytes, and the manifest."""
    out = work / "scale-run"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "benches.memory", "reduce", source, "--out", str(out), "--quiet", *options]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    return seconds, 1024 * int(done.stdout.splitlines()[-1]), (out / "manifest.parquet").read_bytes()


def _engines(work: Path, threads: int, count: int) -> Table:
    """One process with some threads, as many processes with a shard each, a cluster with as many workers."""
    folder, out = work / "scale", work / "scale-run"
    write_archive(folder, count, _SIDE)
    os.sync()
    table = Table(f"{count:,} slices by {threads} threads, shards, workers", ["who reads", "seconds"])
    expected = _reduce(work, str(folder))[2]

    def shards() -> bytes:
        shutil.rmtree(out, ignore_errors=True)
        base = [sys.executable, "-m", "ctprune", "reduce", str(folder), "--out", str(out), "--quiet"]
        each = [[*base, "--threads", "1", "--shard", f"{number}/{threads}"] for number in range(1, threads + 1)]
        for process in [subprocess.Popen(command) for command in each]:
            process.wait()
        if not (out / "manifest.parquet").exists():
            # Both found the other one unfinished.
            subprocess.run(base, check=True)
        return (out / "manifest.parquet").read_bytes()

    ways: dict[str, Callable[[], bytes]] = {
        f"one process, {threads} threads": lambda: _reduce(work, str(folder))[2],
        f"{threads} processes with a shard each, and the join": shards,
        f"a Ray cluster of {threads} workers, its start included": lambda: _reduce(
            work, str(folder), "--engine", "ray", "--task-memory-gb", "0.5"
        )[2],
    }
    for name, way in ways.items():
        _time(table, name, way, expected)
    with _cluster(threads) as (address, started):
        ray = ["--engine", "ray", "--address", address, "--task-memory-gb", "0.5"]
        name = f"a Ray cluster of {threads} workers that runs already, the start of its workers included"
        _time(table, name, lambda: _reduce(work, str(folder), *ray)[2], expected)
    table.raw.append({"who": "the start of a cluster alone", "seconds": started})
    table.notes.append(f"The cluster alone takes {number(started)} s to start.")
    shutil.rmtree(folder)
    return table


def _time(table: Table, name: str, way: Callable[[], bytes], expected: bytes) -> None:
    start = time.perf_counter()
    if way() != expected:
        raise AssertionError(f"{name}: another manifest")
    seconds = time.perf_counter() - start
    table.raw.append({"who": name, "seconds": seconds})
    table.rows.append([name, number(seconds)])


@contextmanager
def _cluster(workers: int) -> Iterator[tuple[str, float]]:
    """A cluster on this machine: its address, and the seconds that its start took."""
    # It would make a secret that no other process has; nobody else reaches this machine's loopback.
    os.environ["RAY_AUTH_MODE"] = "disabled"
    start = time.perf_counter()
    command = [sys.executable, "-c", _CLUSTER, str(workers)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = next(line.split()[1] for line in process.stdout if line.startswith("address "))
        yield address, time.perf_counter() - start
    finally:
        # It ends with its input.
        process.stdin.close()
        process.wait()


def _join(work: Path, settings: Settings) -> Table:
    """What the last call costs once all shards are read: listing, taking parts over, selecting, writing."""
    files = 25_000 if settings.large else 2_500
    folder, out = work / "scale", work / "scale-run"
    shutil.rmtree(out, ignore_errors=True)
    write_multi_frame(folder, files, _FRAMES)
    for shard in range(1, _SHARDS + 1):
        # Not the command line, whose last call would join.
        command = [sys.executable, "-c", _READ_SHARD, str(folder), f"{shard}/{_SHARDS}", str(out)]
        subprocess.run(command, check=True)
    table = Table(f"The join of {_SHARDS} shards", ["slices", "seconds", "MiB"])
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benches.memory", "reduce", str(folder), "--out", str(out), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - start
    *lines, peak = done.stdout.splitlines()
    summary = json.loads("\n".join(lines))["result"]
    if summary["files_read"]:
        raise AssertionError("the join read files that shards had read")
    if summary["slices"] != files * _FRAMES:
        raise AssertionError(f"{files * _FRAMES} slices were written, {summary['slices']} joined")
    table.raw.append({"slices": summary["slices"], "seconds": seconds, "peak_bytes": 1024 * int(peak)})
    table.rows.append([f"{summary['slices']:,}", number(seconds), number(int(peak) / 1024)])
    table.notes.append(f"Frames of {files:,} multi-frame files of 8 × 8 pixels.")
    shutil.rmtree(folder)
    return table
