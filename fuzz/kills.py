"""`ctprune reduce` ended by signals at random moments and run again: `python -m fuzz.kills SEED COUNT`.

Prints, for each signal, how many processes were still alive when it came, how many runs gave the bytes of an
uninterrupted one afterwards, and which part of the files was known from before.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import ctprune

SIGNALS = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")

#: Copies of the phantom's files, so that reading takes some seconds.
COPIES = 40


def main(seed: int, count: int) -> int:
    """Run so many trials; the number of those that gave other bytes."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="ctprune-kills-") as scratch:
        folder = Path(scratch)
        archive = make_archive(folder / "in")
        whole, seconds = run_whole(folder, archive)
        print(f"{sum(path.is_file() for path in archive.rglob('*'))} files, {seconds:.1f} s without a signal")
        alive, equal, kept = defaultdict(int), defaultdict(int), defaultdict(list)
        for trial in range(count):
            name = SIGNALS[trial % len(SIGNALS)]
            share, same = attack(folder, archive, getattr(signal, name), chance.uniform(0.1, 1) * seconds, whole)
            equal[name] += same
            if share is not None:
                alive[name] += 1
                kept[name].append(share)
        for name in SIGNALS:
            trials = len(range(SIGNALS.index(name), count, len(SIGNALS)))
            shares = sorted(kept[name]) or [0.0]
            print(
                f"{name}: {alive[name]} of {trials} alive, bytes equal in {equal[name]}; files known afterwards: "
                f"median {statistics.median(shares):.0%}, {shares[0]:.0%} to {shares[-1]:.0%}"
            )
    return count - sum(equal.values())


def make_archive(folder: Path) -> Path:
    """A phantom archive, its files linked several times."""
    ctprune.phantom.write_archive(folder / "0", patients=4, seed=1)
    for copy in range(1, COPIES):
        shutil.copytree(folder / "0", folder / str(copy), copy_function=os.link)
    return folder


def command(archive: Path, *options: str) -> list[str]:
    """One thread, so that it takes longer."""
    return [sys.executable, "-m", "ctprune", "reduce", str(archive), "--threads", "1", "--quiet", *options]


def run_whole(folder: Path, archive: Path) -> tuple[bytes, float]:
    """The manifest's bytes without a signal, and the seconds until it was there."""
    start = time.monotonic()
    subprocess.run(command(archive, "--out", "whole"), cwd=folder, check=True)
    return (folder / "whole" / "manifest.parquet").read_bytes(), time.monotonic() - start


def attack(folder: Path, archive: Path, number: int, after: float, whole: bytes) -> tuple[float | None, bool]:
    """Send a signal after so many seconds, then complete the run.

    Returns the fraction of files that were known afterwards, None where the process had ended before, and whether
    the completed run has the right bytes.
    """
    shutil.rmtree(folder / "run", ignore_errors=True)
    with subprocess.Popen(command(archive, "--out", "run"), cwd=folder, stderr=subprocess.DEVNULL) as process:
        time.sleep(after)
        alive = process.poll() is None
        process.send_signal(number)
    plan = subprocess.run(
        [*command(archive, "--out", "run", "--dry-run", "--json")], cwd=folder, check=True, capture_output=True
    )
    found = json.loads(plan.stdout)
    subprocess.run(command(archive, "--out", "run"), cwd=folder, check=True)
    same = (folder / "run" / "manifest.parquet").read_bytes() == whole
    left = sorted(path.name for path in (folder / "run").iterdir())
    return (found["files_reused"] / found["files"] if alive else None), same and left == sorted(
        ("manifest.parquet", "summary.json")
    )


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])) > 0)
