"""An archive in an object store that answers after 20 ms, against loops over boto3 that only download."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import obstore
from botocore.config import Config
from obstore.store import S3Store

import ctprune
from benches import series
from benches.measure import Contender, compare
from benches.settings import Settings
from ctprune.sources import connections

#: Seconds before each answer, and requests at a time.
_DELAY, _IN_FLIGHT = 0.02, 128

#: Bytes per second.
_WIRES = {"1 Gbit/s": 125e6, "the speed of the processor": 1e12}

_COLUMNS = ["path", "frame", "status", "fingerprint", "min_hu", "max_hu", "exemplar"]


def run(settings: Settings, threads: int) -> dict[str, Any]:
    folder = series.copies(settings)[0].parent
    keys = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    size = sum((folder / key).stat().st_size for key in keys)
    tables = []
    for wire, bandwidth in _WIRES.items():
        with _store(folder, bandwidth) as url:
            _check(folder)
            title = (
                f"{len(keys):,} objects, {size / 1e6:,.0f} MB, {_DELAY * 1000:.0f} ms before each answer, {wire}"
            )
            tables.append(compare(title, _contenders(url, keys, threads), rounds=settings.rounds, unit="objects"))
    return {
        "input": f"{series.about(settings)}, copied as series of their own, uncompressed; a server on loopback",
        "about": "Goal: 0.8 of what the bandwidth allows (the raw download), and 20 × the loop over boto3. The "
        "others download and do nothing else. Server and clients share the cores.",
        "tables": tables,
    }


@contextmanager
def _store(folder: Path, bandwidth: float) -> Iterator[str]:
    command = [sys.executable, "-m", "benches.slow_store", str(folder), str(_DELAY), str(bandwidth)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        os.environ.update(AWS_ENDPOINT_URL=url, AWS_ALLOW_HTTP="true")
        connections.forget()
        yield url
    finally:
        server.terminate()
        server.wait()


def _check(folder: Path) -> None:
    found = ctprune.reduce("s3://bucket").rows.select(_COLUMNS)
    if found != ctprune.reduce(folder).rows.select(_COLUMNS):
        raise AssertionError("the store gives another result than its folder")


def _contenders(url: str, keys: list[str], threads: int) -> list[Contender]:
    store = S3Store(
        "bucket",
        endpoint=url,
        region="us-east-1",
        skip_signature=True,
        client_options={"allow_http": True, "pool_max_idle_per_host": str(_IN_FLIGHT)},
    )
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(max_pool_connections=_IN_FLIGHT),
    )

    def by_boto3(key: str) -> int:
        return len(client.get_object(Bucket="bucket", Key=key)["Body"].read())

    def raw(key: str) -> int:
        return len(obstore.get(store, key).bytes())

    def together(get: Any) -> int:
        with ThreadPoolExecutor(_IN_FLIGHT) as pool:
            return sum(pool.map(get, keys))

    count = len(keys)
    note = f"{_IN_FLIGHT} requests at a time"
    return [
        Contender(
            name="ctprune",
            run=lambda: ctprune.reduce("s3://bucket", threads=threads),
            items=count,
            loops=1,
            note="lists, reads, fingerprints, selects",
        ),
        Contender(name="raw download", run=lambda: together(raw), items=count, loops=1, note=f"obstore, {note}"),
        Contender(
            name="boto3, a pool of threads", run=lambda: together(by_boto3), items=count, loops=1, note=note
        ),
        Contender(
            name="boto3, a loop",
            run=lambda: sum(map(by_boto3, keys)),
            items=count,
            loops=1,
            rounds=1,
            note="one after the other",
        ),
    ]
